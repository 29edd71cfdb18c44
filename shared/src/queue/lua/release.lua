-- release: active -> pending, uncounted, in front of younger tasks; -> cancelled when a cancel was asked for.
-- ARGV    1 id, 2 fence, 3 incarnation, 4 reason
-- returns {'done', ''} | {'cancelled', outbox entry, issue} | {'already'} | {'stale'}
local id = ARGV[1]
local r = read(id)
local verdict = check(r, ARGV[2], ARGV[3])
if verdict ~= 'ok' then return { verdict } end
local ms = now()
if r.cancel then return finish_cancelled(id, r, ms, r.cancel) end
park_entry(r)
redis.call('ZREM', LEASES, id)
redis.call('HSET', RECORD .. id, 'settled', r.fence)
redis.call('HDEL', RECORD .. id, 'nonce')
give_back(id, r)
event('pending', id, 'reason', ARGV[4])
count('released')
return { 'done', '' }
