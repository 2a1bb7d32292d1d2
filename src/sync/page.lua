-- One page of a snapshot, read in one atomic step: the feed's last id, and for each key of one SCAN its
-- record. Read only.
-- KEYS[1] feed, where there is one; ARGV[1] cursor, [2] pattern, [3] COUNT, [4] form, [5] field, [6] max
-- Returns {cursor, last id, key, value, end, key, value, end, ...}: value and end as record.lua says.
-- Keys are found by SCAN and so can't be declared. A cluster lets a script read those of its own node all the same.

local scanned = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local page = {scanned[1], '0-0'}

if KEYS[1] then
  local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
  if info.err then
    if not info.err:find('no such key', 1, true) then return redis.error_reply(info.err) end
  else
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then page[2] = info[i + 1] end
    end
  end
end

local size = 2
-- Of a longer key the session id is too long in any case.
local longest = #ARGV[2] + 1025
for _, key in ipairs(scanned[2]) do
  page[size + 1] = key:sub(1, longest)
  page[size + 2], page[size + 3] = read_record(key, ARGV[4], ARGV[5], ARGV[6])
  size = size + 3
end
return page
