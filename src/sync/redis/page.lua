-- One page of a snapshot, read in one atomic step: the feed's last id, and for each key of one SCAN its
-- record. Read only.
-- KEYS[1] feed, where there is one; ARGV[1] cursor, [2] pattern, [3] COUNT, [4] bytes, [5] form, [6] field, [7] max
-- Returns {cursor, last id, key, value, end, key, value, end, ...}: value and end as record.lua says.
-- Keys are found by SCAN and so can't be declared. A cluster lets a script read those of its own node all the same.

local last_id = '0-0'
if KEYS[1] then
  local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
  if info.err then
    if not info.err:find('no such key', 1, true) then return redis.error_reply(info.err) end
  else
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then last_id = info[i + 1] end
    end
  end
end

-- Of a longer key the session id is too long in any case.
local longest = #ARGV[2] + 1025
local count = tonumber(ARGV[3])
local form, field, max = ARGV[5], ARGV[6], tonumber(ARGV[7])
-- What the protocol puts around the three parts of a record, at most.
local AROUND = 48

-- Returns the page; where it would have more bytes than `most`, nothing and how many keys were read by then.
local function read_page(most)
  local scanned = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', count)
  local page, size, bytes = {scanned[1], last_id}, 2, 0
  local keys = scanned[2]
  for i = 1, #keys do
    local key = keys[i]
    local shown = #key > longest and key:sub(1, longest) or key
    local value, ends = read_record(key, form, field, max)
    bytes = bytes + AROUND + #shown + (value and #value or 0)
    if bytes > most then return nil, i end
    page[size + 1], page[size + 2], page[size + 3] = shown, value, ends
    size = size + 3
  end
  return page
end

-- One may go on from a cursor as often as one likes: in the place of a page that is too large, half of it is read.
while count > 1 do
  local page, read = read_page(tonumber(ARGV[4]))
  if page then return page end
  count = math.floor(math.min(count, read) / 2)
end
-- One bucket of Redis's hash table, a handful of keys. Only a table that is filled again while it still shrinks, which takes
-- seconds, has more in one: then this fails, and is tried again.
count = 1
local most = 3 * tonumber(ARGV[4])
return (read_page(most)) or redis.error_reply('ERR the smallest page: found more bytes than are allowed: ' .. most)
