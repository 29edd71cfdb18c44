-- enlist: enters specialties into the list of all there are. A script, because a full Redis refuses the bare
-- command, and with it every beat.
-- KEYS    1 the list
-- ARGV    names
-- returns how many were new
return redis.call('SADD', KEYS[1], unpack(ARGV))
