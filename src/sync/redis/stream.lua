-- The feed's stream at one moment, in numbers only: XINFO STREAM itself would bring the whole of its first and last
-- entry, however long those are. Read only.
-- KEYS[1] the stream; ARGV[1], ARGV[2] ids of entries that were seen before, or ''
-- Returns {length, last id, max deleted id, entries ever added, first entry's id, last entry's id, digest of
-- that entry, digest of the entry ARGV[1], replication id, how often data was flushed or exchanged,
-- digest of the entry ARGV[2]}; '' for what is
-- not there, and the number of entries added is '' before Redis 7.0, where it is not kept.

-- Of a long entry the beginning of each of its first fields.
local function digest(entry)
  local parts = {}
  for i = 1, math.min(#entry[2], 16) do
    local part = entry[2][i]
    parts[i] = #part .. ':' .. part:sub(1, 512)
  end
  return redis.sha1hex(table.concat(parts, ' '))
end

-- Tells one history of data from another; an ACL user may be refused it.
local history = ''
local replication = redis.pcall('INFO', 'replication')
if type(replication) == 'string' then history = replication:match('master_replid:(%x+)') or '' end

-- What leaves no trace in a stream that wasn't there before either.
local flushes = ''
local statistics = redis.pcall('INFO', 'commandstats')
if type(statistics) == 'string' then
  for _, command in ipairs({'flushall', 'flushdb', 'swapdb'}) do
    -- By a plain search: a pattern over the lines of 200 commands takes three times as long.
    local at = statistics:find('cmdstat_' .. command .. ':', 1, true)
    flushes = flushes .. (at and statistics:match('calls=(%d+)', at) or '0') .. ' '
  end
else
  -- Whoever may not see the counters sees at least that nothing is left.
  local keys = redis.pcall('DBSIZE')
  if type(keys) == 'number' then flushes = keys == 0 and 'empty' or 'filled' end
end

local reply = redis.pcall('XINFO', 'STREAM', KEYS[1])
if reply.err then
  if not reply.err:find('no such key', 1, true) then return redis.error_reply(reply.err) end
  return {0, '0-0', '0-0', '0', '', '', '', '', history, flushes, ''}
end

local info = {}
for i = 1, #reply, 2 do info[reply[i]] = reply[i + 1] end
local first, last = info['first-entry'], info['last-entry']
local function seen(id)
  if not id or id == '' then return '' end
  local found = redis.call('XRANGE', KEYS[1], id, id)
  return found[1] and digest(found[1]) or ''
end
local added = info['entries-added']
return {
  info['length'], info['last-generated-id'], info['max-deleted-entry-id'] or '0-0',
  -- As text: it may be larger than what a script can return as a number.
  added and string.format('%.0f', added) or '',
  first and first[1] or '', last and last[1] or '', last and digest(last) or '', seen(ARGV[1]), history, flushes,
  seen(ARGV[2]),
}
