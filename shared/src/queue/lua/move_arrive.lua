-- Last step of a move: arriving -> held, pending or delayed, whichever it was.
-- ARGV    1 id, 2 token of the move
-- returns 1 when it was on its way, else 0
local id, token = ARGV[1], ARGV[2]
local f = fields(id, 'status', 'move', 'state', 'due_at', 'source', 'arrival')
if f[1] ~= 'arriving' or f[2] ~= token then return 0 end
place(id, read(id), f[3], f[4])
redis.call('HDEL', RECORD .. id, 'source', 'arrival')
redis.call('XDEL', OUTBOX, f[6])
event(f[3], id, 'reason', 'moved from ' .. f[5])
return 1
