-- account: how an agent account stands.
-- KEYS    1 its limit, 2 what it has spent today, in the same slot
-- returns {end of the limit in ms, -1 without an end, -2 without a limit; millionths of a dollar spent today; end of
--         the day in ms}
local DAY_MS = 86400000
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local spent = redis.pcall('HGET', KEYS[2], 'micro_usd')
return { redis.call('PEXPIRETIME', KEYS[1]), type(spent) == 'string' and spent or '0',
  string.format('%d', ms - ms % DAY_MS + DAY_MS) }
