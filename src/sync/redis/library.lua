#!lua name=session_gateway
-- The Redis function library of the session gateway (docs/redis.md, "Function library").
-- version: 2
--
-- Each call changes one record and appends to the feed in one atomic step. Its keys are the record's and the
-- feed's; its arguments are checked first, and an error says what was found and what is allowed, but never a
-- session id. A call returns {1, id of the feed entry, ...} where it changed something, else {0, why}.
--
-- The feed comes first among the writes: XADD is the only one that can still fail, and Redis does not undo.
--
-- `gateway:backend-ids` and `gateway:fact-ids` are reached without being declared as keys. Only Redis Cluster would
-- need that, and it is followed without this feed: a session and one feed can't share a hash slot.

local FEED_LENGTH = 1000000
local SID_MAX = 1024
local NAME_MAX = 256
local FACT_MAX = 24
local JSON_MAX = 4096
-- As many as the kernel's tables hold.
local FACTS_MAX = 4096
local DENIED_MAX = 262144
-- Revocations that have ended are removed by later ones: so many at a time, and so late that no gateway's clock needs them.
local ENDED_PAGE = 1000
local ENDED_AFTER_MS = 60000
local BACKEND_FIELD = 'backend'
-- 100 years; 9999-12-31T23:59:59.999Z
local TTL_MAX_MS = 3155760000000
local TIME_MAX_MS = 253402300799999

-- Checks: each returns what is wrong, or nil.

