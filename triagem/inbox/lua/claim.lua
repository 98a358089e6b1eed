-- Take over what a consumer without a lease holds, or remove that consumer once it holds nothing.
-- One script, so that two rescuers cannot take the same entries from each other, no consumer that came back
-- meanwhile loses anything (XGROUP DELCONSUMER drops pending entries for ever), and one death is counted once.
-- KEYS: stream, the other's lease, the other's trial, the lane's suspects.
-- ARGV: group, me, the other consumer, most entries, lane, '1' to take also suspects that have died alone.
-- Returns the entries as XREADGROUP would, each with a third element: deaths alone, or -1 if not suspected.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {}
end

-- What stood in the trial when its worker died, and only that, is suspected. With pcall: Redis may be out of
-- memory, and claiming goes on without suspicion, because draining frees memory.
local trial = redis.call('HGET', KEYS[3], ARGV[5])
if trial then
  local alone = redis.call('HGET', KEYS[3], 'alone') == '1'
  for id in string.gmatch(trial, '%S+') do
    if #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[3]) == 1 then
      if alone then
        redis.pcall('HINCRBY', KEYS[4], id, 1)
      else
        redis.pcall('HSETNX', KEYS[4], id, 0)
      end
    end
  end
  redis.call('HDEL', KEYS[3], ARGV[5])
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
local answer = {}
for _, row in ipairs(rows) do
  if row and row[1] then
    answer[#answer + 1] = {row[1], row[2], tonumber(redis.call('HGET', KEYS[4], row[1]) or -1)}
  end
end
return answer
