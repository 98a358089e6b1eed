-- Take over what a consumer without a lease holds, or remove that consumer once it holds nothing.
-- One script, so that two rescuers cannot take the same entries from each other, and no consumer that came
-- back meanwhile loses anything: XGROUP DELCONSUMER drops pending entries for ever.
-- KEYS: stream, the other consumer's lease. ARGV: group, me, the other consumer, most entries.
-- Returns the entries as XREADGROUP would.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {}
end
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[3])
if #pending == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[3])
  return {}
end
local ids = {}
for i, entry in ipairs(pending) do ids[i] = entry[1] end
return redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(ids))
