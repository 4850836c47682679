-- SPDX-License-Identifier: BSD-3-Clause
-- What the four scripts share: settings from the environment, traffic, trials, rows of results.
-- Written for the Lua API of Pktgen-DPDK 23.03.0 (pktgen.range, pktgen.portStats, pktgen.pktStats).
--
--   GMESP_DIRECTION  out: UDP from the P-CSCF's host, range mode; roundtrip: UDP from the UEs' host, range mode;
--                    in: ESP, the capture given by -s 0:FILE, once for each trial
--   GMESP_SIZES      bytes of the plain IP packet, "300,500,800,1100,1400"
--   GMESP_UES        their number, or numbers for ramp.lua: "1,100,10000"
--   GMESP_UE, GMESP_PCSCF, GMESP_UE_PORT, GMESP_PCSCF_PORT   as mkpcap's
--   GMESP_LOSS       limits: "0,1e-6"
--   GMESP_SECONDS    of a trial; GMESP_STEPS of the bisection; GMESP_TOP packets a second to begin with
--   GMESP_RESET      a shell command before each trial: for `in`, the one that installs the SAs anew
--   GMESP_FRAMES     of the capture; GMESP_ESP_BYTES of its IP packets
--   GMESP_RESULT     file that gets a line "key=value<TAB>..." for each row
-- Port 0 sends, port 1 receives.

local common = {}

local function setting(name, default) return os.getenv("GMESP_" .. name) or default end

