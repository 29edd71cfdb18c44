-- Behind the prelude in the scripts that count money.

-- Adds to what an agent account has spent today, in UTC by Redis' clock. The key ends with the day; one of another
-- type is no sum and is begun anew.
local function spend(key, micro_usd, ms)
  local DAY_MS = 86400000
  if type(redis.pcall('HINCRBY', key, 'micro_usd', micro_usd)) == 'table' then
    redis.call('UNLINK', key)
    redis.call('HINCRBY', key, 'micro_usd', micro_usd)
  end
  redis.call('PEXPIRE', key, string.format('%d', DAY_MS - ms % DAY_MS))
end
