-- sweep: what time brings about in this specialty. Any worker calls it; the script itself keeps the fleet
-- from doing it more often than needed.
--   active -> pending or failed   leases that ran out (not while in grace after an outage)
--   delayed -> pending            tasks that are due
--   finished, failed, cancelled   the oldest, beyond age and count
--   what nobody would find otherwise (audit.lua)
-- ARGV    1 shortest time between sweeps in ms, 2 lease in ms, 3 most losses
-- returns {'later', ms} | {'swept', ms until the next, lost, promoted, {outbox entry, task, issue[, account, cost, day]} ...}
local sweep_ms, lease_ms, lost_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local BATCH, OUTBOX_BATCH, OUTBOX_AGE_MS = 100, 50, 5000
local ms = now()
local s = redis.call('HMGET', SWEEP, 'at', 'next', 'grace', 'audit', 'outbox')
local at, next_due, grace = tonumber(s[1]), num(s[2]), num(s[3])

if at and ms >= at and ms < next_due then return { 'later', next_due - ms } end
-- Redis was away, or its clock was set: living workers renew first. They beat more than twice a lease, so that
-- none of theirs can have run out when less than half a lease has passed without a sweep.
if at and (ms > next_due + 3 * sweep_ms or ms > at + lease_ms / 2 or ms < at) then grace = ms + lease_ms end
-- The clock was set back: nothing is to wait until it has come to where it was. Living workers renew anyway.
if grace > ms + lease_ms then grace = ms + lease_ms end
if at and ms < at then
  for _, id in ipairs(redis.call('ZRANGE', LEASES, int(ms + lease_ms), '+inf', 'BYSCORE')) do
    redis.call('ZADD', LEASES, int(ms + lease_ms), id)
  end
  local delayed = redis.call('ZRANGE', DELAYED, int(ms), '+inf', 'BYSCORE', 'WITHSCORES')
  for i = 1, #delayed, 2 do
    local due = int(ms + math.max(tonumber(delayed[i + 1]) - at, 0))
    redis.call('ZADD', DELAYED, due, delayed[i])
    redis.call('HSET', RECORD .. delayed[i], 'due_at', due)
  end
end

local lost = 0
if ms >= grace then
  local expired = redis.call('ZRANGE', LEASES, '-inf', '(' .. int(ms), 'BYSCORE', 'LIMIT', '0', int(BATCH), 'WITHSCORES')
  for i = 1, #expired, 2 do
    local id = expired[i]
    local r = read(id)
    if r.status == 'active' then
      -- What ran out before the grace ended is the outage's fault, not the task's.
      lose(id, r, ms, lost_max, tonumber(expired[i + 1]) > grace)
      lost = lost + 1
    else
      redis.call('ZREM', LEASES, id)
    end
  end
end

local promoted = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', int(ms), 'LIMIT', '0', int(BATCH))) do
  redis.call('ZREM', DELAYED, id)
  local r = read(id)
  if r.status == 'delayed' then
    give_back(id, r)
    event('pending', id, 'reason', 'due')
    promoted = promoted + 1
  end
end

local cursor = audit(s[4], ms, lease_ms)
for _, index in ipairs({ FINISHED, FAILED, CANCELLED }) do
  trim(index)
  forget(index, redis.call('ZRANGE', index, '-inf', '(' .. int(ms - KEEP_MS), 'BYSCORE', 'LIMIT', '0', int(BATCH)))
end
if waiting() > 0 and redis.call('EXISTS', PAUSED) == 0 then wake() end

-- Sleep until something can run out, but never longer than a quarter of a lease: half of one is a gap.
local longest = math.floor(lease_ms / 4)
local wait = longest
for _, index in ipairs({ LEASES, DELAYED }) do
  local first = redis.call('ZRANGE', index, '0', '0', 'WITHSCORES')
  if first[2] then wait = math.min(wait, tonumber(first[2]) - ms) end
end
wait = math.min(math.max(wait, sweep_ms), longest)
if ms < grace then wait = math.max(math.min(wait, grace - ms), math.min(sweep_ms, grace - ms)) end
if lost == BATCH or promoted == BATCH then wait = 0 end

-- Young entries are still being handled by the worker that settled. The next sweep goes on behind these, so that
-- none that cannot be carried out is in the way for ever; after the last it begins anew.
local outbox = redis.call('XRANGE', OUTBOX, s[5] or '-', int(ms - OUTBOX_AGE_MS), 'COUNT', int(OUTBOX_BATCH))
local outbox_next = '-'
if #outbox == OUTBOX_BATCH then
  wait = math.min(wait, sweep_ms)
  outbox_next = '(' .. outbox[#outbox][1]
end
redis.call('HSET', SWEEP, 'at', int(ms), 'next', int(ms + wait), 'grace', int(grace), 'audit', cursor, 'outbox', outbox_next)
local result = { 'swept', wait, lost, promoted }
for _, item in ipairs(outbox) do
  -- Of a charge also account, cost and day.
  result[#result + 1] = { item[1], item[2][2], item[2][4], item[2][6], item[2][8], item[2][10] }
end
return result
