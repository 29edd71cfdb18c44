-- Behind the prelude in settle: active -> pending, uncounted, in front of younger tasks.
local function release(id, r, _, reason)
  park_entry(r)
  redis.call('ZREM', LEASES, id)
  redis.call('HSET', RECORD .. id, 'settled', r.fence)
  redis.call('HDEL', RECORD .. id, 'nonce')
  give_back(id, r)
  event('pending', id, 'reason', reason)
  count('released')
  return { 'done', '' }
end
