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
  local loss = redis.call('HGET', RECORD .. id, 'loss')
  redis.call('HSET', RECORD .. id, 'status', 'active', 'phase', loss == ALONE and ALONE or 'retaken',
    'lost', int(r.lost - num(loss)))
  event('active', id, 'worker', r.worker, 'fence', r.fence)
  return true
end

local answers, leases = {}, {}
for i = 3, #ARGV, 2 do
  local id, fence = ARGV[i], ARGV[i + 1]
  local f = fields(id, 'status', 'fence', 'incarnation', 'settled', 'cancel')
  local ours = f[2] == fence and f[3] == incarnation
  if ours and f[1] == 'pending' then ours = f[4] ~= fence and retake(id, read(id)) end
  if ours and (f[1] == 'active' or f[1] == 'pending') then
    leases[#leases + 1] = expires
    leases[#leases + 1] = id
    answers[#answers + 1] = f[5] and ('cancel ' .. f[5]) or 'held'
  else
    answers[#answers + 1] = 'lost'
  end
end
if #leases > 0 then redis.call('ZADD', LEASES, unpack(leases)) end
return answers
