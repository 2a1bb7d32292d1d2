-- From a cookie's value to the session id inside: src/client/transforms.ts with the same names and the same results.
-- A cookie comes from anyone, so nothing here raises an error for what it holds. No signature is verified: that takes the
-- application's own secret, and stays with the application.
local VALUE_MAX = 4096 -- RFC 6265, section 6.1, asks browsers to keep no longer ones

local byte, char = string.byte, string.char

-- Whether bytes are UTF-8 (RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF).
local function is_utf8(text)
  local at, length = 1, #text
  while at <= length do
    local first = byte(text, at)
    local more, lowest, highest = 0, 0x80, 0xbf
    if first < 0x80 then
      more = 0
    elseif first >= 0xc2 and first <= 0xdf then
      more = 1
    elseif first >= 0xe0 and first <= 0xef then
      more = 2
      if first == 0xe0 then lowest = 0xa0 elseif first == 0xed then highest = 0x9f end
    elseif first >= 0xf0 and first <= 0xf4 then
      more = 3
      if first == 0xf0 then lowest = 0x90 elseif first == 0xf4 then highest = 0x8f end
    else
      return false
    end
    for i = 1, more do
      local next_byte = byte(text, at + i)
      if next_byte == nil or next_byte < lowest or next_byte > highest then return false end
      lowest, highest = 0x80, 0xbf
    end
    at = at + 1 + more
  end
  return true
end

-- Bytes by their two hexadecimal digits, made as they are met: at most 484.
local by_digits = setmetatable({}, { __index = function(known, digits)
  local decoded = char(tonumber(digits, 16))
  known[digits] = decoded
  return decoded
end })

-- Percent-decoded (RFC 3986), or nil where that is malformed or not UTF-8.
local function percent_decoded(value)
  if not value:find("%", 1, true) then return value end
  if value:gsub("%%%x%x", ""):find("%", 1, true) then return nil end
  local decoded = value:gsub("%%(%x%x)", by_digits)
  return is_utf8(decoded) and decoded or nil
end

local transforms = {}

-- The value is the session id.
function transforms.raw(value)
  return value
end

-- express-session's cookie, `s:` session id `.` signature, URL-encoded or already decoded. The id may have dots, the
-- signature has none.
function transforms.express(value)
  local decoded = percent_decoded(value)
  if decoded == nil or decoded:sub(1, 2) ~= "s:" then return nil end
  return decoded:match("^s:(.+)%.[^.]+$")
end

-- The session id's bytes in base64, RFC 4648, section 4 or 5, padded or not, URL-encoded or not. Other characters than the
-- alphabet's and bits that no encoder leaves make it malformed.
function transforms.base64(value)
  local decoded = percent_decoded(value)
  if decoded == nil then return nil end
  local digits, padding = decoded:match("^([%w+/_-]+)(=*)$")
  if digits == nil or #padding > 2 or (#padding > 0 and #decoded % 4 ~= 0) then return nil end
  digits = digits:gsub("-", "+"):gsub("_", "/")
  local bytes = ngx.decode_base64(digits .. ("="):rep(-#digits % 4))
  if bytes == nil or bytes == "" then return nil end
  return ngx.encode_base64(bytes, true) == digits and bytes or nil
end

-- The session id in a cookie's value, as a string of bytes; nil where there is none.
local function session_id(value, transform)
  if value == nil or value == "" or #value > VALUE_MAX then return nil end
  local found = transform(value)
  if type(found) ~= "string" or found == "" then return nil end
  return found
end

return { by_name = transforms, session_id = session_id }
