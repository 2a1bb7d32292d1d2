-- The key file, the same that gateways read (docs/configuration.md, "Keys"), and the key in it that signs.
--
-- It is YAML; there is no YAML in nginx, so this takes the plain form that `gateway keys new` writes and the documents
-- show, one name a line or one key in braces a line, and refuses every other line by its number. A secret can stand anywhere
-- in a file that is wrong, so no message quotes the file.
local ffi = require "ffi"
local libcrypto = require "session_gateway.libcrypto"
local private_file = require "session_gateway.private_file"

local MAX_BYTES = 256 * 1024
local KEYS_MAX = 256
local ID_MAX = 0xffffffff
local SECRET_SIZE = 32
local GUARD_LABEL = "session-gateway guard v1"

local ALLOWED = {
  id = "an integer from 1 to 4294967295",
  name = "1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit",
  suite = "hmac-sha256 or blake2s",
  secret = "64 hexadecimal digits, in quotes",
  encrypt = "true or false",
  notBefore = "null, or an RFC 3339 time",
  notAfter = "null, or an RFC 3339 time",
}

local CHECKS = {
  id = function(text, quoted)
    local id = not quoted and text:match("^[1-9]%d*$") and #text <= 10 and tonumber(text)
    return id and id <= ID_MAX and id or nil
  end,
  name = function(text)
    return #text <= 63 and text:match("^%w[%w._-]*$")
  end,
  suite = function(text)
    return (text == "hmac-sha256" or text == "blake2s") and text or nil
  end,
  secret = function(text, quoted)
    return quoted and #text == 2 * SECRET_SIZE and text:match("^%x+$")
  end,
  encrypt = function(text, quoted)
    if quoted then return nil end
    if text == "true" then return true end
    if text == "false" then return false end
    return nil
  end,
  -- Gateways hold keys to their times; here they are only taken.
  notBefore = function(text)
    return text == "null" or text == "~" or text:match("^%d%d%d%d%-%d%d%-%d%d[Tt ]") and text or nil
  end,
}
CHECKS.notAfter = CHECKS.notBefore

-- `name: value` at `at`: name, value, whether it was quoted, and where what follows begins; nil where there is none.
local function pair_at(line, at)
  local name, value_at = line:match("^%s*(%a+):%s+()", at)
  if name == nil then return nil end
  for _, quote in ipairs { '"', "'" } do
    local text, after = line:match("^" .. quote .. "([^" .. quote .. "\\]*)" .. quote .. "()", value_at)
    if text ~= nil then return name, text, true, after end
  end
  local text, after = line:match("^([%w._:+~-]+)()", value_at)
  if text == nil then return nil end
  return name, text, false, after
end

local function is_end(line, at)
  local rest = line:sub(at)
  return rest:match("^%s*$") or rest:match("^%s+#")
end

local Parser = {}
Parser.__index = Parser

function Parser:fail(found, allowed)
  error({ problem = string.format("%s:%d: found %s, allowed: %s", self.source, self.line_number, found, allowed) }, 0)
end

function Parser:put(name, text, quoted)
  local key = self.key
  if CHECKS[name] == nil then
    self:fail("an unknown name", "id, name, suite, secret, encrypt, notBefore, notAfter")
  end
  if key[name] ~= nil then self:fail(name .. " twice", "each name once") end
  local value = CHECKS[name](text, quoted)
  if value == nil or (value == false and name ~= "encrypt") then
    self:fail("another value for " .. name, ALLOWED[name])
  end
  key[name] = value
end

