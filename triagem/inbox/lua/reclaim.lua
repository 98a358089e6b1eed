-- Claim the pending entries of a consumer without a lease, or remove that consumer once nothing is pending.
-- One script, so that two workers cannot claim the same entries from each other, a consumer that came back in the
-- meantime loses nothing (XGROUP DELCONSUMER drops pending entries forever), and a crash is counted once.
-- KEYS: stream, the other consumer's lease, its in-progress marker, the lane's quarantine.
-- ARGV: group, our consumer, the other consumer, limit, lane, '1' to include entries that crashed a worker alone.
-- Returns entries as XREADGROUP does, each with a third element: solo crashes, or -1 if it is not quarantined.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {}
end

-- Quarantine what the marker of the dead worker lists, and nothing else. With pcall: Redis may be out of memory.
-- Then entries are claimed without quarantine, because draining frees memory.
local marker = redis.call('HGET', KEYS[3], ARGV[5])
if marker then
  local alone = redis.call('HGET', KEYS[3], 'alone') == '1'
  for id in string.gmatch(marker, '%S+') do
    if #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[3]) == 1 then
      if alone then
        redis.pcall('HINCRBY', KEYS[4], id, 1)
      else
        redis.pcall('HSETNX', KEYS[4], id, 0)
      end
    end
  end
  redis.call('HDEL', KEYS[3], ARGV[5])
  if redis.call('HLEN', KEYS[3]) == 1 then -- only `alone` is left: the other lane's ids are none, or already read
    redis.call('DEL', KEYS[3])
  end
end

local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[3])
if #pending == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[3])
  return {}
end
local ids = {}
for _, entry in ipairs(pending) do
  if ARGV[6] == '1' or tonumber(redis.call('HGET', KEYS[4], entry[1]) or 0) == 0 then
    ids[#ids + 1] = entry[1]
  end
end
if #ids == 0 then
  return {}
end
local rows = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(ids))
local claimed = {}
for _, row in ipairs(rows) do
  if row and row[1] then
    claimed[#claimed + 1] = {row[1], row[2], tonumber(redis.call('HGET', KEYS[4], row[1]) or -1)}
  end
end
return claimed
