-- issue_trigger: remembers which task the latest trigger of an issue led to, by the forge's clock.
-- KEYS    1 the issue's last trigger, as 'ms:task'
-- ARGV    1 time of the trigger in ms, 2 task id, 3 life in ms
-- returns 1 | 0 when a later one is remembered
local known = redis.call('GET', KEYS[1])
local at = known and tonumber(string.match(known, '^%d+')) or 0
if at > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return 1
