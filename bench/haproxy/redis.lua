-- The same question asked of Redis itself, as HAProxy's Lua can: a connection for each request, since its sockets can't be
-- kept from one to the next.
local host, port = os.getenv('REDIS_HOST'), os.getenv('REDIS_PORT')

core.register_action('redis_lookup', {'http-req'}, function(txn)
  local sid = (txn.sf:req_cook('connect.sid') or ''):match('^s%%3A(.*)%.[^.]*$')
  if not sid then return end
  local key = 'route:' .. sid
  local socket = core.tcp()
  socket:settimeout(1)
  if not socket:connect(host, tonumber(port)) then return end
  socket:send('*3\r\n$4\r\nHGET\r\n$' .. #key .. '\r\n' .. key .. '\r\n$7\r\nbackend\r\n')
  if socket:receive('*l') == '$5' then txn:set_var('txn.redis.backend', socket:receive('*l')) end
  socket:close()
end, 0)
