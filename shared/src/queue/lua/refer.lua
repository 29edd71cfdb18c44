-- refer: active -> moving, to the specialty that its holder found better: what release and move_out do, in one step.
-- ARGV    1 id, 2 fence, 3 incarnation, 4 specialty it goes to, 5 spec, 6 by whom
-- returns {'done'} | {'cancelled', outbox entry, issue} | {'already'} | {'stale'}
-- Whoever dies behind it leaves a move under way, which the outbox tells sweeps to finish.
local id, target, spec, by = ARGV[1], ARGV[4], ARGV[5], ARGV[6]
local r = read(id)
local verdict = check(r, ARGV[2], ARGV[3])
if verdict ~= 'ok' then return { verdict } end
if r.cancel then return finish_cancelled(id, r, now(), r.cancel) end
redis.call('SET', SPEC .. id, spec)
drop_entry(id, r)
redis.call('ZREM', LEASES, id)
redis.call('HSET', RECORD .. id, 'status', 'moving', 'own', '1', 'state', 'pending', 'target', target,
  'settled', r.fence, 'move', (effect(id, {})))
redis.call('HDEL', RECORD .. id, 'entry', 'nonce', 'phase')
event('moving', id, 'to', target, 'by', by)
count('released')
return { 'done' }
