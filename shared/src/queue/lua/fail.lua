-- Behind the prelude in settle: active -> failed. The specification is kept, so that a person can run the task
-- again.
local function fail(id, r, ms, class, message, branch)
  local outbox, issue = finish(id, r, 'failed', FAILED, ms, true, 'class', class, 'message', message, 'branch', branch)
  event('failed', id, 'worker', r.worker, 'class', class)
  return { 'done', outbox, issue }
end
