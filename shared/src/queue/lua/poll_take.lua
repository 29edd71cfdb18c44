-- poll_take: the turn to poll a repository, if it is due and nobody else has it. The next is due an interval from now.
-- KEYS    1 hash: owner, until (ms), due (ms), fence, issues and comments (s), issues_etag, comments_etag
-- ARGV    1 owner, 2 lease in ms, 3 interval in ms, 4 overlap in s, 5 how far to look back at most, in s, 6 life in s of
--         what is known of a repository that nobody polls any more
-- returns {'ours', fence, issues, its etag, comments, its etag} | {'wait', ms}
-- An end or a due time further off than this call could have set it was set before the clock was set back, and does
-- not count. An owner who asks again had its answer lost.
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'owner', 'until', 'due', 'fence', 'issues', 'comments', 'issues_etag', 'comments_etag')
local left, due = (tonumber(f[2]) or 0) - ms, (tonumber(f[3]) or 0) - ms
local held = f[1] and f[1] ~= '' and left > 0 and left <= tonumber(ARGV[2])
if held and f[1] ~= ARGV[1] then return { 'wait', string.format('%d', left) } end
if not held and due > 0 and due <= tonumber(ARGV[3]) then return { 'wait', string.format('%d', due) } end
local fence = string.format('%d', math.max((tonumber(f[4]) or 0) + 1, ms))
local first = string.format('%d', t[1] - ARGV[4])
local function since(at)
  if not at then return first end
  return string.format('%d', math.max(tonumber(at) or 0, t[1] - ARGV[5]))
end
local issues, comments = since(f[5]), since(f[6])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%d', ms + ARGV[2]),
  'due', string.format('%d', ms + ARGV[3]), 'fence', fence, 'issues', issues, 'comments', comments)
redis.call('EXPIRE', KEYS[1], ARGV[6])
return { 'ours', fence, issues, f[7] or '', comments, f[8] or '' }
