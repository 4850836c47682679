-- SPDX-License-Identifier: BSD-3-Clause
-- Latency of a round trip (RFC 2544 26.2) at parts of the throughput: Pktgen's own time stamps,
-- which only a plain packet at both ends can carry. Settings: common.lua.
local common = dofile((debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or ".") .. "/common.lua")

common.run(function()
  assert(common.direction == "roundtrip", "time stamps need plain packets at both ends")
  common.prepare(common.ues[1], common.sizes[1])
  local pps = common.rate()
  pktgen.latency("all", "on")
  for _, part in ipairs({0.1, 0.5, 0.9}) do
    pktgen.clr()
    local result = common.trial(part * pps, common.seconds)
    local told = pktgen.pktStats("1")[1].latency
    common.row("latency", {ues = common.ues[1], bytes = common.sizes[1], load = part, pps = result.pps,
                           loss = result.loss, stamped = told.num_pkts, min_us = told.min_us,
                           avg_us = told.avg_us, max_us = told.max_us})
  end
end)
