-- beat: a worker says that it lives.
-- KEYS    1 the worker's key
-- ARGV    1 'start' | 'beat', 2 incarnation, 3 life in ms, then field, value ...
-- returns {'ok', ms} | {'taken', ms left of the other's beat, its host name, its process id}
-- A start never displaces a living beat of another incarnation; a beat does not either, so that of two
-- processes with one id the second learns it.
local other = redis.call('HGET', KEYS[1], 'incarnation')
if other and other ~= ARGV[2] then
  local f = redis.call('HMGET', KEYS[1], 'hostname', 'pid')
  return { 'taken', redis.call('PTTL', KEYS[1]), f[1] or '', f[2] or '' }
end
local t = redis.call('TIME')
local ms = string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000))
redis.call('HSET', KEYS[1], 'incarnation', ARGV[2], 'beat_at', ms, unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 'ok', ms }
