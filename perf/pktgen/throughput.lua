-- SPDX-License-Identifier: BSD-3-Clause
-- Throughput for each size and loss limit (RFC 2544 26.1). Settings: common.lua.
local common = dofile((debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or ".") .. "/common.lua")

common.run(function()
  for _, ip_bytes in ipairs(common.sizes) do
    common.throughput_rows("throughput", common.ues[1], ip_bytes)
  end
end)
