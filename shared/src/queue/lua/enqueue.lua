-- enqueue: (nothing) -> pending. Idempotent by id.
-- ARGV    1 id, 2 priority, 3 spec (MessagePack), then field, value ... of the record
-- returns {'created', entry} | {'exists', status}
-- Denied by Redis when it is full: nothing is written then.
local id, priority = ARGV[1], ARGV[2]
local status = redis.call('HGET', RECORD .. id, 'status')
if status then return { 'exists', status } end
local ms = now()
local entry = redis.call('XADD', TASKS .. priority, '*', 'task', id, 'spec', ARGV[3])
redis.call('HSET', RECORD .. id, 'status', 'pending', 'priority', priority, 'created_at', int(ms), 'entry', entry,
  unpack(ARGV, 4))
wake()
event('pending', id)
count('enqueued')
return { 'created', entry }
