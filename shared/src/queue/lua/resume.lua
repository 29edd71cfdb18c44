-- resume: ends a pause and wakes a worker for what waits; each claim that leaves something wakes the next.
-- ARGV    1 by whom
-- returns 1 when it was paused, else 0
local paused = redis.call('DEL', PAUSED)
if waiting() > 0 then wake() end
if paused == 1 then event('resumed', '', 'by', ARGV[1]) end
return paused
