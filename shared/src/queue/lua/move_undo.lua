-- Takes back a move: moving -> held, pending or delayed, where it was; arriving -> (nothing).
-- ARGV    1 id, 2 token of the move
-- returns 1 when it was on its way, else 0
-- A copy is dropped only by a caller that knows that the locator does not name this specialty for a living task.
local id, token = ARGV[1], ARGV[2]
local f = fields(id, 'status', 'move', 'state', 'due_at', 'arrival')
if f[2] ~= token or not IN_TRANSIT[f[1] or ''] then return 0 end
if f[1] == 'moving' then
  place(id, read(id), f[3], f[4])
  redis.call('HDEL', RECORD .. id, 'target', 'move')
  redis.call('XDEL', OUTBOX, token)
  event(f[3], id, 'reason', 'not moved')
else
  redis.call('UNLINK', RECORD .. id, SPEC .. id, LOG .. id)
  redis.call('XDEL', OUTBOX, f[5])
  count('moved_out')
end
return 1
