-- rearm: puts the marker back that a worker took and cannot use.
-- returns 1 when something waits and another worker will be woken, else 0
if waiting() <= 0 or redis.call('EXISTS', PAUSED) == 1 then return 0 end
wake()
return 1
