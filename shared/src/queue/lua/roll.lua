-- roll: enters a worker into the roll of all workers and forgets those silent for a day.
-- KEYS    1 the roll
-- ARGV    1 node
-- returns 1
local DAY_MS = 86400000
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%d', ms), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', ms - DAY_MS))
return 1
