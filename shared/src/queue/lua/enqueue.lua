-- enqueue: (nothing) -> pending, for several tasks of this specialty. Idempotent by id.
-- ARGV    1 specialty, then the tasks, each as admit.lua reads it
-- returns what admit.lua answers for each, in order
-- Denied by Redis when it is full: nothing is written then.
local specialty = ARGV[1]
local answers, created, i = {}, 0, 2
while ARGV[i] do
  local answer
  i, answer = admit(specialty, i)
  if answer == 'created' then created = created + 1 end
  answers[#answers + 1] = answer
end
admitted(specialty, created)
return answers
