-- From a request's Cookie header to one cookie's value: src/client/cookies.ts with the same results. nginx's own $cookie_NAME
-- compares names without case, splits at commas too and leaves quotes: it can take another cookie than the application does.

local byte, find, sub = string.byte, string.find, string.sub
local SPACE, TAB, QUOTE = 0x20, 0x09, 0x22

-- From `first` to `last` without the spaces and tabs around it; by bytes, as a pattern would try each space of many anew.
local function trimmed(text, first, last)
  local code = byte(text, first)
  while first <= last and (code == SPACE or code == TAB) do
    first = first + 1
    code = byte(text, first)
  end
  code = byte(text, last)
  while last >= first and (code == SPACE or code == TAB) do
    last = last - 1
    code = byte(text, last)
  end
  return sub(text, first, last)
end

-- Of several cookies of that name the first; without spaces, tabs and a pair of quotes around it. nil where there is none.
local function value(header, name)
  local from = header and 1
  while from do
    local stop = find(header, ";", from, true) or #header + 1
    local at = find(header, "=", from, true)
    if not at then return nil end
    if at < stop and trimmed(header, from, at - 1) == name then
      local found = trimmed(header, at + 1, stop - 1)
      if byte(found, 1) == QUOTE and byte(found, -1) == QUOTE then return sub(found, 2, -2) end
      return found
    end
    from = stop <= #header and stop + 1
  end
  return nil
end

return { value = value }
