-- retry: active -> delayed; -> failed when the attempts are used up; -> cancelled when a cancel was asked for.
-- ARGV    1 id, 2 fence, 3 incarnation, 4 delay in ms, 5 most attempts, 6 class, 7 message
-- returns {'done', ''} | {'failed' | 'cancelled', outbox entry, issue} | {'already'} | {'stale'}
local id = ARGV[1]
local r = read(id)
local verdict = check(r, ARGV[2], ARGV[3])
if verdict ~= 'ok' then return { verdict } end
local ms = now()
if r.cancel then return finish_cancelled(id, r, ms, r.cancel) end
local attempts = int(r.attempts + 1)
if r.attempts + 1 >= tonumber(ARGV[5]) then
  local outbox, issue = finish(id, r, 'failed', FAILED, ms, true, 'class', ARGV[6], 'message', ARGV[7], 'attempts', attempts)
  event('failed', id, 'worker', r.worker, 'class', ARGV[6])
  return { 'failed', outbox, issue }
end
local due = int(ms + ARGV[4])
park_entry(r)
redis.call('ZREM', LEASES, id)
redis.call('ZADD', DELAYED, due, id)
redis.call('HSET', RECORD .. id, 'status', 'delayed', 'due_at', due, 'attempts', attempts, 'settled', r.fence,
  'message', ARGV[7])
redis.call('HDEL', RECORD .. id, 'phase', 'nonce')
event('delayed', id, 'due_at', due, 'message', ARGV[7])
count('retried')
return { 'done', '' }
