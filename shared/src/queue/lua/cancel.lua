-- cancel: held, pending, delayed -> cancelled; active: asks its worker, which learns it with its next beat.
-- ARGV    1 id, 2 by whom or why
-- returns {'cancelled', outbox entry, issue} | {'requested', ''} | {'settled', ''} | {'moving'} | {'unknown', ''}
local id, by = ARGV[1], ARGV[2]
local r = read(id)
if not r.status then return { 'unknown', '' } end
if IN_TRANSIT[r.status] then return { 'moving' } end
if r.status == 'active' then
  if not r.cancel then
    redis.call('HSET', RECORD .. id, 'cancel', by)
    event('cancelling', id, 'by', by)
  end
  return { 'requested', '' }
end
if not WAITS[r.status] then return { 'settled', '' } end
local ms = now()
redis.call('ZREM', HELD, id)
redis.call('ZREM', AGAIN, id)
redis.call('ZREM', DELAYED, id)
-- A group that never was has nothing to acknowledge, and XACK says so with 0.
return finish_cancelled(id, r, ms, by)
