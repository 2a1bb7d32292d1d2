-- One page of a snapshot, read in one atomic step: the feed's last id, and for each key of one SCAN its
-- backend and its end. Read only.
-- KEYS[1] feed; ARGV[1] cursor, [2] pattern, [3] COUNT, [4] field
-- Returns {cursor, last id, key, backend, end, key, backend, end, ...}; where there is no such field the
-- backend is nil; the end is Unix ms, -1 = never, -2 = no such key any more, -3 = not a hash.
-- Keys are found by SCAN and so can't be declared: Redis Cluster, which would need that, is not read this way.

local scanned = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local page = {scanned[1], '0-0'}

local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if info.err then
  if not info.err:find('no such key', 1, true) then return redis.error_reply(info.err) end
else
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then page[2] = info[i + 1] end
  end
end

local size = 2
for _, key in ipairs(scanned[2]) do
  local backend = redis.pcall('HGET', key, ARGV[4])
  local ends = -3
  if type(backend) == 'table' then
    backend = false
  else
    -- A number as large as 2^63 would come out negative.
    ends = math.min(redis.call('PEXPIRETIME', key), 9007199254740992)
  end
  page[size + 1] = key
  page[size + 2] = backend
  page[size + 3] = ends
  size = size + 3
end
return page
