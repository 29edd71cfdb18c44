-- complete: active -> completed.
-- ARGV    1 id, 2 fence, 3 incarnation, then field, value ... of the outcome
-- returns {'done', outbox entry, issue} | {'already'} | {'stale'}
-- A cancel that comes later than the result changes nothing: the result stands.
local id = ARGV[1]
local r = read(id)
local verdict = check(r, ARGV[2], ARGV[3])
if verdict ~= 'ok' then return { verdict } end
local ms = now()
local outbox, issue = finish(id, r, 'completed', FINISHED, ms, false, unpack(ARGV, 4))
event('completed', id, 'worker', r.worker, 'fence', r.fence)
return { 'done', outbox, issue }
