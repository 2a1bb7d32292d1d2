-- Requests for wrk: a cookie of a random user each, at the path that is in SGW_PATH; and what came of it, as one line of JSON.
local path = os.getenv("SGW_PATH")
local users = tonumber(os.getenv("SGW_USERS"))

function init() math.randomseed(os.time()) end

function request()
  local cookie = string.format("connect.sid=s%%3Auser-%d.c2lnbmF0dXJl", math.random(0, users - 1))
  return wrk.format("GET", path, { Cookie = cookie })
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\n{"requests":%d,"seconds":%f,"failed":%d,"p50Us":%f,"p99Us":%f}\n', summary.requests,
    summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
