-- Third step of a move: the locator names the specialty that the task goes to.
-- KEYS    1 the locator
-- ARGV    1 specialty it comes from, 2 specialty it goes to, 3 deadline in ms
-- returns 'swapped', also when that was done before | 'late' | 'other' (it names a third)
local named = redis.call('GET', KEYS[1])
if named == ARGV[2] then return 'swapped' end
if named and named ~= ARGV[1] then return 'other' end
local t = redis.call('TIME')
if t[1] * 1000 + math.floor(t[2] / 1000) > tonumber(ARGV[3]) then return 'late' end
redis.call('SET', KEYS[1], ARGV[2])
return 'swapped'
