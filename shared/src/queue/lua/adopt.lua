-- adopt: what this incarnation holds by Redis' account, among it claims whose answers were lost.
-- ARGV    1 node, 2 incarnation
-- returns {{id, fence, runs, attempts, spec, 'alone' or another phase} ...}
-- Changes nothing: the caller takes up what it does not know and renews it like the rest.
local node, incarnation = ARGV[1], ARGV[2]
local PENDING_MAX = 100
local held = {}
for _, priority in ipairs({ 'high', 'medium', 'low' }) do
  local stream = TASKS .. priority
  local pending = redis.pcall('XPENDING', stream, 'workers', '-', '+', PENDING_MAX, node)
  if not pending.err then
    for _, item in ipairs(pending) do
      local found = redis.call('XRANGE', stream, item[1], item[1])
      local id = found[1] and found[1][2][2]
      if id then
        local f = fields(id, 'status', 'incarnation', 'fence', 'runs', 'attempts', 'phase', 'own', 'entry')
        if f[1] == 'active' and f[2] == incarnation and f[8] == item[1] then
          local spec = found[1][2][4]
          if f[7] == '1' then spec = redis.call('GET', SPEC .. id) or '' end
          held[#held + 1] = { id, f[3], f[4], f[5] or '0', spec, f[6] or '' }
        end
      end
    end
  end
end
return held
