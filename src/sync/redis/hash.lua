-- A small hash, or some of it, whatever it has become. Read only.
-- KEYS[1] hash; ARGV[1] most entries, [2] longest name, [3] longest value, [4] most bytes in all, [5...] names; without
-- them all of the hash
-- Returns {name, value, name, value, ...}; a longer name is cut to one byte more than is allowed, and a longer value is
-- nil, so that the reader finds both malformed. Names that are not there are left out. What is larger as a whole is an error.

local size = redis.pcall('HLEN', KEYS[1])
if type(size) == 'table' then return redis.error_reply(size.err) end
local names = {}
for i = 5, #ARGV do names[i - 4] = ARGV[i] end
if #names == 0 then
  if size > tonumber(ARGV[1]) then
    return redis.error_reply('ERR found ' .. size .. ' entries, allowed: ' .. ARGV[1])
  end
  names = redis.call('HKEYS', KEYS[1])
end
local found, filled, bytes = {}, 0, 0
for _, name in ipairs(names) do
  local length = redis.call('HSTRLEN', KEYS[1], name)
  local value = false
  if length <= tonumber(ARGV[3]) then value = redis.call('HGET', KEYS[1], name) end
  if value or length > 0 then
    name = name:sub(1, ARGV[2] + 1)
    bytes = bytes + #name + (value and #value or 0)
    if bytes > tonumber(ARGV[4]) then return redis.error_reply('ERR found more bytes than are allowed: ' .. ARGV[4]) end
    found[filled + 1] = name
    found[filled + 2] = value
    filled = filled + 2
  end
end
return found
