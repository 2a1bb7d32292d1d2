-- Answers that a worker keeps for a moment: bounded in number and life. Off unless asked for, since a user who is moved or
-- denied is seen that much later.
local lrucache = require "resty.lrucache"

local Cache = {}
Cache.__index = Cache

-- `seconds`: longest life; `entries`: most that are kept, the least recently used going first.
local function new(seconds, entries)
  return setmetatable({ seconds = seconds, answers = assert(lrucache.new(entries)) }, Cache)
end

function Cache:get(name)
  return (self.answers:get(name))
end

-- Keeps what was found or denied. What isn't found isn't kept: the session may be written the moment after. Nor what is
-- stale: another gateway may know better.
function Cache:put(name, answer)
  if answer.stale or (answer.status ~= "FOUND" and answer.status ~= "DENIED") then return end
  local seconds = self.seconds
  if answer.status == "FOUND" and answer.ttl_s ~= nil then seconds = math.min(seconds, answer.ttl_s) end
  if seconds > 0 then self.answers:set(name, answer, seconds) end
end

return { new = new }
