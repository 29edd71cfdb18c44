-- locator_end: sets the end of a task's locator, if it names this specialty.
-- KEYS    1 the locator
-- ARGV    1 specialty, 2 life in ms
-- returns 1 when it names it, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
