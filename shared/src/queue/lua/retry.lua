-- Behind the prelude in settle: active -> delayed; -> failed when the attempts are used up.
local function retry(id, r, ms, delay_ms, attempts_max, class, message)
  local attempts = int(r.attempts + 1)
  if r.attempts + 1 >= tonumber(attempts_max) then
    local outbox, issue = finish(id, r, 'failed', FAILED, ms, true, 'class', class, 'message', message, 'attempts', attempts)
    event('failed', id, 'worker', r.worker, 'class', class)
    return { 'failed', outbox, issue }
  end
  local due = int(ms + delay_ms)
  park_entry(r)
  redis.call('ZREM', LEASES, id)
  redis.call('ZADD', DELAYED, due, id)
  redis.call('HSET', RECORD .. id, 'status', 'delayed', 'due_at', due, 'attempts', attempts, 'settled', r.fence,
    'message', message)
  redis.call('HDEL', RECORD .. id, 'phase', 'nonce')
  event('delayed', id, 'due_at', due, 'message', message)
  count('retried')
  return { 'done', '' }
end
