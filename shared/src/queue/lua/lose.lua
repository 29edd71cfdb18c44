-- Behind the prelude in the scripts that take a task from a worker that is gone: active -> pending, or
-- -> failed as poison, or -> cancelled when a cancel was asked for. The incarnation stays in the record, so
-- that its holder, should it live, can renew what nobody took.
local function lose(id, r, ms, lost_max, counts)
  local lost = r.lost + (counts and 1 or 0)
  redis.call('HSET', RECORD .. id, 'lost', int(lost), 'loss', counts and '1' or '0')
  if r.cancel then
    finish_cancelled(id, r, ms, r.cancel)
    return 'cancelled'
  end
  if lost >= lost_max then
    finish(id, r, 'failed', FAILED, ms, true, 'class', 'lost_worker', 'message',
      'given up after ' .. int(lost) .. ' workers were lost while they ran it; the last was ' .. (r.worker == '' and '?' or r.worker))
    event('failed', id, 'worker', r.worker, 'class', 'lost_worker')
    return 'failed'
  end
  park_entry(r)
  redis.call('ZREM', LEASES, id)
  give_back(id, r)
  event('pending', id, 'reason', 'lost', 'worker', r.worker)
  count('lost')
  return 'pending'
end
