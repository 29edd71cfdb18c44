-- page: ids of an index behind a place, oldest or newest first. Changes nothing.
-- ARGV    1 status, 2 how many, 3 'newest' | 'oldest', then, except for the first page, 4 score and 5 id of the last
-- returns id, score, id, score ...
-- The place is what was seen, not a number: what comes and goes in between neither repeats nor hides anything.
local index = ({ held = HELD, active = LEASES, delayed = DELAYED, completed = FINISHED, failed = FAILED,
  cancelled = CANCELLED })[ARGV[1]]
local count, newest = tonumber(ARGV[2]), ARGV[3] == 'newest'
local CHUNK = 100

local function range(from, n)
  local args = { 'ZRANGE', index, int(from), int(from + n - 1) }
  if newest then args[#args + 1] = 'REV' end
  args[#args + 1] = 'WITHSCORES'
  return redis.call(unpack(args))
end

local from = 0
if ARGV[4] then
  local score, id = tonumber(ARGV[4]), ARGV[5]
  from = newest and redis.call('ZCOUNT', index, '(' .. ARGV[4], '+inf') or redis.call('ZCOUNT', index, '-inf', '(' .. ARGV[4])
  -- Of those with the same score, up to the one that was seen, which may be gone.
  local seen = true
  while seen do
    local same = range(from, CHUNK)
    seen = #same > 0
    for i = 1, #same, 2 do
      local behind
      if newest then behind = same[i] < id else behind = same[i] > id end
      if tonumber(same[i + 1]) ~= score or behind then
        seen = false
        break
      end
      from = from + 1
    end
  end
end
return range(from, count)
