-- session-gateway for nginx: asks a gateway where a request's user belongs, and sends the request there
-- (docs/integrations.md, "nginx"). For nginx with lua-nginx-module 0.10.23 or newer, or OpenResty.
--
--   init_by_lua      session_gateway = require("session_gateway").new { … }   options and keys, read as root
--   access_by_lua    session_gateway:access()    lookup by a UDP cosocket; the backend is kept in ngx.ctx
--   balancer_by_lua  session_gateway:balance()   the backend becomes the peer: cosockets don't work here
--   content_by_lua   session_gateway:status()    counters
--
-- Whatever goes wrong, the request goes on to the upstream that it would have had without this module.
local balancer = require "ngx.balancer"
local cache = require "session_gateway.cache"
local cookies = require "session_gateway.cookies"
local counters = require "session_gateway.counters"
local exchange = require "session_gateway.exchange"
local key_file = require "session_gateway.key_file"
local libcrypto = require "session_gateway.libcrypto"
local options = require "session_gateway.options"
local standing = require "session_gateway.standing"
local transforms = require "session_gateway.transforms"
local wire = require "session_gateway.wire"

local Gateway = {}
Gateway.__index = Gateway

local function new(given)
  local settings = options.checked(given)
  local dict = ngx.shared[settings.counters]
  if dict == nil then
    error(string.format("session_gateway: counters: found no lua_shared_dict %s, allowed: one of 64k or more; add to http: "
      .. "lua_shared_dict %s 1m;", settings.counters, settings.counters), 0)
  end
  local key, problem = key_file.read(settings.keys, settings.key)
  if key == nil then error("session_gateway: " .. problem, 0) end
  for _, gateway in ipairs(settings.gateways) do gateway.standing = standing.new() end
  local self = {
    settings = settings,
    counters = counters.new(dict, settings.gateways),
    context = {
      gateways = settings.gateways,
      key = key,
      timeout_ms = settings.timeout_ms,
      try_timeout_ms = settings.try_timeout_ms,
    },
    turn = 0,
  }
  self.context.counters = self.counters
  if settings.cache_seconds > 0 then self.cache = cache.new(settings.cache_seconds, settings.cache_entries) end
  return setmetatable(self, Gateway)
end

function Gateway:next_turn()
  if not self.settings.spread then return 0 end
  local turn = self.turn
  self.turn = (turn + 1) % #self.context.gateways
  return turn
end

-- The answer, or nil and "timed_out" or "refused".
function Gateway:ask(kind, kind_name, hash)
  local name = kind_name .. hash
  local answer = self.cache ~= nil and self.cache:get(name)
  if answer then
    self.counters:count("cached_total", kind_name)
    return answer
  end
  local why
  answer, why = exchange.ask(self.context, kind, hash, self:next_turn())
  if answer == nil then return nil, why end
  if answer.stale then self.counters:count("stale_total", kind_name) end
  if self.cache ~= nil then self.cache:put(name, answer) end
  return answer
end

local UNANSWERED = { NOT_READY = "not_ready", CLOCK_SKEW = "clock_skew" }

-- The outcome's name, and the answer where there is one.
function Gateway:outcome()
  local cookie = cookies.value(ngx.var.http_cookie, self.settings.cookie)
  local session_id = transforms.session_id(cookie, self.settings.transform)
  if session_id == nil then return "no_session" end
  local answer, why = self:ask(wire.LOOKUP, "lookup", libcrypto.name_hash(session_id))
  if answer == nil then return why end
  local unanswered = UNANSWERED[answer.status]
  if unanswered ~= nil then return unanswered end
  if answer.status == "DENIED" then return "denied", answer end
  if answer.status == "NOT_FOUND" and not answer.placed then return "not_found", answer end
  if answer.address == nil or answer.port == nil then return "no_address", answer end
  if answer.moved then return "moved", answer end
  return answer.placed and "placed" or "found", answer
end

-- Fails where no `set` has made the variable.
local function send_to(upstream)
  ngx.var.session_gateway_upstream = upstream
end

local function keep_peer(answer)
  ngx.var.session_gateway_peer = string.format("%d %s %d", answer.backend, answer.address, answer.port)
end

