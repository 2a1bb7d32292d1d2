-- What is taken from OpenSSL's libcrypto, 3.0 or newer, by LuaJIT's FFI: SHA-256 (FIPS 180-4), the two suites
-- (docs/protocol.md, "Names"), randomness, and a comparison in constant time. nginx itself has loaded the library.
local ffi = require "ffi"

-- Only pointers to incomplete structs, and no typedef: another module may declare the same names with bodies.
ffi.cdef [[
  struct evp_mac_st *EVP_MAC_fetch(void *context, const char *algorithm, const char *properties);
  struct evp_mac_ctx_st *EVP_MAC_CTX_new(struct evp_mac_st *mac);
  void EVP_MAC_CTX_free(struct evp_mac_ctx_st *ctx);
  int EVP_MAC_init(struct evp_mac_ctx_st *ctx, const unsigned char *key, size_t length, const struct ossl_param_st *params);
  int EVP_MAC_update(struct evp_mac_ctx_st *ctx, const unsigned char *data, size_t length);
  int EVP_MAC_final(struct evp_mac_ctx_st *ctx, unsigned char *out, size_t *written, size_t size);
  struct evp_md_st *EVP_MD_fetch(void *context, const char *algorithm, const char *properties);
  struct evp_md_ctx_st *EVP_MD_CTX_new(void);
  int EVP_DigestInit_ex(struct evp_md_ctx_st *ctx, const struct evp_md_st *md, struct engine_st *engine);
  int EVP_DigestUpdate(struct evp_md_ctx_st *ctx, const void *data, size_t length);
  int EVP_DigestFinal_ex(struct evp_md_ctx_st *ctx, unsigned char *out, unsigned int *size);
  int RAND_bytes(unsigned char *out, int length);
  int CRYPTO_memcmp(const void *a, const void *b, size_t length);
  void OPENSSL_cleanse(void *bytes, size_t length);
  struct session_gateway_param {
    const char *key; unsigned int type; void *data; size_t size; size_t returned;
  };
]]

local UTF8_STRING = 4 -- OSSL_PARAM_UTF8_STRING
local DIGEST_SIZE = 32

local function find_library()
  for _, candidate in ipairs { function() return ffi.C end, function() return ffi.load("libcrypto.so.3") end } do
    local ok, library = pcall(candidate)
    if ok and pcall(function() return library.EVP_MAC_fetch end) then return library end
  end
  error("session_gateway: found no libcrypto with EVP_MAC, allowed: OpenSSL 3.0 or newer", 0)
end

local library = find_library()

local function require_ok(result, what)
  if result ~= 1 then error("session_gateway: libcrypto failed at " .. what, 0) end
end

local function require_made(pointer, what)
  if pointer == nil then error("session_gateway: libcrypto has no " .. what, 0) end
  return pointer
end

local written = ffi.new("size_t[1]")

local libcrypto = {}

libcrypto.PRF_SIZE = 32

local ALGORITHMS = { ["hmac-sha256"] = "HMAC", blake2s = "BLAKE2SMAC" }

-- F under one secret, with what doesn't depend on the message computed once.
-- `secret`: 32 bytes, not kept here. Returns function (message, length, out): writes 32 bytes to `out`.
function libcrypto.prf(suite, secret)
  local algorithm = ALGORITHMS[suite]
  local mac = require_made(library.EVP_MAC_fetch(nil, algorithm, nil), algorithm)
  local context = ffi.gc(require_made(library.EVP_MAC_CTX_new(mac), algorithm), library.EVP_MAC_CTX_free)
  local params = nil
  local digest = ffi.new("char[7]", "SHA256")
  if suite == "hmac-sha256" then
    local list = ffi.new("struct session_gateway_param[2]")
    local name = "digest"
    list[0].key, list[0].type, list[0].data, list[0].size = name, UTF8_STRING, digest, 6
    params = ffi.cast("const struct ossl_param_st *", list)
    require_ok(library.EVP_MAC_init(context, secret, 32, params), algorithm)
  else
    require_ok(library.EVP_MAC_init(context, secret, 32, nil), algorithm)
  end
  return function(message, length, out)
    -- Without a key: begins anew under the one that it has.
    require_ok(library.EVP_MAC_init(context, nil, 0, nil), algorithm)
    require_ok(library.EVP_MAC_update(context, message, length), algorithm)
    require_ok(library.EVP_MAC_final(context, out, written, libcrypto.PRF_SIZE), algorithm)
  end
end

local sha256 = require_made(library.EVP_MD_fetch(nil, "SHA256", nil), "SHA256")
local sha256_context = require_made(library.EVP_MD_CTX_new(), "SHA256")
local digest_out = ffi.new("unsigned char[?]", DIGEST_SIZE)

-- SHA-256 of a string, its first 16 bytes as a string: a cookie hash, or that of a fact's name.
function libcrypto.name_hash(text)
  require_ok(library.EVP_DigestInit_ex(sha256_context, sha256, nil), "SHA256")
  require_ok(library.EVP_DigestUpdate(sha256_context, text, #text), "SHA256")
  require_ok(library.EVP_DigestFinal_ex(sha256_context, digest_out, nil), "SHA256")
  return ffi.string(digest_out, 16)
end

-- Fills `out` with `length` bytes from a cryptographically secure source.
function libcrypto.fill_random(out, length)
  require_ok(library.RAND_bytes(out, length), "RAND_bytes")
end

-- Whether `length` bytes are equal, compared without an early exit.
function libcrypto.equal(a, b, length)
  return library.CRYPTO_memcmp(a, b, length) == 0
end

-- Overwrites a secret.
function libcrypto.wipe(bytes, length)
  library.OPENSSL_cleanse(bytes, length)
end

return libcrypto
