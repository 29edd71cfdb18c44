-- Second step of a move: (nothing) -> arriving, in the slot it goes to. Nobody claims what arrives.
-- ARGV    1 id, 2 specialty it comes from, 3 token of the move, 4 deadline in ms, 5 spec, then field, value ...
-- returns 'arriving', also when that was done before | 'taken' (another task of this id is here) | 'late'
-- The deadline keeps whoever was frozen from copying what others have moved, run and forgotten since.
local id, source, token, spec = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
local f = fields(id, 'status', 'move')
if f[1] then return f[2] == token and 'arriving' or 'taken' end
if now() > tonumber(ARGV[4]) then return 'late' end
if spec ~= '' then redis.call('SET', SPEC .. id, spec) end
redis.call('HSET', RECORD .. id, unpack(ARGV, 6))
redis.call('HSET', RECORD .. id, 'status', 'arriving', 'source', source, 'move', token, 'own', '1',
  'arrival', (effect(id, {})))
redis.call('HDEL', RECORD .. id, 'target')
count('moved_in')
return 'arriving'
