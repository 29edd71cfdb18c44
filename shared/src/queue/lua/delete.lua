-- delete: held, completed, failed, cancelled -> (nothing): record, specification and log go.
-- ARGV    1 id, 2 by whom
-- returns {'deleted', outbox entry, issue} | {'wrong'} | {'moving'} | {'unknown'}
local id, by = ARGV[1], ARGV[2]
local r = read(id)
if not r.status then return { 'unknown' } end
if IN_TRANSIT[r.status] then return { 'moving' } end
local index = ({ held = HELD, completed = FINISHED, failed = FAILED, cancelled = CANCELLED })[r.status]
if not index then return { 'wrong' } end
redis.call('ZREM', index, id)
redis.call('UNLINK', RECORD .. id, SPEC .. id, LOG .. id)
event('deleted', id, 'by', by)
if r.status == 'held' then count('withdrawn') end
return { 'deleted', gone_elsewhere(id, r) }
