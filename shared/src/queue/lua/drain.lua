-- drain: a worker is to claim nothing more, also after a restart, until it is undrained or the time has come.
-- KEYS    1 who is drained
-- ARGV    1 node, 2 life in ms, 3 most workers that are drained at once, 4 the rest of what is kept
-- returns 'drained' | 'full'
-- An entry begins with the time of its end; those that have come to it make room.
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if (tonumber(string.match(all[i + 1], '^%d+') or '0')) <= ms then redis.call('HDEL', KEYS[1], all[i]) end
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d %s', ms + ARGV[2], ms, ARGV[4]))
return 'drained'
