-- claim of exactly one held task: held -> active. It has no stream entry; DIRECT counts it.
-- ARGV    1 id, 2 node, 3 incarnation, 4 nonce, 5 lease in ms
-- returns {'claimed', {id, fence, runs, attempts, spec}} | {'not_held'} | {'unknown'}
local id, node, incarnation, nonce, lease_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local f = fields(id, 'status', 'fence', 'runs', 'attempts', 'incarnation', 'nonce')
if not f[1] then return { 'unknown' } end
-- The answer to the first sending was lost: the lease is the caller's own.
if f[1] == 'active' and f[5] == incarnation and f[6] == nonce then
  return { 'claimed', { id, f[2], f[3], f[4] or '0', redis.call('GET', SPEC .. id) or '' } }
end
if f[1] ~= 'held' then return { 'not_held' } end
local ms, us = now()
local fence = int(math.max(num(f[2]) + 1, us))
local runs = int(num(f[3]) + 1)
redis.call('ZREM', HELD, id)
redis.call('SADD', DIRECT, id)
redis.call('HSET', RECORD .. id, 'status', 'active', 'worker', node, 'incarnation', incarnation, 'nonce', nonce,
  'fence', fence, 'runs', runs, 'claimed_at', int(ms), 'phase', 'claimed')
redis.call('ZADD', LEASES, int(ms + lease_ms), id)
event('active', id, 'worker', node, 'fence', fence)
return { 'claimed', { id, fence, runs, f[4] or '0', redis.call('GET', SPEC .. id) or '' } }
