-- SPDX-License-Identifier: BSD-3-Clause
-- Throughput at the first size with more and more UEs in use; SAs of the most are there from the
-- beginning. For `in` the number of UEs is the capture's. Settings: common.lua.
local common = dofile((debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or ".") .. "/common.lua")

common.run(function()
  for _, ues in ipairs(common.ues) do
    common.throughput_rows("ramp", ues, common.sizes[1])
  end
end)
