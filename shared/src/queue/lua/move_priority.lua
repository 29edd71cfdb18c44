-- move to another priority: held, pending, delayed -> the same in another stream; its place is by age.
-- ARGV    1 id, 2 priority, 3 by whom
-- returns {'moved'} | {'wrong'} | {'moving'} | {'unknown'}
local id, priority, by = ARGV[1], ARGV[2], ARGV[3]
local r = read(id)
if not r.status then return { 'unknown' } end
if IN_TRANSIT[r.status] then return { 'moving' } end
if not WAITS[r.status] then return { 'wrong' } end
if r.priority == priority then return { 'moved' } end
if r.entry and r.entry ~= '' then
  local found = redis.call('XRANGE', TASKS .. r.priority, r.entry, r.entry)[1]
  redis.call('ZREM', AGAIN, id)
  drop_entry(id, r)
  local entry = park(id, priority, found and found[2][4] or '')
  if r.status == 'pending' then
    redis.call('ZADD', AGAIN, again_score({ priority = priority, created_at = r.created_at, lost = r.lost }), id)
  end
  redis.call('HSET', RECORD .. id, 'entry', entry)
end
redis.call('HSET', RECORD .. id, 'priority', priority)
event('moved', id, 'from', r.priority, 'to', priority, 'by', by)
if r.status == 'pending' then wake() end
return { 'moved' }
