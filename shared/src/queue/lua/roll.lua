-- roll: enters a worker into the roll of all workers, forgets those silent for a day, and says whether somebody
-- drains this one.
-- KEYS    1 the roll, 2 who is drained
-- ARGV    1 node
-- returns '' | by whom, why and until when, as drain wrote it
local DAY_MS = 86400000
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%d', ms), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', ms - DAY_MS))
local drain = redis.call('HGET', KEYS[2], ARGV[1])
if not drain then return '' end
if tonumber(string.match(drain, '^%d+') or '0') > ms then return drain end
redis.call('HDEL', KEYS[2], ARGV[1])
return ''
