-- Put a batch, all or nothing. Checking and adding in two steps would race with other producers.
-- KEYS: stream. ARGV: high-water mark, share of maxmemory that producers may fill, payloads...
-- Returns {1, ids...}, or {0, entries now, 'mark' | 'memory'} and nothing was added.
local entries = redis.call('XLEN', KEYS[1])
if entries + #ARGV - 2 > tonumber(ARGV[1]) then
  return {0, entries, 'mark'}
end

local info = redis.pcall('INFO', 'memory')
if type(info) == 'string' then
  local limit = tonumber(string.match(info, 'maxmemory:(%d+)') or '0')
  if limit > 0 then
    local used = tonumber(string.match(info, 'used_memory:(%d+)'))
    for i = 3, #ARGV do used = used + #ARGV[i] end
    if used > limit * tonumber(ARGV[2]) then
      return {0, entries, 'memory'}
    end
  end
end

local answer = {1}
for i = 3, #ARGV do
  answer[#answer + 1] = redis.call('XADD', KEYS[1], '*', 't', ARGV[i])
end
return answer
