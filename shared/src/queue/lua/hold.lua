-- hold: (nothing) -> held. Idempotent by id.
-- ARGV    1 id, 2 priority, 3 spec (MessagePack), then field, value ... of the record
-- returns {'created', ''} | {'exists', status}
local id, priority = ARGV[1], ARGV[2]
local status = redis.call('HGET', RECORD .. id, 'status')
if status then return { 'exists', status } end
local ms = now()
redis.call('SET', SPEC .. id, ARGV[3])
redis.call('HSET', RECORD .. id, 'status', 'held', 'priority', priority, 'created_at', int(ms), 'own', '1',
  unpack(ARGV, 4))
redis.call('ZADD', HELD, int(ms), id)
event('held', id)
count('held')
return { 'created', '' }
