-- A small hash, whatever it has become. Read only.
-- KEYS[1] hash; ARGV[1] most entries, [2] longest name, [3] longest value, [4] most bytes in all
-- Returns {name, value, name, value, ...}; a longer name is cut to one byte more than is allowed, and a longer value is
-- '', so that the reader finds both malformed. What is larger as a whole is an error.

local size = redis.pcall('HLEN', KEYS[1])
if type(size) == 'table' then return redis.error_reply(size.err) end
if size > tonumber(ARGV[1]) then
  return redis.error_reply('ERR found ' .. size .. ' entries, allowed: ' .. ARGV[1])
end
local found, bytes = {}, 0
for i, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  local value = ''
  if redis.call('HSTRLEN', KEYS[1], name) <= tonumber(ARGV[3]) then value = redis.call('HGET', KEYS[1], name) end
  name = name:sub(1, ARGV[2] + 1)
  bytes = bytes + #name + #value
  if bytes > tonumber(ARGV[4]) then return redis.error_reply('ERR found more bytes than are allowed: ' .. ARGV[4]) end
  found[2 * i - 1] = name
  found[2 * i] = value
end
return found
