-- force_release: active -> pending, uncounted, whatever its holder does; -> cancelled when a cancel was asked for.
-- ARGV    1 id, 2 fence to be fenced off, 3 by whom
-- returns {'released', ''} | {'cancelled', outbox entry, issue} | {'wrong'} | {'moving'} | {'unknown'}
-- The record gets a later fence: the holder learns with its next beat that its lease is lost. Naming the fence makes
-- it repeatable: whoever claimed the task since is left alone.
local id, fence, by = ARGV[1], ARGV[2], ARGV[3]
local r = read(id)
if not r.status then return { 'unknown' } end
if IN_TRANSIT[r.status] then return { 'moving' } end
if r.status ~= 'active' or r.fence ~= fence then
  return { r.settled == fence and (r.status == 'pending' or r.status == 'active') and 'released' or 'wrong', '' }
end
local ms, us = now()
if r.cancel then return finish_cancelled(id, r, ms, r.cancel) end
park_entry(r)
redis.call('ZREM', LEASES, id)
redis.call('HSET', RECORD .. id, 'fence', int(math.max(num(fence) + 1, us)), 'settled', fence)
redis.call('HDEL', RECORD .. id, 'incarnation', 'nonce')
give_back(id, r)
event('pending', id, 'reason', 'taken from ' .. r.worker .. ' by ' .. by)
count('released')
return { 'released', '' }
