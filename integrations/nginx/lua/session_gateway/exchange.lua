-- One question's way from the first try to its outcome (docs/protocol.md, "What a client does").
--
--   ask a gateway ─┬─ fresh answer ───────────▶ end
--         ▲        ├─ stale answer: keep the freshest; ask on only where a gateway in good standing is left
--         │        ├─ NOT_READY, CLOCK_SKEW: keep it; ask on
--         │        ├─ refused: ask on
--         └────────┴─ silent for try_timeout_ms, or till timeout_ms where it is the last to be asked: ask on
--   nobody left to ask, or timeout_ms over ▶ end, with the best that is kept
--
-- Each gateway is asked at most ROUNDS times, again only if it was silent, and then on the same socket, so that the reply to
-- the first try still counts. A socket is one request's own, connected to one gateway: nothing that comes late can reach
-- another request, and what isn't authentic is left aside until the time is over. Waiting is nginx's: other requests go on.
local clock = require "session_gateway.clock"
local nonces = require "session_gateway.nonces"
local wire = require "session_gateway.wire"

local ROUNDS = 2
local RANKS = { good = 0, stale = 1, failing = 2 }
local RANKS_PER_ROUND = 3
-- Datagrams that one try looks at. Time bounds them, too; this bounds the processor's part of it.
local DATAGRAMS_MAX = 256

local Exchange = {}
Exchange.__index = Exchange

-- `context`: gateways, key, timeout_ms, try_timeout_ms, counters. `first`: where in the list to begin.
local function new(context, kind, hash, first)
  return setmetatable({
    context = context,
    kind = kind,
    hash = hash,
    first = first,
    deadline_ms = clock.monotonic_ms() + context.timeout_ms,
    asked = {}, -- by gateway's index: times asked in vain; ROUNDS = not to be asked again
    sockets = {},
    requests = {}, -- by gateway's index: those sent on its socket
    kept = nil,
    any_silent = false,
  }, Exchange)
end

-- The gateway to ask next: one that was asked less often first, then by standing, stale ones by freshness, then in turn.
function Exchange:choose(now_ms)
  local gateways = self.context.gateways
  local only_better = self.kept ~= nil and self.kept.is_answer
  local best
  local best_rank = only_better and 1 or RANKS_PER_ROUND * ROUNDS
  for i = 0, #gateways - 1 do
    local index = (self.first + i) % #gateways + 1
    local standing = gateways[index].standing
    local now = standing:of(now_ms)
    local rank = (self.asked[index] or 0) * RANKS_PER_ROUND + RANKS[now]
    local fresher = best ~= nil and rank == best_rank and now == "stale"
      and standing.in_step_ms > gateways[best].standing.in_step_ms
    if rank < best_rank or fresher then best, best_rank = index, rank end
  end
  return best
end

function Exchange:socket(index)
  local socket = self.sockets[index]
  if socket ~= nil then return socket end
  local gateway = self.context.gateways[index]
  socket = ngx.socket.udp()
  local ok, err = socket:setpeername(gateway.host, gateway.port)
  if not ok then return nil, err end
  self.sockets[index], self.requests[index] = socket, {}
  return socket
end

function Exchange:send(index)
  local socket, err = self:socket(index)
  if socket == nil then return nil, err end
  local request = wire.request(self.context.key, self.kind, self.hash, math.floor(ngx.now() * 1000), nonces.next())
  local requests = self.requests[index]
  requests[#requests + 1] = request
  return socket:send(request.bytes)
end

-- Whether nobody is left to ask after this try, if it brings nothing.
function Exchange:is_last(index)
  for other = 1, #self.context.gateways do
    local asked = (self.asked[other] or 0) + (other == index and 1 or 0)
    if asked < ROUNDS then return false end
  end
  return true
end

-- When to wait no longer for it.
function Exchange:try_ends_ms(index)
  if self.kept == nil and self:is_last(index) then return self.deadline_ms end
  return math.min(clock.monotonic_ms() + self.context.try_timeout_ms, self.deadline_ms)
end

-- Waits for the reply to any request of this gateway's. Returns the answer; else nil and "silent" or "refused".
function Exchange:receive(index)
  local context = self.context
  local gateway, socket, requests = context.gateways[index], self.sockets[index], self.requests[index]
  local until_ms = self:try_ends_ms(index)
  for _ = 1, DATAGRAMS_MAX do
    local left_ms = math.ceil(until_ms - clock.monotonic_ms())
    if left_ms <= 0 then return nil, "silent" end
    socket:settimeout(left_ms)
    local datagram, err = socket:receive()
    if datagram == nil then return nil, err == "timeout" and "silent" or "refused" end
    for _, request in ipairs(requests) do
      local answer = wire.open(request, datagram)
      if answer ~= nil then return answer end
    end
    context.counters:count("ignored_total", gateway.label)
  end
  return nil, "silent"
end

-- Takes what a gateway said. Returns true where nothing better can come.
function Exchange:take(index, answer, now_ms)
  local standing = self.context.gateways[index].standing
  self.asked[index] = ROUNDS
  local status = answer.status
  if status == "NOT_READY" or status == "CLOCK_SKEW" then
    standing:failed(now_ms)
    -- A stale answer is better than both, and a clock difference says more than NOT_READY.
    if self.kept == nil or (not self.kept.is_answer and status == "CLOCK_SKEW") then
      self.kept = { is_answer = false, answer = answer }
    end
    return false
  end
  if not answer.stale then
    standing:answered_fresh()
    self.kept = { is_answer = true, answer = answer }
    return true
  end
  standing:answered_stale(now_ms, answer.age_ms)
  local kept = self.kept
  if kept == nil or not kept.is_answer or (answer.age_ms or math.huge) < (kept.answer.age_ms or math.huge) then
    self.kept = { is_answer = true, answer = answer }
  end
  return false
end

function Exchange:try(index)
  local context = self.context
  local gateway = context.gateways[index]
  gateway.standing:asked(clock.monotonic_ms())
  context.counters:count("tries_total", gateway.label)
  local answer, why
  if self:send(index) then answer, why = self:receive(index) else why = "refused" end
  local now_ms = clock.monotonic_ms()
  if answer ~= nil then
    context.counters:count("replies_total", gateway.label)
    answer.gateway = gateway.label
    return self:take(index, answer, now_ms)
  end
  context.counters:count(why == "silent" and "silent_total" or "refused_total", gateway.label)
  gateway.standing:failed(now_ms)
  if why == "silent" then
    self.any_silent = true
    self.asked[index] = (self.asked[index] or 0) + 1
  else
    self.asked[index] = ROUNDS
  end
  return false
end

-- Returns the answer, whose status may be CLOCK_SKEW or NOT_READY; else nil and "timed_out" or "refused".
function Exchange:run()
  for _ = 1, ROUNDS * #self.context.gateways do
    local now_ms = clock.monotonic_ms()
    if now_ms >= self.deadline_ms then break end
    local index = self:choose(now_ms)
    if index == nil or self:try(index) then break end
  end
  for _, socket in pairs(self.sockets) do socket:close() end
  if self.kept ~= nil then return self.kept.answer end
  return nil, self.any_silent and "timed_out" or "refused"
end

local exchange = {}

-- Asks the context's gateways. May be called where cosockets work: in access, rewrite and content, not in the balancer.
function exchange.ask(context, kind, hash, first)
  return new(context, kind, hash, first):run()
end

return exchange