local function numbers(text)
  local list = {}
  for word in text:gmatch("[^,]+") do list[#list + 1] = tonumber(word) end
  return list
end

common.direction = setting("DIRECTION", "out")
common.sizes = numbers(setting("SIZES", "300,500,800,1100,1400"))
common.ues = numbers(setting("UES", "1000"))
common.losses = numbers(setting("LOSS", "0"))
common.seconds = tonumber(setting("SECONDS", "60"))
common.steps = tonumber(setting("STEPS", "8"))
common.top = tonumber(setting("TOP", "10000000"))
common.soak_seconds = tonumber(setting("SOAK", "3600"))
local first_ue = setting("UE", "10.0.0.1")
local pcscf = setting("PCSCF", "198.51.100.1")
local ue_port = tonumber(setting("UE_PORT", "5100"))
local pcscf_port = tonumber(setting("PCSCF_PORT", "5063"))
local reset = setting("RESET", nil)
local frames = tonumber(setting("FRAMES", "0"))
local esp_bytes = tonumber(setting("ESP_BYTES", "0"))

local kEthernetBytes = 14
local kFcsBytes = 4                  -- Pktgen counts it in its sizes
local kWireBytes = 24                -- preamble, gap and FCS of a frame on the wire
local kDrainMs = 2500                -- Pktgen's statistics are a second old
local frame_bytes = 0                -- without FCS

local function address_behind(first, count)
  local a, b, c, d = first:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  local number = ((a * 256 + b) * 256 + c) * 256 + d + count
  return string.format("%d.%d.%d.%d", number // 16777216 % 256, number // 65536 % 256,
                       number // 256 % 256, number % 256)
end

local function link_mbit()
  local state = pktgen.linkState("0")[0] or ""
  return tonumber(state:match("%-(%d+)%-")) or 10000
end

-- A UE a packet, round and round; everything else stays.
local function set_range(ues)
  local from_ues = common.direction == "roundtrip"
  local last = address_behind(first_ue, ues - 1)
  local step = ues > 1 and "0.0.0.1" or "0.0.0.0"
  local function walk(set)
    set("0", "start", first_ue); set("0", "min", first_ue)
    set("0", "max", last); set("0", "inc", step)
  end
  local function stand(set, value, none)
    set("0", "start", value); set("0", "min", value); set("0", "max", value); set("0", "inc", none)
  end
  walk(from_ues and pktgen.range.src_ip or pktgen.range.dst_ip)
  stand(from_ues and pktgen.range.dst_ip or pktgen.range.src_ip, pcscf, "0.0.0.0")
  stand(pktgen.range.src_port, from_ues and ue_port or pcscf_port, 0)
  stand(pktgen.range.dst_port, from_ues and pcscf_port or ue_port, 0)
  stand(pktgen.range.pkt_size, frame_bytes + kFcsBytes, 0)
  pktgen.range.ip_proto("0", "udp")
  pktgen.set_range("0", "on")
end

-- The single packet gives Pktgen its idea of a frame's time, and is what carries time stamps.
local function set_single()
  local from_ues = common.direction == "roundtrip"
  pktgen.set_proto("0", "udp")
  pktgen.set_type("0", "ipv4")
  pktgen.set_ipaddr("0", "src", (from_ues and first_ue or pcscf) .. "/32")
  pktgen.set_ipaddr("0", "dst", from_ues and pcscf or first_ue)
  pktgen.set("0", "sport", from_ues and ue_port or pcscf_port)
  pktgen.set("0", "dport", from_ues and pcscf_port or ue_port)
  pktgen.set("0", "size", frame_bytes + kFcsBytes)
end

function common.prepare(ues, ip_bytes)
  pktgen.screen("off")
  pktgen.stop("all")
  if common.direction == "in" then
    frame_bytes = kEthernetBytes + esp_bytes
    pktgen.pcap("0", "on")
    return
  end
  frame_bytes = kEthernetBytes + ip_bytes
  set_single()
  set_range(ues)
end

local function counters()
  return pktgen.portStats("0", "port")[0].opackets, pktgen.portStats("1", "port")[1].ipackets
end

-- Sends for some time, and answers what was sent and what came back.
function common.trial(pps, seconds)
  if reset then os.execute(reset) end
  if common.direction == "in" then
    seconds = math.min(seconds, frames / pps)   -- a number of an SA is good once (RFC 4303 3.4.3)
    pktgen.set("0", "count", math.floor(pps * seconds))
  end
  pktgen.set("0", "rate", math.min(100, pps * (frame_bytes + kWireBytes) * 8 / (link_mbit() * 1e4)))
  local sent_before, received_before = counters()
  pktgen.start("0")
  pktgen.delay(math.ceil(seconds * 1000))
  pktgen.stop("0")
  pktgen.delay(kDrainMs)
  local sent, received = counters()
  sent, received = sent - sent_before, received - received_before
  return {wanted = pps, sent = sent, received = received, pps = sent / seconds,
          loss = sent > 0 and 1 - received / sent or 1}
end

-- RFC 2544 26.1: the highest rate whose loss is within the limit. Pktgen waits for a device that is
-- full, so it may send less than it should: then the device under test takes no more than that.
function common.highest(limit)
  local low, high, best, rate = 0, common.top, nil, common.top
  for _ = 0, common.steps do
    local result = common.trial(rate, common.seconds)
    if result.loss <= limit and result.sent > 0 then
      low, best = math.max(low, result.pps), result
      if result.pps < 0.95 * rate then break end
      rate = (low + high) / 2
    else
      high = math.min(rate, result.pps)
      local through = result.received / math.max(result.sent, 1) * result.pps
      rate = best and (low + high) / 2 or math.min(through, high / 2)
    end
    if high - low < 0.01 * common.top then break end
  end
  return best
end

function common.row(what, facts)
  local words = {"what=" .. what, "direction=" .. common.direction}
  for key, value in pairs(facts) do words[#words + 1] = key .. "=" .. tostring(value) end
  local line = table.concat(words, "\t")
  print(line)
  local path = setting("RESULT", nil)
  if not path then return end
  local file = assert(io.open(path, "a"))
  file:write(line, "\n")
  file:close()
end

function common.throughput_rows(what, ues, ip_bytes)
  common.prepare(ues, ip_bytes)
  for _, limit in ipairs(common.losses) do
    local best = common.highest(limit)
    common.row(what, {ues = ues, bytes = ip_bytes, loss_limit = limit, pps = best and best.pps or 0,
                      loss = best and best.loss or 1, sent = best and best.sent or 0})
  end
end

-- Half-known machines: without a rate that passes, something low enough to look at.
function common.rate()
  local best = common.highest(0)
  return best and best.pps or common.top / 100
end

-- Runs a script's own part and ends Pktgen, whatever comes of it: at its prompt nobody waits.
function common.run(measure)
  local good, why = pcall(measure)
  if not good then common.row("error", {why = tostring(why):gsub("%s", " ")}) end
  pktgen.quit()
end

return common