-- Where this request goes already. An internal redirect (try_files to a named location, error_page) empties ngx.ctx and leaves
-- variables as they are: the peer is in one, too, where a `set` has made it.
local function kept_route(settings)
  if ngx.var.session_gateway_upstream ~= settings.upstream then return nil end
  local backend, host, port = string.match(ngx.var.session_gateway_peer or "", "^(%d+) (%S+) (%d+)$")
  if backend == nil then return nil end
  return { outcome = "found", answer = { backend = tonumber(backend), address = host, port = tonumber(port) }, tries = 0 }
end

local TO_BACKEND = { found = true, moved = true, placed = true }

-- In access_by_lua. Sets $session_gateway_upstream where the user has a backend, ends the request where the user is denied,
-- and otherwise changes nothing. ngx.ctx.session_gateway has the outcome and the answer.
function Gateway:access()
  local kept = kept_route(self.settings)
  if kept ~= nil then
    ngx.ctx.session_gateway = kept
    return
  end
  local ok, outcome, answer = pcall(self.outcome, self)
  if not ok then
    ngx.log(ngx.ERR, "session_gateway: the lookup failed, the request goes on without: ", outcome)
    outcome, answer = "failed", nil
  end
  self.counters:count("requests_total", outcome)
  ngx.ctx.session_gateway = { outcome = outcome, answer = answer, tries = 0 }
  if outcome == "denied" then return ngx.exit(self.settings.denied_status) end
  if not TO_BACKEND[outcome] then return end
  if pcall(send_to, self.settings.upstream) then
    pcall(keep_peer, answer)
  else
    ngx.log(ngx.ERR, "session_gateway: found no variable $session_gateway_upstream, the request goes on without; ",
      "add to server: set $session_gateway_upstream NAME-OF-THE-USUAL-UPSTREAM;")
  end
end

-- The peer for a try: the user's backend; once more where a connection to it failed, which a kept one that the backend has
-- closed meanwhile does, too; then a spare.
local function peer_for(settings, routed, last_status)
  local answer = routed.answer
  local spares = settings.spares
  local to_backend = routed.tries == 1 or #spares == 0 or (routed.tries == 2 and last_status ~= 504)
  if to_backend then return answer.address, answer.port, false end
  local backend = string.format("%s:%d", answer.address, answer.port)
  for i = 0, #spares - 1 do
    local spare = spares[(answer.backend + routed.tries + i) % #spares + 1]
    if spare.label ~= backend then return spare.host, spare.port, true end
  end
  return answer.address, answer.port, false
end

-- In balancer_by_lua of the upstream that access has chosen. nginx comes here again as proxy_next_upstream allows.
function Gateway:balance()
  local routed = ngx.ctx.session_gateway
  if routed == nil then
    routed = kept_route(self.settings)
    ngx.ctx.session_gateway = routed
  end
  if routed == nil or not TO_BACKEND[routed.outcome] then
    ngx.log(ngx.ERR, "session_gateway: found a request that access() has sent elsewhere, allowed: proxy_pass by ",
      "$session_gateway_upstream alone")
    return ngx.exit(502)
  end
  routed.tries = routed.tries + 1
  local last_status
  if routed.tries == 1 then
    if #self.settings.spares > 0 then balancer.set_more_tries(2) end
  else
    local _, status = balancer.get_last_failure()
    last_status = status
  end
  local host, port, is_spare = peer_for(self.settings, routed, last_status)
  if is_spare then self.counters:count("spares_total") end
  local ok, problem = balancer.set_current_peer(host, port)
  if not ok then
    ngx.log(ngx.ERR, "session_gateway: ", host, ":", port, " can't be a peer: ", problem)
    return ngx.exit(502)
  end
end

-- One small value that the whole fleet agrees on, where cosockets work. Returns a table with status ("FOUND", "NOT_FOUND"),
-- value (nil unless found), version and stale; else nil and "timed_out", "refused", "not_ready", "clock_skew" or "failed".
function Gateway:fact(name)
  local ok, answer, why = pcall(function()
    return self:ask(wire.FACT, "fact", libcrypto.name_hash(name))
  end)
  if not ok then
    ngx.log(ngx.ERR, "session_gateway: a fact's lookup failed: ", answer)
    answer, why = nil, "failed"
  elseif answer ~= nil and UNANSWERED[answer.status] then
    answer, why = nil, UNANSWERED[answer.status]
  end
  self.counters:count("facts_total", answer == nil and why or answer.status:lower())
  if answer == nil then return nil, why end
  return answer
end

-- In content_by_lua: the counters, for Prometheus and for people.
function Gateway:status()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  ngx.print(self.counters:text())
end

return { new = new }
