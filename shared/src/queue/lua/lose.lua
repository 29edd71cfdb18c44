-- Behind the prelude in the scripts that take a task from a worker that is gone: active -> pending, or
-- -> failed as poison, or -> cancelled when a cancel was asked for. The incarnation stays in the record, so
-- that its holder, should it live, can renew what nobody took. A suspect that had not begun is not what its worker
-- died of; `loss` says so, for a holder that lives and still waits to begin.
local function lose(id, r, ms, lost_max, counts)
  -- Beyond this a task that never begins ends, too: it may kill whoever merely claims it.
  local UNBEGUN_RUNS_MAX = 100
  local loss = counts and '1' or '0'
  local f = fields(id, 'phase', 'runs')
  if f[1] == ALONE and num(f[2]) < UNBEGUN_RUNS_MAX then loss = ALONE end
  local lost = r.lost + num(loss)
  redis.call('HSET', RECORD .. id, 'lost', int(lost), 'loss', loss)
  r.lost = lost
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
