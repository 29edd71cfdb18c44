-- suspend: an agent account met its limit. Of two ends the later counts: a limit that named none must not
-- shorten one that did.
-- KEYS    1 the account's key
-- ARGV    1 life in ms
-- returns 1
if redis.call('SET', KEYS[1], 'limited', 'NX', 'PX', ARGV[1]) then return 1 end
redis.call('PEXPIRE', KEYS[1], ARGV[1], 'GT')
return 1
