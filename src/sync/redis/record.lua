-- How one session record is read; put in front of page.lua and of key.lua. Read only.
-- form: 'hash', of which `field` is read, or 'string'; max: bytes, whatever is longer is not sent.
-- Returns value and end. Where there is no value it is false; the end is Unix ms, -1 = never, or a mark:
-- -2 = no such key, -3 = a key of another type, -4 = longer than max, -5 = another node of the cluster has it.

-- This is most of what a full load costs Redis: no name is looked up twice, and no call is made that isn't needed.
local call, pcall, type = redis.call, redis.pcall, type
-- A number as large as 2^63 would come out negative.
local LATEST = 9007199254740992

-- max: a number. A string may be a whole session, so its length is asked for before it is read; a field that is to hold a name isn't
-- long but by mistake, and is looked at when it is there: the question would be an eighth of what a page costs.
local function read_record(key, form, field, max)
  local value
  if form == 'hash' then
    value = pcall('HGET', key, field)
  else
    value = pcall('STRLEN', key)
    if type(value) == 'number' then
      if value > max then return false, -4 end
      value = call('GET', key)
    end
  end
  if type(value) == 'table' then
    if value.err:find('WRONGTYPE', 1, true) then return false, -3 end
    -- The words of a script for MOVED and ASK.
    if value.err:find('non local key', 1, true) then return false, -5 end
    error(value.err)
  end
  if value and #value > max then return false, -4 end
  local ends = call('PEXPIRETIME', key)
  if ends > LATEST then ends = LATEST end
  return value, ends
end