-- All that a key needs must be there when the next one begins.
function Parser:finish()
  local key = self.key
  if key == nil then return end
  for _, name in ipairs { "id", "secret" } do
    if key[name] == nil then self:fail("the end of a key without " .. name, ALLOWED[name]) end
  end
  for _, other in ipairs(self.keys) do
    if other.id == key.id then self:fail("the id " .. key.id .. " twice", "each id once") end
  end
  if #self.keys == KEYS_MAX then self:fail("more than 256 keys", "at most 256") end
  self.keys[#self.keys + 1] = key
  self.key = nil
end

function Parser:begin()
  self:finish()
  self.key = {}
end

-- `{ id: 1, … }` on one line.
function Parser:flow(line, at)
  local after
  repeat
    local name, text, quoted
    name, text, quoted, after = pair_at(line, at)
    if name == nil then self:fail("no `name: value`", "{ name: value, … } on one line") end
    self:put(name, text, quoted)
    local separator
    separator, at = line:match("^%s*([,}])()", after)
    if separator == nil then self:fail("something after a value", "a comma or a closing brace") end
  until line:sub(at - 1, at - 1) == "}"
  if not is_end(line, at) then self:fail("something after a closing brace", "the end of the line") end
end

function Parser:pair(line, at)
  local name, text, quoted, after = pair_at(line, at)
  if name == nil or not is_end(line, after) then self:fail("a line that is not `name: value`", "one name a line") end
  self:put(name, text, quoted)
end

function Parser:line(line)
  if line:match("^%s*$") or line:match("^%s*#") or line:match("^%-%-%-%s*$") then return end
  if not self.has_head then
    if not line:match("^keys:%s*$") and not line:match("^keys:%s+#") then self:fail("no list of keys", "keys:") end
    self.has_head = true
    return
  end
  local indent, content_at = line:match("^( *)%- +()")
  if indent ~= nil then
    if self.indent ~= nil and #indent ~= self.indent then self:fail("another indentation", "that of the first key") end
    self.indent, self.names_at = #indent, content_at - 1
    self:begin()
    local flow_at = line:match("^{()", content_at)
    self.is_flow = flow_at ~= nil
    if flow_at ~= nil then self:flow(line, flow_at) else self:pair(line, content_at) end
    return
  end
  local spaces = line:match("^( *)%a")
  if spaces == nil or self.key == nil or self.is_flow or #spaces ~= self.names_at then
    self:fail("a line that fits nowhere", "keys as `gateway keys new` writes them")
  end
  self:pair(line, self.names_at + 1)
end

local function secret_bytes(digits)
  local secret = ffi.new("unsigned char[?]", SECRET_SIZE)
  for i = 0, SECRET_SIZE - 1 do secret[i] = tonumber(digits:sub(2 * i + 1, 2 * i + 2), 16) end
  return secret
end

local key_file = {}

-- The keys in a text, in its order, with their secrets. Raises an error that names the line.
function key_file.parse(text, source)
  local parser = setmetatable({ source = source, keys = {}, line_number = 0 }, Parser)
  local ok, failure = pcall(function()
    for line in (text:gsub("\r\n", "\n") .. "\n"):gmatch("(.-)\n") do
      parser.line_number = parser.line_number + 1
      parser:line(line)
    end
    parser:finish()
    if #parser.keys == 0 then parser:fail("no key", "1 to 256 keys") end
  end)
  if ok then return parser.keys end
  -- A mistake in this file would be a string, which could quote.
  return nil, type(failure) == "table" and failure.problem or source .. ": can't be understood"
end

-- A key that can be used: id, encrypt, `prf` and `guard_key`.
function key_file.usable(entry)
  local suite = entry.suite or "hmac-sha256"
  local secret = secret_bytes(entry.secret)
  local prf = libcrypto.prf(suite, secret)
  libcrypto.wipe(secret, SECRET_SIZE)
  local guard_out = ffi.new("unsigned char[?]", libcrypto.PRF_SIZE)
  prf(GUARD_LABEL, #GUARD_LABEL, guard_out)
  return { id = entry.id, suite = suite, encrypt = entry.encrypt == true, prf = prf, guard_key = guard_out }
end

-- The key that signs: the one with this id, which may be left out where the file has only one; the rule of
-- src/client/client-key.ts. Returns nil and what is wrong otherwise.
function key_file.read(path, id)
  local text, problem = private_file.read(path, MAX_BYTES)
  if text == nil then return nil, problem end
  local entries
  entries, problem = key_file.parse(text, path)
  if entries == nil then return nil, problem end
  local ids, chosen = {}, nil
  for i, entry in ipairs(entries) do
    ids[i] = string.format("%d", entry.id)
    if entry.id == id or (id == nil and #entries == 1) then chosen = entry end
  end
  if chosen == nil then
    return nil, string.format("key: found %s, allowed: one of those in %s: %s",
      id == nil and "none" or string.format("%d", id), path, table.concat(ids, ", "))
  end
  return key_file.usable(chosen)
end

return key_file
