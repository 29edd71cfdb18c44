-- rerun: failed, cancelled -> pending, with the attempts, losses and cost of a new task, at the end of the line.
-- ARGV    1 id, 2 by whom
-- returns {'pending', outbox entry, issue} | {'wrong'} | {'no_spec'} | {'moving'} | {'unknown'}
-- Fence and number of runs go on. Denied by Redis when it is full, as a new task is.
local id, by = ARGV[1], ARGV[2]
local r = read(id)
if not r.status then return { 'unknown' } end
if IN_TRANSIT[r.status] then return { 'moving' } end
local index = ({ failed = FAILED, cancelled = CANCELLED })[r.status]
if not index then return { 'wrong' } end
if redis.call('EXISTS', SPEC .. id) == 0 then return { 'no_spec' } end
redis.call('ZREM', index, id)
redis.call('HSET', RECORD .. id, 'own', '1', 'attempts', '0', 'lost', '0')
redis.call('HDEL', RECORD .. id, 'entry', 'finished_at', 'class', 'message', 'branch', 'cancel', 'loss', 'incarnation',
  'micro_usd', 'charged')
r.entry, r.lost = nil, 0
give_back(id, r)
event('pending', id, 'reason', 'retried by ' .. by)
count('rerun')
return { 'pending', lives_elsewhere(id, r) }
