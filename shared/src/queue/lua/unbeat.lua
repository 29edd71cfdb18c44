-- unbeat: a worker takes its leave, or the host's lock proves that the incarnation is dead.
-- KEYS    1 the worker's key
-- ARGV    1 incarnation that may be removed, or '*' for any
-- returns 1 when a beat was removed, else 0
local now = redis.call('HGET', KEYS[1], 'incarnation')
if not now or (ARGV[1] ~= '*' and now ~= ARGV[1]) then return 0 end
return redis.call('UNLINK', KEYS[1])
