-- Add a batch, all or nothing. Checking and adding in two steps would race with other producers.
-- KEYS: stream, and for an idempotent batch the key of its record.
-- ARGV: high-water mark, share of maxmemory that producers may fill, request id or '', number of record arguments
-- that follow (0, or 3: seconds to keep the record, fingerprint, content), the record arguments, payloads...
-- Returns {1, ids...}; or {0, current entries, 'depth' | 'memory'} with nothing added; or {2, fingerprint, content,
-- ids} as recorded the first time, with nothing added.
local first = 5 + tonumber(ARGV[4])
if KEYS[2] then
  local previous = redis.call('HMGET', KEYS[2], 'fingerprint', 'content', 'ids')
  if previous[1] then
    return {2, previous[1], previous[2], previous[3]}
  end
end

local entries = redis.call('XLEN', KEYS[1])
if entries + #ARGV - first + 1 > tonumber(ARGV[1]) then
  return {0, entries, 'depth'}
end

local info = redis.pcall('INFO', 'memory')
if type(info) == 'string' then
  local limit = tonumber(string.match(info, 'maxmemory:(%d+)') or '0')
  if limit > 0 then
    local used = tonumber(string.match(info, 'used_memory:(%d+)'))
    for i = first, #ARGV do used = used + #ARGV[i] end
    if used > limit * tonumber(ARGV[2]) then
      return {0, entries, 'memory'}
    end
  end
end

local added = {1}
for i = first, #ARGV do
  if ARGV[3] == '' then
    added[#added + 1] = redis.call('XADD', KEYS[1], '*', 't', ARGV[i])
  else
    added[#added + 1] = redis.call('XADD', KEYS[1], '*', 't', ARGV[i], 'r', ARGV[3])
  end
end
if KEYS[2] then
  redis.call('HSET', KEYS[2], 'fingerprint', ARGV[6], 'content', ARGV[7], 'ids', table.concat(added, ' ', 2))
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
return added
