-- The lookup that the benchmark compares with: the same session's backend, asked of Redis itself by HGET over kept TCP
-- connections. As little as it can be: backends' addresses are in a table, nothing is retried, nothing is authenticated.
local balancer = require "ngx.balancer"
local transforms = require "session_gateway.transforms"

local ADDRESSES = { ["app-1"] = "127.0.1.1", ["app-2"] = "127.0.1.2", ["app-3"] = "127.0.1.3" }

local function hget(host, name)
  local socket = ngx.socket.tcp()
  socket:settimeouts(1000, 1000, 1000)
  assert(socket:connect(host, 6379))
  assert(socket:send("*3\r\n$4\r\nHGET\r\n$" .. #name .. "\r\n" .. name .. "\r\n$7\r\nbackend\r\n"))
  local length = tonumber(assert(socket:receive()):match("^%$(%d+)$"))
  local value = length ~= nil and assert(socket:receive(length + 2)):sub(1, length) or nil
  socket:setkeepalive(60000, 256)
  return value
end

local redis_lookup = {}

function redis_lookup.access(host)
  local sid = transforms.session_id(ngx.var["cookie_connect.sid"], transforms.by_name.express)
  local backend = sid ~= nil and hget(host, "sess:" .. sid) or nil
  ngx.ctx.redis_peer = assert(ADDRESSES[backend], "no such backend")
end

function redis_lookup.balance()
  assert(balancer.set_current_peer(ngx.ctx.redis_peer, 8080))
end

return redis_lookup
