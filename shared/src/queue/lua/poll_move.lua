-- poll_move: goes on with a turn to poll, or ends it, and moves cursors, never backwards.
-- KEYS    1 hash, see poll_take
-- ARGV    1 fence, 2 lease in ms, 0 to end the turn, then list, time in s, etag ...
-- returns 1 | 0 when another has taken a turn since; nothing is changed then
local fence = redis.call('HGET', KEYS[1], 'fence')
if fence ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 3 do
  local at = tonumber(redis.call('HGET', KEYS[1], ARGV[i])) or 0
  if tonumber(ARGV[i + 1]) >= at then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1], ARGV[i] .. '_etag', ARGV[i + 2])
  end
end
if ARGV[2] == '0' then
  redis.call('HSET', KEYS[1], 'owner', '', 'until', '0')
else
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'until', string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]))
end
return 1
