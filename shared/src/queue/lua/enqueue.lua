-- enqueue: (nothing) -> pending, for several tasks of this specialty. Idempotent by id.
-- ARGV    1 specialty, 2 deadline in ms where the locators were taken before, then the tasks, each as admit.lua reads it
-- returns what admit.lua answers for each, in order, or {'late'}
-- Behind the deadline the locators may have ended, and name another specialty by now: nothing is written.
-- Denied by Redis when it is full: nothing is written then.
local specialty = ARGV[1]
if not LOCATOR and now() > tonumber(ARGV[2]) then return { 'late' } end
local answers, created, i = {}, 0, 3
while ARGV[i] do
  local answer
  i, answer = admit(specialty, i)
  if string.sub(answer, 1, 7) == 'created' then created = created + 1 end
  answers[#answers + 1] = answer
end
admitted(specialty, created)
return answers
