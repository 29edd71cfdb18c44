-- change: held, pending, delayed -> the same, with another specification. It gets a key of its own; that in the
-- stream entry is not read any more.
-- ARGV    1 id, 2 revision that the new text was made from, 3 spec (MessagePack), 4 by whom,
--         then field, value ... of the record
-- returns {'changed'} | {'conflict'} | {'wrong'} | {'moving'} | {'unknown'}
-- A former holder that comes back has the old text: it cannot renew what was changed.
local id, revision, spec, by = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local r = read(id)
if not r.status then return { 'unknown' } end
if IN_TRANSIT[r.status] then return { 'moving' } end
if not WAITS[r.status] then return { 'wrong' } end
if (fields(id, 'revision')[1] or '0') ~= revision then return { 'conflict' } end
redis.call('SET', SPEC .. id, spec)
redis.call('HSET', RECORD .. id, 'own', '1', 'revision', int(num(revision) + 1), unpack(ARGV, 5))
redis.call('HDEL', RECORD .. id, 'incarnation')
event('changed', id, 'by', by)
return { 'changed' }
