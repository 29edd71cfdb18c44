-- locator_take: makes a task's locator name a specialty, if it names none, for as long as its task may take to come.
-- KEYS    1 the locator
-- ARGV    1 specialty, 2 life in ms, 3 ms in which the task is to be made: less than the life
-- returns {specialty it names, deadline in ms}
-- One that has an end already, left by somebody who died or by a task that ended, lasts that long at least.
local named = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'GET', 'PX', ARGV[2])
if named then redis.call('PEXPIRE', KEYS[1], ARGV[2], 'GT') end
local t = redis.call('TIME')
return { named or ARGV[1], string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3]) }
