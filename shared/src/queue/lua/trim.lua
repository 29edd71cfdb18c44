-- trim: completed, failed or cancelled -> (nothing), for a batch of the oldest beyond a number or an age.
-- ARGV    1 status, 2 how many stay or '', 3 ms since their end or ''
-- returns {more, {outbox entry or '', task} ...}, more = 1 when the batch was full
local BATCH = 100
local index = ({ completed = FINISHED, failed = FAILED, cancelled = CANCELLED })[ARGV[1]]
local keep, age_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local ms = now()
local excess = keep and redis.call('ZCARD', index) - keep or 0
local oldest = redis.call('ZRANGE', index, '0', int(BATCH - 1), 'WITHSCORES')
local removed = {}
for i = 1, #oldest, 2 do
  local id = oldest[i]
  if excess <= 0 and not (age_ms and tonumber(oldest[i + 1]) <= ms - age_ms) then break end
  redis.call('ZREM', index, id)
  redis.call('UNLINK', RECORD .. id, SPEC .. id, LOG .. id)
  removed[#removed + 1] = { (gone_elsewhere(id, {})), id }
  excess = excess - 1
end
return { #removed == BATCH and 1 or 0, unpack(removed) }
