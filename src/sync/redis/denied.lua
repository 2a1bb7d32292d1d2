-- One page of the revoked sessions, whatever they have become. Read only.
-- KEYS[1] sorted set; ARGV[1] cursor, [2] COUNT, [3] most members in all, [4] longest member, [5] now, [6] latest end
-- Returns {cursor, member, end, member, end, ...} of those that end after now; times are Unix ms. A longer member is cut to one
-- byte more than is allowed, so that the reader finds it malformed; a later end is the latest.
-- A member that is there from the first page to the last is on one of them, also where its score changes meanwhile.

local size = redis.pcall('ZCARD', KEYS[1])
if type(size) == 'table' then return redis.error_reply(size.err) end
if size > tonumber(ARGV[3]) then
  return redis.error_reply('ERR found ' .. size .. ' members, allowed: ' .. ARGV[3])
end
local scanned = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local now, latest = tonumber(ARGV[5]), tonumber(ARGV[6])
local page, filled = {scanned[1]}, 1
for i = 1, #scanned[2], 2 do
  local ends = math.min(tonumber(scanned[2][i + 1]), latest)
  if ends > now then
    page[filled + 1] = scanned[2][i]:sub(1, ARGV[4] + 1)
    page[filled + 2] = ends
    filled = filled + 2
  end
end
return page
