-- pause: nobody claims of this specialty, until it is resumed or the time has come.
-- ARGV    1 by whom, 2 reason or '', 3 ms until it ends by itself, or ''
-- returns 1 when it was not paused before, else 0; the last pause counts
local ms = now()
local before = redis.call('DEL', PAUSED)
redis.call('HSET', PAUSED, 'by', ARGV[1], 'reason', ARGV[2], 'at', int(ms))
if ARGV[3] ~= '' then redis.call('PEXPIRE', PAUSED, ARGV[3]) end
event('paused', '', 'by', ARGV[1], 'reason', ARGV[2])
return 1 - before
