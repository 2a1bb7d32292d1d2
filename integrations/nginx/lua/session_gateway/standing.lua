-- What a worker remembers of one gateway, so that one in trouble is asked last for a moment: as
-- src/client/server-memory.ts has it. Times are of the monotonic clock.
local AVOID_MS = 1000

local Standing = {}
Standing.__index = Standing

local function new()
  return setmetatable({ trouble = nil, again_at_ms = 0, in_step_ms = -math.huge }, Standing)
end

-- "good", "stale" (its last answer was), or "failing" (silent, refused, not ready, or its clock disagreed).
function Standing:of(now_ms)
  if self.trouble == nil or now_ms >= self.again_at_ms then return "good" end
  return self.trouble
end

-- A try is made. Where it is the first since the moment is over, it alone finds out.
function Standing:asked(now_ms)
  if self.trouble ~= nil and now_ms >= self.again_at_ms then self.again_at_ms = now_ms + AVOID_MS end
end

function Standing:answered_fresh()
  self.trouble = nil
end

-- `age_ms`: nil = never in step.
function Standing:answered_stale(now_ms, age_ms)
  self.trouble, self.again_at_ms = "stale", now_ms + AVOID_MS
  self.in_step_ms = age_ms ~= nil and now_ms - age_ms or -math.huge
end

function Standing:failed(now_ms)
  self.trouble, self.again_at_ms = "failing", now_ms + AVOID_MS
end

return { new = new }
