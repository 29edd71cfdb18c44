-- phase: active -> active; notes what the worker does now.
-- ARGV    1 id, 2 fence, 3 incarnation, 4 phase
-- returns 1 when the lease stands, else 0
local id = ARGV[1]
if check(read(id), ARGV[2], ARGV[3]) ~= 'ok' then return 0 end
redis.call('HSET', RECORD .. id, 'phase', ARGV[4], 'phase_at', int(now()))
event('phase', id, 'phase', ARGV[4])
return 1
