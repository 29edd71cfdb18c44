-- held: whether the lease stands, asked before each step that has an effect outside.
-- ARGV    1 id, 2 fence, 3 incarnation
-- returns 1 or 0; a task asked to be cancelled answers 0: nothing of it is to be published
local r = read(ARGV[1])
if check(r, ARGV[2], ARGV[3]) == 'ok' and not r.cancel then return 1 end
return 0
