-- One session record. Read only.
-- KEYS[1] its key; ARGV[1] form, [2] field, [3] max
-- Returns {value, end} as record.lua says.

local value, ends = read_record(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]))
return {value, ends}
