-- The options of `session_gateway.new`: their defaults and checks. A wrong one stops nginx from starting (or from
-- reloading: the old workers go on), with what was found and what is allowed.
local transforms = require "session_gateway.transforms"

local DEFAULT_PORT = 6464
local GATEWAYS_MAX = 64

local function fail(field, found, allowed)
  error(string.format("session_gateway: %s: found %s, allowed: %s", field, found, allowed), 0)
end

local function shown(value)
  if value == nil then return "nothing" end
  if type(value) == "string" then return string.format("%q", value:sub(1, 60)) end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return "a " .. type(value)
end

local function integer(field, value, least, most)
  if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
    fail(field, shown(value), string.format("an integer from %d to %d", least, most))
  end
  return value
end

local function number(field, value, least, most)
  if type(value) ~= "number" or not (value >= least and value <= most) then
    fail(field, shown(value), string.format("a number from %s to %s", least, most))
  end
  return value
end

local function text(field, value, allowed)
  if type(value) ~= "string" or value == "" then fail(field, shown(value), allowed) end
  return value
end

local function is_ipv4(host)
  local parts = { host:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$") }
  for _, part in ipairs(parts) do
    if #part > 3 or tonumber(part) > 255 then return false end
  end
  return #parts == 4
end

-- IP literals: a name would have to be asked for on every request. A table with host (as nginx wants it: IPv6 in brackets)
-- and port.
local function address(field, value, default_port)
  local allowed = default_port == nil and "IP:port, IPv6 in brackets" or "IP or IP:port, IPv6 in brackets"
  if type(value) ~= "string" then fail(field, shown(value), allowed) end
  local host, port = value:match("^([%d.]+):(%d+)$")
  if host == nil then host, port = value:match("^(%[[%x:.]+%]):(%d+)$") end
  if host == nil and default_port ~= nil then
    host, port = value:match("^[%d.]+$") or value:match("^%[[%x:.]+%]$"), default_port
  end
  port = tonumber(port)
  if host == nil or (host:sub(1, 1) ~= "[" and not is_ipv4(host)) or port < 1 or port > 65535 then
    fail(field, shown(value), allowed)
  end
  return { host = host, port = port, label = string.format("%s:%d", host, port) }
end

local function addresses(field, list, least, most, default_port)
  if type(list) ~= "table" then fail(field, shown(list), "a list of addresses") end
  integer("number of " .. field, #list, least, most)
  local found, seen = {}, {}
  for i, value in ipairs(list) do
    local name = string.format("%s[%d]", field, i)
    found[i] = address(name, value, default_port)
    if seen[found[i].label] then fail(name, shown(value), "each once") end
    seen[found[i].label] = true
  end
  return found
end

local function transform_from(value)
  if type(value) == "function" then return value end
  local found = type(value) == "string" and transforms.by_name[value]
  if not found then fail("transform", shown(value), '"raw", "express", "base64" or a function') end
  return found
end

local NAMES = {
  "gateways", "keys", "key", "cookie", "transform", "timeout_ms", "try_timeout_ms", "spread", "upstream", "denied_status",
  "cache_seconds", "cache_entries", "spares", "counters",
}

local function require_known(options)
  if type(options) ~= "table" then fail("options", shown(options), "a table") end
  local known = {}
  for _, name in ipairs(NAMES) do known[name] = true end
  for name in pairs(options) do
    if not known[name] then fail("options", shown(name), table.concat(NAMES, ", ")) end
  end
end

local options = {}

-- What each is for: docs/integrations.md, "nginx", "Options".
function options.checked(given)
  require_known(given)
  local settings = {
    gateways = addresses("gateways", given.gateways, 1, GATEWAYS_MAX, DEFAULT_PORT),
    keys = text("keys", given.keys, "the key file's path"),
    cookie = text("cookie", given.cookie, "the cookie's name"),
    transform = transform_from(given.transform or "raw"),
    upstream = text("upstream", given.upstream or "session_gateway", "the name of an upstream"),
    denied_status = integer("denied_status", given.denied_status or 403, 400, 599),
    timeout_ms = integer("timeout_ms", given.timeout_ms or 20, 1, 60000),
    cache_seconds = number("cache_seconds", given.cache_seconds or 0, 0, 60),
    cache_entries = integer("cache_entries", given.cache_entries or 10000, 1, 1000000),
    spares = addresses("spares", given.spares or {}, 0, GATEWAYS_MAX, nil),
    counters = text("counters", given.counters or "session_gateway", "the name of a lua_shared_dict"),
    spread = given.spread ~= false,
  }
  if given.key ~= nil then settings.key = integer("key", given.key, 1, 0xffffffff) end
  if given.spread ~= nil and type(given.spread) ~= "boolean" then fail("spread", shown(given.spread), "true or false") end
  local parts = math.min(math.max(#settings.gateways, 2), 4)
  local try_timeout_ms = given.try_timeout_ms or math.ceil(settings.timeout_ms / parts)
  settings.try_timeout_ms = integer("try_timeout_ms", try_timeout_ms, 1, settings.timeout_ms)
  if not settings.cookie:match("^[%w!#$%%&'*+.^_`|~-]+$") then
    fail("cookie", shown(settings.cookie), "letters, digits and the signs of a cookie's name (RFC 6265)")
  end
  return settings
end

return options
