-- issue_free: forgets that an issue has an active task, if it is this one.
-- KEYS    1 the issue's key
-- ARGV    1 task id
-- returns 1 when it was freed, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
