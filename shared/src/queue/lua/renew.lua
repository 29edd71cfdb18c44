-- renew: active -> active, for all leases that one worker holds in this specialty.
-- ARGV    1 incarnation, 2 lease in ms, then id, fence ...
-- returns one of 'held' | 'cancel <by>' | 'lost' for each, in order
-- Decides by the record, not by the lease: an expired lease whose task nobody took is renewed, also when a
-- sweep has already put it back in line.
local incarnation, lease_ms = ARGV[1], ARGV[2]
local ms = now()
local expires = int(ms + lease_ms)

-- Takes a task back that a sweep returned and nobody has claimed since.
local function retake(id, r)
  if r.entry and redis.call('ZREM', AGAIN, id) == 1 then
    pend(TASKS .. r.priority, r.entry, r.worker)
  elseif r.own == '1' and r.entry then
    redis.call('XDEL', TASKS .. r.priority, r.entry)
    redis.call('SADD', DIRECT, id)
    redis.call('HSET', RECORD .. id, 'entry', '')
  else
    return false
  end
  local loss = num(redis.call('HGET', RECORD .. id, 'loss'))
  redis.call('HSET', RECORD .. id, 'status', 'active', 'phase', 'retaken', 'lost', int(r.lost - loss))
  event('active', id, 'worker', r.worker, 'fence', r.fence)
  return true
end

local answers = {}
for i = 3, #ARGV, 2 do
  local id, fence = ARGV[i], ARGV[i + 1]
  local r = read(id)
  local ours = r.fence == fence and r.incarnation == incarnation
  if ours and r.status == 'pending' and r.settled ~= fence and not retake(id, r) then ours = false end
  if ours and (r.status == 'active' or (r.status == 'pending' and r.settled ~= fence)) then
    redis.call('ZADD', LEASES, expires, id)
    answers[#answers + 1] = r.cancel and ('cancel ' .. r.cancel) or 'held'
  else
    answers[#answers + 1] = 'lost'
  end
end
return answers
