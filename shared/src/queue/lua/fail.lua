-- fail: active -> failed, or -> cancelled when a cancel was asked for.
-- ARGV    1 id, 2 fence, 3 incarnation, 4 class, 5 message, 6 branch or ''
-- returns {'done' | 'cancelled', outbox entry, issue} | {'already'} | {'stale'}
-- The specification is kept, so that a person can run the task again.
local id = ARGV[1]
local r = read(id)
local verdict = check(r, ARGV[2], ARGV[3])
if verdict ~= 'ok' then return { verdict } end
local ms = now()
if r.cancel then return finish_cancelled(id, r, ms, r.cancel) end
local outbox, issue = finish(id, r, 'failed', FAILED, ms, true, 'class', ARGV[4], 'message', ARGV[5], 'branch', ARGV[6])
event('failed', id, 'worker', r.worker, 'class', ARGV[4])
return { 'done', outbox, issue }
