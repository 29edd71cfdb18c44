-- Behind spend.lua: the share of an account in a charge, as an outbox entry tells of it.
-- KEYS    1 what the account has spent today
-- ARGV    1 name of the entry, 2 cost in millionths of a dollar, 3 day of the charge
-- returns 1 | 0 when it was counted before, or its day is over
-- The mark stays until the key ends: two may carry out one entry.
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local mark = 'seen:' .. ARGV[1]
if tonumber(ARGV[3]) < math.floor(ms / 86400000) or redis.pcall('HEXISTS', KEYS[1], mark) == 1 then return 0 end
spend(KEYS[1], ARGV[2], ms)
redis.call('HSET', KEYS[1], mark, '1')
return 1
