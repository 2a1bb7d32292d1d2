-- Counters, shared by all workers and kept over a reload: a lua_shared_dict. Told in Prometheus' text format, 0.0.4.
local PREFIX = "session_gateway_nginx_"

-- In the order that they are told in: name, label, help.
local FAMILIES = {
  { "requests_total", "outcome", "Requests by what came of their lookup; docs/integrations.md says which go where." },
  { "facts_total", "outcome", "Fact lookups by outcome." },
  { "cached_total", "kind", "Lookups and facts answered from a worker's cache, in the above too." },
  { "stale_total", "kind", "Answers of a gateway that was out of step with Redis, where none had a better one." },
  { "spares_total", nil, "Requests sent to a spare, since their backend took no connection." },
  { "tries_total", "gateway", "Requests sent to a gateway." },
  { "replies_total", "gateway", "Authentic replies." },
  { "ignored_total", "gateway", "Datagrams that were not the reply to a waiting try: forged, repeated, malformed." },
  { "silent_total", "gateway", "Tries without a reply in time." },
  { "refused_total", "gateway", "Tries that could not be sent, or that found nobody listening." },
}

local VALUES = {
  requests_total = {
    "no_session", "found", "moved", "placed", "not_found", "denied", "no_address",
    "timed_out", "refused", "not_ready", "clock_skew", "failed",
  },
  facts_total = { "found", "not_found", "timed_out", "refused", "not_ready", "clock_skew", "failed" },
  cached_total = { "lookup", "fact" },
  stale_total = { "lookup", "fact" },
}

local Counters = {}
Counters.__index = Counters

local function new(dict, gateways)
  local labels = {}
  for _, gateway in ipairs(gateways) do labels[#labels + 1] = gateway.label end
  return setmetatable({ dict = dict, gateways = labels }, Counters)
end

-- `value`: of the family's label; nothing where it has none.
function Counters:count(name, value)
  self.dict:incr(value == nil and name or name .. " " .. value, 1, 0)
end

function Counters:text()
  local lines = {}
  for _, family in ipairs(FAMILIES) do
    local name, label, help = family[1], family[2], family[3]
    lines[#lines + 1] = "# HELP " .. PREFIX .. name .. " " .. help
    lines[#lines + 1] = "# TYPE " .. PREFIX .. name .. " counter"
    if label == nil then
      lines[#lines + 1] = string.format("%s%s %d", PREFIX, name, self.dict:get(name) or 0)
    else
      for _, value in ipairs(VALUES[name] or self.gateways) do
        local count = self.dict:get(name .. " " .. value) or 0
        lines[#lines + 1] = string.format('%s%s{%s="%s"} %d', PREFIX, name, label, value, count)
      end
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

return { new = new }
