-- SPDX-License-Identifier: BSD-3-Clause
-- Half of the throughput for a long time, in ten parts: loss that comes late shows. Settings:
-- common.lua; GMESP_SOAK is the time in seconds.
local common = dofile((debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or ".") .. "/common.lua")

common.run(function()
  assert(common.direction ~= "in", "the numbers of a capture run out; the round trip has it all")
  common.prepare(common.ues[1], common.sizes[1])
  local pps = common.rate()
  local kParts = 10
  for part = 1, kParts do
    local result = common.trial(pps / 2, common.soak_seconds / kParts)
    common.row("soak", {part = part, ues = common.ues[1], bytes = common.sizes[1], pps = result.pps,
                        sent = result.sent, lost = result.sent - result.received})
  end
end)
