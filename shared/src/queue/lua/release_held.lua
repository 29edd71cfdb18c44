-- release of a held task: held -> pending.
-- ARGV    1 id
-- returns {'released'} | {'not_held', status} | {'moving'} | {'unknown'}
local id = ARGV[1]
local r = read(id)
if not r.status then return { 'unknown' } end
if IN_TRANSIT[r.status] then return { 'moving' } end
if r.status ~= 'held' then return { 'not_held', r.status } end
redis.call('ZREM', HELD, id)
give_back(id, r)
event('pending', id)
return { 'released' }
