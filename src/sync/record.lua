-- How one session record is read; put in front of page.lua and of key.lua. Read only.
-- form: 'hash', of which `field` is read, or 'string'; max: bytes, whatever is longer is not sent.
-- Returns value and end. Where there is no value it is false; the end is Unix ms, -1 = never, or a mark:
-- -2 = no such key, -3 = a key of another type, -4 = longer than max, -5 = another node of the cluster has it.

local function read_record(key, form, field, max)
  local size
  if form == 'hash' then size = redis.pcall('HSTRLEN', key, field) else size = redis.pcall('STRLEN', key) end
  if type(size) == 'table' then
    if size.err:find('WRONGTYPE', 1, true) then return false, -3 end
    -- The words of a script for MOVED and ASK.
    if size.err:find('non local key', 1, true) then return false, -5 end
    error(size.err)
  end
  if size > tonumber(max) then return false, -4 end
  local value
  if form == 'hash' then value = redis.call('HGET', key, field) else value = redis.call('GET', key) end
  -- A number as large as 2^63 would come out negative.
  return value, math.min(redis.call('PEXPIRETIME', key), 9007199254740992)
end

