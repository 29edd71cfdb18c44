-- settle: ends the runs of several tasks, each by its own lease: complete.lua, fail.lua, retry.lua, release.lua.
-- ARGV    for each task: transition, id, fence, incarnation, how many more arguments, then these:
--           complete  field, value ... of the outcome
--           fail      class, message, branch or ''
--           retry     delay in ms, most attempts, class, message
--           release   reason
-- returns for each task, in order: {'done' | 'failed' | 'cancelled', outbox entry or '', issue} | {'already'} |
--         {'stale'} | {'error', message}: what is wrong with one stops no other
local ms = now()
local BY_NAME = { fail = fail, retry = retry, release = release }

-- A cancel that was asked for wins over all but a result.
local function move(transition, id, r, first, last)
  if transition == 'complete' then
    -- Of a task without an entry; those with one are completed together.
    local outbox, issue = finish(id, r, 'completed', FINISHED, ms, false, unpack(ARGV, first, last))
    event('completed', id, 'worker', r.worker, 'fence', r.fence)
    return { 'done', outbox, issue }
  end
  if r.cancel then return finish_cancelled(id, r, ms, r.cancel) end
  return BY_NAME[transition](id, r, ms, unpack(ARGV, first, last))
end

local answers, together, gathered = {}, {}, {}
local i, place = 1, 1
while ARGV[i] do
  local transition, id = ARGV[i], ARGV[i + 1]
  local first, last = i + 5, i + 4 + ARGV[i + 4]
  -- The same lease twice: the second is to find what the first did.
  if gathered[id] then
    complete_all(together, ms, answers)
    together, gathered = {}, {}
  end
  local plain = transition == 'complete' and with_entry(id, ARGV[i + 2], ARGV[i + 3])
  if plain then
    together[#together + 1] = { id = id, r = plain, first = first, last = last, place = place }
    gathered[id] = true
  else
    local r = read(id)
    local verdict = check(r, ARGV[i + 2], ARGV[i + 3])
    local ok, answer = true, { verdict }
    if verdict == 'ok' then ok, answer = pcall(move, transition, id, r, first, last) end
    answers[place] = ok and answer or { 'error', type(answer) == 'table' and answer.err or tostring(answer) }
  end
  i, place = last + 1, place + 1
end
if #together > 0 then complete_all(together, ms, answers) end
return answers
