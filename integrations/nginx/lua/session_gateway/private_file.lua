-- Reads a small file that holds secrets, only if nobody else can: the rule of src/auth/private-file.ts, the gateway's own.
-- nginx reads it as root before the workers begin, so the file can be root's alone.
local bit = require "bit"
local ffi = require "ffi"
local libcrypto = require "session_gateway.libcrypto"

-- statx, unlike stat, has one layout on all processors (linux/stat.h).
ffi.cdef [[
  struct session_gateway_statx {
    uint32_t mask, blksize; uint64_t attributes; uint32_t nlink, uid, gid; uint16_t mode, pad; uint64_t rest[28];
  };
  int open(const char *path, int flags, ...);
  int close(int descriptor);
  long read(int descriptor, void *out, size_t size);
  int statx(int directory, const char *path, int flags, unsigned int mask, void *out);
  unsigned int getegid(void);
  int getgroups(int size, unsigned int *out);
  char *strerror(int number);
]]

local O_RDONLY, O_NONBLOCK, O_CLOEXEC = 0, 0x800, 0x80000 -- NONBLOCK: a named pipe must not wait for its writer
local AT_EMPTY_PATH = 0x1000
local STATX_BASIC_STATS = 0x7ff
local FORMAT_MASK, REGULAR = 0xf000, 0x8000
local GROUPS_MAX = 65536
local OTHERS_ANY, GROUP_ANY, PERMISSIONS = 0x7, 0x38, 0xfff

local function last_error()
  return ffi.string(ffi.C.strerror(ffi.errno()))
end

local function is_own_group(gid)
  if ffi.C.getegid() == gid then return true end
  local count = ffi.C.getgroups(0, nil)
  if count <= 0 or count > GROUPS_MAX then return false end
  local groups = ffi.new("unsigned int[?]", count)
  count = ffi.C.getgroups(count, groups)
  for i = 0, count - 1 do
    if groups[i] == gid then return true end
  end
  return false
end

local function judged(path, stats)
  if bit.band(stats.mode, FORMAT_MASK) ~= REGULAR then
    return path .. ": found what is not a regular file, allowed: a regular file"
  end
  local found = string.format("%s: found mode 0%o, group %d", path, bit.band(stats.mode, PERMISSIONS), stats.gid)
  local own = is_own_group(stats.gid)
  if bit.band(stats.mode, OTHERS_ANY) ~= 0 then
    return string.format(
      "%s, allowed: no access for others; run: chmod %s %s (and replace the secrets if others could read them)",
      found, own and "o=" or "go=", path)
  end
  if bit.band(stats.mode, GROUP_ANY) ~= 0 and not own then
    return string.format(
      "%s, allowed: access for the group only if it is one of this process's; run: chmod g= %s", found, path)
  end
  return nil
end

local function contents(path, descriptor, max_bytes)
  -- Judged is the file that is open, not the name: another file could take the name in between.
  local stats = ffi.new("struct session_gateway_statx")
  if ffi.C.statx(descriptor, "", AT_EMPTY_PATH, STATX_BASIC_STATS, ffi.cast("void *", stats)) ~= 0 then
    return nil, path .. ": can't be looked at: " .. last_error()
  end
  local problem = judged(path, stats)
  if problem ~= nil then return nil, problem end
  local buffer = ffi.new("unsigned char[?]", max_bytes + 1)
  local length = 0
  local text
  while length <= max_bytes do
    local count = tonumber(ffi.C.read(descriptor, buffer + length, max_bytes + 1 - length))
    if count < 0 then
      problem = path .. ": can't be read: " .. last_error()
      break
    end
    if count == 0 then
      text = ffi.string(buffer, length)
      break
    end
    length = length + count
  end
  libcrypto.wipe(buffer, max_bytes + 1)
  if text == nil and problem == nil then
    problem = string.format("%s: found more than %d bytes, allowed: at most %d", path, max_bytes, max_bytes)
  end
  return text, problem
end

local private_file = {}

-- The file's text; else nil and what is wrong. Nothing of what is in the file is quoted.
function private_file.read(path, max_bytes)
  local descriptor = ffi.C.open(path, bit.bor(O_RDONLY, O_NONBLOCK, O_CLOEXEC))
  if descriptor < 0 then return nil, path .. ": can't be read: " .. last_error() end
  local text, problem = contents(path, descriptor, max_bytes)
  ffi.C.close(descriptor)
  return text, problem
end

return private_file
