-- First step of a move to another specialty: held, pending, delayed -> moving, in this slot. It is in no index then,
-- so that nobody claims it; the outbox tells sweeps to finish what stopped.
-- ARGV    1 id, 2 specialty it goes to, or '' to go on with a move alone, 3 by whom, 4 ms in which the copy is to be made
-- returns {'moving', token, deadline in ms, specialty, spec, field, value ...} | {'arriving', token, specialty it comes
--         from} | {'wrong'} | {'unknown'}
-- A repetition answers the same with a new deadline; the specialty is that of the first.
local id, target, by = ARGV[1], ARGV[2], ARGV[3]
local r = read(id)
if not r.status then return { 'unknown' } end
if r.status == 'arriving' then
  local f = fields(id, 'move', 'source')
  return { 'arriving', f[1], f[2] }
end
if r.status ~= 'moving' then
  if target == '' or not WAITS[r.status] then return { 'wrong' } end
  if r.own ~= '1' and r.entry and r.entry ~= '' then
    local found = redis.call('XRANGE', TASKS .. r.priority, r.entry, r.entry)[1]
    if found then redis.call('SET', SPEC .. id, found[2][4]) end
  end
  drop_entry(id, r)
  for _, index in ipairs({ HELD, AGAIN, DELAYED }) do redis.call('ZREM', index, id) end
  redis.call('HSET', RECORD .. id, 'status', 'moving', 'own', '1', 'state', r.status, 'target', target,
    'move', (effect(id, {})))
  redis.call('HDEL', RECORD .. id, 'entry', 'incarnation', 'nonce')
  event('moving', id, 'to', target, 'by', by)
end
local f = fields(id, 'move', 'target')
local answer = { 'moving', f[1], int(now() + ARGV[4]), f[2], redis.call('GET', SPEC .. id) or '' }
for _, part in ipairs(redis.call('HGETALL', RECORD .. id)) do answer[#answer + 1] = part end
return answer
