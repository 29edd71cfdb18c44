-- Fourth step of a move: moving -> (nothing), in the slot it came from.
-- ARGV    1 id, 2 token of the move
-- returns 1 when it was there, else 0
local id, token = ARGV[1], ARGV[2]
redis.call('XDEL', OUTBOX, token)
local f = fields(id, 'status', 'move', 'target')
if f[1] ~= 'moving' or f[2] ~= token then return 0 end
redis.call('UNLINK', RECORD .. id, SPEC .. id, LOG .. id)
event('moved', id, 'to', f[3])
count('moved_out')
return 1
