-- Put a batch, all or nothing. Checking and adding in two steps would race with other producers.
-- KEYS: stream, and for a batch that may be sent twice the note of it.
-- ARGV: high-water mark, share of maxmemory that producers may fill, request id or '', how many arguments of the
-- note follow (0, or 3: seconds to keep it, fingerprint, content), these, payloads...
-- Returns {1, ids...}; {0, entries now, 'mark' | 'memory'} and nothing was added; or {2, fingerprint, content, ids}
-- as it was noted the first time, and nothing was added.
local first = 5 + tonumber(ARGV[4])
if KEYS[2] then
  local before = redis.call('HMGET', KEYS[2], 'fingerprint', 'content', 'ids')
  if before[1] then
    return {2, before[1], before[2], before[3]}
  end
end

local entries = redis.call('XLEN', KEYS[1])
if entries + #ARGV - first + 1 > tonumber(ARGV[1]) then
  return {0, entries, 'mark'}
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

local answer = {1}
for i = first, #ARGV do
  if ARGV[3] == '' then
    answer[#answer + 1] = redis.call('XADD', KEYS[1], '*', 't', ARGV[i])
  else
    answer[#answer + 1] = redis.call('XADD', KEYS[1], '*', 't', ARGV[i], 'r', ARGV[3])
  end
end
if KEYS[2] then
  redis.call('HSET', KEYS[2], 'fingerprint', ARGV[6], 'content', ARGV[7], 'ids', table.concat(answer, ' ', 2))
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
return answer
