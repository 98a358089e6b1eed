-- Add batches, each all or nothing. Checking and adding in two steps would race with other producers.
-- KEYS: stream, then for each idempotent batch the key of its record.
-- ARGV: high-water mark, share of maxmemory that producers may fill; then for each batch: request id or '', number of
-- record arguments (0, or 3: seconds to keep the record, fingerprint, content), record arguments, number of payloads,
-- payloads.
-- Returns one result per batch: {1, ids...}; or {0, current entries, 'depth' | 'memory'} with nothing added; or
-- {2, fingerprint, content, ids} as recorded the first time, with nothing added.
local entries = redis.call('XLEN', KEYS[1])
local used, limit -- read once per call: INFO takes a quarter of a small batch's time

local function read_memory()
  local info = redis.pcall('INFO', 'memory')
  local text = type(info) == 'string' and info or ''
  limit = tonumber(string.match(text, 'maxmemory:(%d+)') or '0')
  used = tonumber(string.match(text, 'used_memory:(%d+)') or '0')
end

local function put(record, request, arguments, first, last)
  if record then
    local previous = redis.call('HMGET', record, 'fingerprint', 'content', 'ids')
    if previous[1] then
      return {2, previous[1], previous[2], previous[3]}
    end
  end
  if entries + last - first + 1 > tonumber(ARGV[1]) then
    return {0, entries, 'depth'}
  end
  if not limit then read_memory() end
  local size = 0
  for i = first, last do size = size + #ARGV[i] end
  if limit > 0 and used + size > limit * tonumber(ARGV[2]) then
    return {0, entries, 'memory'}
  end

  local added = {1}
  for i = first, last do
    if request == '' then
      added[#added + 1] = redis.call('XADD', KEYS[1], '*', 't', ARGV[i])
    else
      added[#added + 1] = redis.call('XADD', KEYS[1], '*', 't', ARGV[i], 'r', request)
    end
  end
  if record then
    redis.call('HSET', record, 'fingerprint', ARGV[arguments + 1], 'content', ARGV[arguments + 2],
      'ids', table.concat(added, ' ', 2))
    redis.call('EXPIRE', record, ARGV[arguments])
  end
  entries, used = entries + last - first + 1, used + size
  return added
end

local results, records, position = {}, 1, 3
while ARGV[position] do
  local arguments = position + 2
  local first = arguments + tonumber(ARGV[position + 1]) + 1
  local last = first + tonumber(ARGV[first - 1]) - 1
  local record
  if first > arguments + 1 then
    records = records + 1
    record = KEYS[records]
  end
  results[#results + 1] = put(record, ARGV[position], arguments, first, last)
  position = last + 1
end
return results