local function bytes(field, value, min, max)
  if #value < min or #value > max then
    return string.format('%s: found %d bytes, allowed: %d to %d', field, #value, min, max)
  end
end

-- Names are shown to people and used in logs.
local function name(field, value)
  if value:find('%c') then return field .. ': found a control character, allowed: none' end
  return bytes(field, value, 1, NAME_MAX)
end

local function integer(field, value, min, max)
  if #value <= 15 and (value == '0' or value:find('^[1-9]%d*$')) then
    local number = tonumber(value)
    if number >= min and number <= max then return nil end
  end
  return string.format('%s: found %q, allowed: an integer from %.0f to %.0f', field, value:sub(1, 24), min, max)
end

local function key_type(key, allowed)
  local found = redis.call('TYPE', key).ok
  if found ~= allowed and found ~= 'none' then
    return string.format('its key: found a %s, allowed: a %s', found, allowed)
  end
end

local function key_ends(field, key, ending)
  if #key < #ending or key:sub(-#ending) ~= ending then
    return string.format('keys[1]: found one that does not end with %s, allowed: <prefix><%s>', field, field)
  end
end

local function session(keys, sid)
  return bytes('sid', sid, 1, SID_MAX) or key_ends('sid', keys[1], sid) or key_type(keys[1], 'hash')
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function decimal(number)
  return string.format('%.0f', number)
end

local function append(feed, ...)
  return redis.call('XADD', feed, 'MAXLEN', '~', FEED_LENGTH, '*', ...)
end

-- Adds a function whose `check` returns what is wrong with the call, or nil.
local function register(function_name, arguments, check, carry_out)
  redis.register_function(function_name, function(keys, args)
    local wrong
    if #keys ~= 2 then
      wrong = string.format('keys: found %d, allowed: 2, the record and the feed', #keys)
    elseif #args ~= #arguments then
      wrong = string.format('arguments: found %d, allowed: %d, %s', #args, #arguments, table.concat(arguments, ', '))
    else
      wrong = key_type(keys[2], 'stream') or check(keys, args)
    end
    if wrong then return redis.error_reply('ERR ' .. function_name .. ': ' .. wrong) end
    return carry_out(keys, args)
  end)
end

-- Sessions

local function announce(keys, sid, backend, expires_ms)
  return append(keys[2], 'op', 'set', 'sid', sid, 'backend', backend, 'expires', decimal(expires_ms))
end

-- A session without an end is not made here: a TTL of 0 is far more often a mistake than a wish.
register('session_set', {'sid', 'backend', 'ttl ms'}, function(keys, args)
  return session(keys, args[1]) or name('backend', args[2]) or integer('ttl ms', args[3], 1, TTL_MAX_MS)
end, function(keys, args)
  local expires_ms = now_ms() + tonumber(args[3])
  local id = announce(keys, args[1], args[2], expires_ms)
  redis.call('HSET', keys[1], BACKEND_FIELD, args[2])
  redis.call('PEXPIREAT', keys[1], decimal(expires_ms))
  return {1, id, decimal(expires_ms)}
end)

register('session_touch', {'sid', 'ttl ms'}, function(keys, args)
  return session(keys, args[1]) or integer('ttl ms', args[2], 1, TTL_MAX_MS)
end, function(keys, args)
  local backend = redis.call('HGET', keys[1], BACKEND_FIELD)
  if not backend then return {0, 'gone'} end
  local expires_ms = now_ms() + tonumber(args[2])
  local id = announce(keys, args[1], backend, expires_ms)
  redis.call('PEXPIREAT', keys[1], decimal(expires_ms))
  return {1, id, decimal(expires_ms)}
end)

register('session_move', {'sid', 'from', 'to'}, function(keys, args)
  return session(keys, args[1]) or name('from', args[2]) or name('to', args[3])
end, function(keys, args)
  local backend = redis.call('HGET', keys[1], BACKEND_FIELD)
  if not backend then return {0, 'gone'} end
  if backend ~= args[2] then return {0, 'elsewhere'} end
  local expires_ms = math.max(redis.call('PEXPIRETIME', keys[1]), 0)
  local id = announce(keys, args[1], args[3], expires_ms)
  redis.call('HSET', keys[1], BACKEND_FIELD, args[3])
  return {1, id}
end)

-- Appends even where the key is gone already, so that whoever still holds the session drops it.
register('session_del', {'sid'}, function(keys, args)
  return session(keys, args[1])
end, function(keys, args)
  local id = append(keys[2], 'op', 'del', 'sid', args[1])
  return {redis.call('DEL', keys[1]), id}
end)

-- Backends

local STATES = {active = true, draining = true, down = true}

-- The two halves of an address, 16 bits each; nil where it isn't one.
local function ipv4(text)
  local parts = {text:match('^(%d+)%.(%d+)%.(%d+)%.(%d+)$')}
  if #parts ~= 4 then return nil end
  for _, part in ipairs(parts) do
    if #part > 3 or tonumber(part) > 255 or part:find('^0%d') then return nil end
  end
  return parts[1] * 256 + parts[2], parts[3] * 256 + parts[4]
end

-- The groups between colons; the last two of an address also as IPv4.
local function groups_of(text, ends_address)
  local groups = {}
  local rest = text
  while rest ~= '' do
    local group, more = rest:match('^([^:]+):(.+)$')
    group = group or rest
    if group:find('^%x%x?%x?%x?$') then
      groups[#groups + 1] = tonumber(group, 16)
    else
      local high, low
      if ends_address and not more then high, low = ipv4(group) end
      if not high then return nil end
      groups[#groups + 1] = high
      groups[#groups + 1] = low
    end
    rest = more or ''
  end
  return groups
end

-- RFC 4291, section 2.2: eight groups; one run of zeros as '::'.
local function ipv6(text)
  local head, tail = text:match('^(.-)::(.*)$')
  if not head then
    local groups = groups_of(text, true)
    return groups and #groups == 8 and groups or nil
  end
  if tail:find('::', 1, true) then return nil end
  local groups, last = groups_of(head, false), groups_of(tail, true)
  if not groups or not last or #groups + #last > 7 then return nil end
  for _ = #groups + #last + 1, 8 do groups[#groups + 1] = 0 end
  for _, group in ipairs(last) do groups[#groups + 1] = group end
  return groups
end

-- An address and port in the one form that equal ones share; nil for anything else.
local function plain_address(text)
  local host, port = text:match('^%[(.+)%]:(%d+)$')
  local groups = host and ipv6(host)
  if not host then
    host, port = text:match('^([%d.]+):(%d+)$')
    local high, low
    if host then high, low = ipv4(host) end
    groups = high and {0, 0, 0, 0, 0, 65535, high, low}
  end
  if not groups or not port:find('^[1-9]') or #port > 5 or tonumber(port) > 65535 then return nil end
  return table.concat(groups, ':') .. ' ' .. port
end

local function shown(value)
  if value == nil then return 'nothing' end
  if value == cjson.null then return 'null' end
  if type(value) == 'table' then return 'an object or a list' end
  return string.format('%q', tostring(value):sub(1, 64))
end

local function whole(min, max)
  return function(value)
    return type(value) == 'number' and value == math.floor(value) and value >= min and value <= max
  end
end

-- In the order in which they are written.
local BACKEND_FIELDS = {
  {'id', 'an integer from 1 to 65535', whole(1, 65535)},
  {'address', 'an IP literal and a port, as 10.0.0.11:8080 or [2001:db8::11]:8080', function(value)
    return type(value) == 'string' and plain_address(value) ~= nil
  end},
  {'state', 'active, draining or down', function(value) return type(value) == 'string' and STATES[value] == true end},
  {'weight', 'an integer from 0 to 65535', whole(0, 65535)},
  {'shed', 'an integer from 0 to 10000, hundredths of a percent', whole(0, 10000)},
}
-- While the library is loaded there is no ipairs() that could make this from the list.
local IS_BACKEND_FIELD = {id = true, address = true, state = true, weight = true, shed = true}

local function parse_object(json)
  if #json > JSON_MAX or not json:find('^%s*{') then return nil end
  local parsed, object = pcall(cjson.decode, json)
  return parsed and object or nil
end

local function check_patch(json)
  local patch = parse_object(json)
  if not patch then return 'fields: found text that is not a JSON object of at most 4096 bytes, allowed: one' end
  for field in pairs(patch) do
    if not IS_BACKEND_FIELD[field] then
      return 'fields: found ' .. shown(field) .. ', allowed: id, address, state, weight, shed'
    end
  end
end

local function check_backend(backend)
  for _, field in ipairs(BACKEND_FIELDS) do
    local value = backend[field[1]]
    if not field[3](value) then return field[1] .. ': found ' .. shown(value) .. ', allowed: ' .. field[2] end
  end
end

-- gateway:backends -> gateway:backend-ids, gateway:facts -> gateway:fact-ids
local function ids_key(key)
  return key:sub(1, -2) .. '-ids'
end

-- Calls `visit` with the name and the entry of each other backend that can be understood, until it returns something.
local function among_others(keys, backend_name, visit)
  local backends = redis.call('HGETALL', keys[1])
  for i = 1, #backends, 2 do
    local other = backends[i] ~= backend_name and parse_object(backends[i + 1])
    local found = other and visit(backends[i], other)
    if found then return found end
  end
end

-- The id is the name's for ever; a name without one gets one that no other name has or had.
local function check_id(keys, backend_name, id)
  local own = redis.call('HGET', ids_key(keys[1]), backend_name)
  if own then
    if tonumber(own) ~= id then return string.format('id: found %d, allowed: %s, which this name has', id, own) end
    return nil
  end
  local given = redis.call('HGETALL', ids_key(keys[1]))
  for i = 1, #given, 2 do
    if tonumber(given[i + 1]) == id then
      return string.format('id: found %d, which is or was the id of %s; allowed: one never used', id, shown(given[i]))
    end
  end
  -- Entries made by hand have no id on record.
  return among_others(keys, backend_name, function(other_name, other)
    if other.id == id then
      return string.format('id: found %d, which is the id of %s; allowed: one never used', id, shown(other_name))
    end
  end)
end

local function check_address(keys, backend_name, address)
  local plain = plain_address(address)
  return among_others(keys, backend_name, function(other_name, other)
    if type(other.address) == 'string' and plain_address(other.address) == plain then
      local found = string.format('address: found %s, which is the address of %s', address, shown(other_name))
      return found .. '; allowed: one of its own'
    end
  end)
end

local function has_weight(_, backend)
  return backend.weight == nil or (type(backend.weight) == 'number' and backend.weight > 0)
end

-- With no weight at all there would be no place for anyone.
local function check_weight(keys, backend_name)
  if not among_others(keys, backend_name, has_weight) then
    return 'weight: found 0 for all backends, allowed: over 0 for at least one'
  end
end

-- The same for those that are left, if any, when a backend goes.
local function check_rest(keys, backend_name)
  if redis.call('HEXISTS', keys[1], backend_name) == 0 or among_others(keys, backend_name, has_weight) then return nil end
  if among_others(keys, backend_name, function() return true end) then
    return 'weight: found 0 for all that would be left, allowed: over 0 for at least one'
  end
end

-- Always in the same order; fields that this version doesn't know are kept.
local function encode_backend(backend)
  local parts = {}
  for _, field in ipairs(BACKEND_FIELDS) do
    local value = backend[field[1]]
    local text = type(value) == 'number' and decimal(value) or cjson.encode(value)
    parts[#parts + 1] = string.format('"%s":%s', field[1], text)
  end
  local others = {}
  for field in pairs(backend) do
    if not IS_BACKEND_FIELD[field] then others[#others + 1] = field end
  end
  table.sort(others)
  for _, field in ipairs(others) do parts[#parts + 1] = cjson.encode(field) .. ':' .. cjson.encode(backend[field]) end
  return '{' .. table.concat(parts, ',') .. '}'
end

-- Also: the fields that are new or other than before.
local function merged_backend(keys, args)
  local stored = redis.call('HGET', keys[1], args[1])
  local former = stored and parse_object(stored) or {}
  local backend, changed = {}, {}
  for field, value in pairs(former) do backend[field] = value end
  for field, value in pairs({state = 'active', weight = 100, shed = 0}) do
    if backend[field] == nil then backend[field] = value end
  end
  if backend.id == nil then backend.id = tonumber(redis.call('HGET', ids_key(keys[1]), args[1]) or nil) end
  for field, value in pairs(parse_object(args[2])) do
    changed[field] = value ~= former[field]
    backend[field] = value
  end
  return backend, changed
end

register('backend_patch', {'name', 'JSON of the fields to change'}, function(keys, args)
  local wrong = name('name', args[1]) or key_ends('backends', keys[1], 'backends') or key_type(keys[1], 'hash')
    or key_type(ids_key(keys[1]), 'hash') or check_patch(args[2])
  if wrong then return wrong end
  local backend, changed = merged_backend(keys, args)
  return check_backend(backend) or check_id(keys, args[1], backend.id)
    or changed.address and check_address(keys, args[1], backend.address)
    or changed.weight and backend.weight == 0 and check_weight(keys, args[1])
end, function(keys, args)
  local backend = merged_backend(keys, args)
  local json = encode_backend(backend)
  local id = append(keys[2], 'op', 'backends')
  redis.call('HSET', ids_key(keys[1]), args[1], decimal(backend.id))
  redis.call('HSET', keys[1], args[1], json)
  return {1, id, json}
end)

-- The id stays on record.
register('backend_remove', {'name'}, function(keys, args)
  return name('name', args[1]) or key_ends('backends', keys[1], 'backends') or key_type(keys[1], 'hash')
    or check_rest(keys, args[1])
end, function(keys, args)
  if redis.call('HEXISTS', keys[1], args[1]) == 0 then return {0, 'gone'} end
  local id = append(keys[2], 'op', 'backends')
  redis.call('HDEL', keys[1], args[1])
  return {1, id}
end)

-- Revocations

register('session_deny', {'cookie hash', 'until'}, function(keys, args)
  if #args[1] ~= 32 or not args[1]:find('^[0-9a-f]+$') then
    return 'cookie hash: found other text, allowed: 32 hexadecimal digits in lower case'
  end
  local wrong = integer('until', args[2], 0, TIME_MAX_MS) or key_type(keys[1], 'zset')
  if wrong or args[2] == '0' then return wrong end
  local now = now_ms()
  -- One that has ended is no longer among those that are counted.
  if tonumber(redis.call('ZSCORE', keys[1], args[1]) or 0) > now then return nil end
  local count = redis.call('ZCOUNT', keys[1], '(' .. decimal(now), '+inf')
  if count >= DENIED_MAX then
    return string.format('found %d denied sessions already, allowed: at most %d', count, DENIED_MAX)
  end
end, function(keys, args)
  local id = append(keys[2], 'op', 'denied', 'hash', args[1], 'until', args[2])
  local ended = redis.call('ZRANGEBYSCORE', keys[1], '-inf', decimal(now_ms() - ENDED_AFTER_MS), 'LIMIT', 0, ENDED_PAGE)
  if #ended > 0 then redis.call('ZREM', keys[1], unpack(ended)) end
  if args[2] == '0' then
    redis.call('ZREM', keys[1], args[1])
  else
    redis.call('ZADD', keys[1], args[2], args[1])
  end
  return {1, id}
end)

-- Facts

local function check_fact(keys, args)
  return name('name', args[1]) or key_ends('facts', keys[1], 'facts') or key_type(keys[1], 'hash')
    or key_type(ids_key(keys[1]), 'hash')
end

register('fact_set', {'name', 'value'}, function(keys, args)
  local wrong = check_fact(keys, args) or bytes('value', args[2], 0, FACT_MAX)
  if wrong or redis.call('HEXISTS', keys[1], args[1]) == 1 then return wrong end
  local count = redis.call('HLEN', keys[1])
  if count >= FACTS_MAX then return string.format('found %d facts already, allowed: at most %d', count, FACTS_MAX) end
end, function(keys, args)
  local id = append(keys[2], 'op', 'fact', 'name', args[1])
  redis.call('HSET', keys[1], args[1], args[2])
  redis.call('HSET', ids_key(keys[1]), args[1], id)
  return {1, id}
end)

register('fact_remove', {'name'}, check_fact, function(keys, args)
  if redis.call('HEXISTS', keys[1], args[1]) == 0 then return {0, 'gone'} end
  local id = append(keys[2], 'op', 'fact', 'name', args[1])
  redis.call('HDEL', keys[1], args[1])
  redis.call('HDEL', ids_key(keys[1]), args[1])
  return {1, id}
end)
