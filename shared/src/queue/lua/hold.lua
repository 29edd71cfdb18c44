-- hold: (nothing) -> held. Idempotent by id.
-- ARGV    1 id, 2 priority, 3 spec (MessagePack), 4 deadline in ms, then field, value ... of the record
-- returns 'created <outbox entry or ''>' (its locator is to be made lasting) | 'exists' | 'late' (the locator that was
--         taken for it may have ended; nothing is written)
local id, priority = ARGV[1], ARGV[2]
local status = redis.call('HGET', RECORD .. id, 'status')
if status then return 'exists' end
local ms = now()
if ms > tonumber(ARGV[4]) then return 'late' end
redis.call('SET', SPEC .. id, ARGV[3])
redis.call('HSET', RECORD .. id, 'status', 'held', 'priority', priority, 'created_at', int(ms), 'own', '1',
  unpack(ARGV, 5))
redis.call('ZADD', HELD, int(ms), id)
event('held', id)
count('held')
return 'created ' .. (lives_elsewhere(id, {}))
