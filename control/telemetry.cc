// SPDX-License-Identifier: BSD-3-Clause
#include "control/telemetry.h"

#include <chrono>

#include "control/json_writer.h"
#include "control/ue_queries.h"

namespace gmesp {
namespace {

const PortCounters& port_counters(const Counters& counters, const PortInfo& port) {
  return port.port == "access" ? counters.access : counters.host;
}

PortLosses losses_of(const PortInfo& port) { return port.losses ? port.losses() : PortLosses{}; }

// How the device's spreading fits the UEs' owners.
void write_landing(JsonWriter& json, const PortCounters& counters) {
  json.field("rx_landed_right", counters.rx_landed_right);
  json.field("rx_steered", counters.rx_steered);
  json.field("rx_hash_compared", counters.rx_hash_compared);
  json.field("rx_hash_mismatches", counters.rx_hash_mismatches);
}

void write_losses(JsonWriter& json, const PortLosses& losses) {
  json.field("rx_missed", losses.rx_missed).field("rx_no_buffer", losses.rx_no_buffer);
  json.field("rx_errors", losses.rx_errors).field("tx_errors", losses.tx_errors);
}

void write_ports(JsonWriter& json, const EngineInfo& info, const WorkerProxies& workers) {
  const Counters total = workers.counters();
  json.start_array("ports");
  for (const PortInfo& port : info.ports) {
    const PortCounters& counters = port_counters(total, port);
    json.start_object();
    json.field("port", port.port).field("device", port.device).field("driver", port.driver);
    json.field("mac", port.mac).field("link", port.link ? port.link() : "unknown");
    json.field("mtu", port.mtu);
    json.field("rx_queues", port.rx_queues).field("tx_queues", port.tx_queues);
    if (port.numa_node >= 0) json.field("numa_node", static_cast<uint64_t>(port.numa_node));
    json.field("rss", port.spreading);
    write_landing(json, counters);
    write_losses(json, losses_of(port));
    json.end_object();
  }
  json.end_array();
}

void write_workers(JsonWriter& json, const EngineInfo& info, const WorkerProxies& workers)
    ON(control_thread) {
  json.start_array("workers");
  for (size_t i = 0; i < workers.size(); ++i) {
    json.start_object();
    json.field("worker", i).field("core", info.workers[i].cpu);
    if (info.workers[i].numa_node >= 0) {
      json.field("numa_node", static_cast<uint64_t>(info.workers[i].numa_node));
    }
    json.field("idle", info.workers[i].idle);
    json.field("instruction_set", info.workers[i].instruction_set);
    json.field("commands_unanswered", workers[i].unanswered());
    json.field("command_ring_full", workers[i].times_full());
    json.end_object();
  }
  json.end_array();
}

void write_sets(JsonWriter& json, const Registrar& registrar) {
  json.start_object("sets");
  write_set_counts(json, registrar);
  json.field("capacity", registrar.config().capacity);
  json.field("spis_resting", registrar.spis().quarantined());
  json.field("spis_let_go_early", registrar.spis().let_go_early());
  json.end_object();
}

void write_rings(JsonWriter& json, const RingServer& rings) {
  const RingCounts& counts = rings.counts();
  json.start_object("rings");
  json.field("connected", rings.rings()).field("opened", counts.opened);
  json.field("turned_away", counts.turned_away).field("thrown_out", counts.thrown_out);
  json.field("commands", counts.commands).field("refused", counts.refused);
  json.field("events_lost", counts.events_lost).field("overflows", counts.overflows);
  json.end_object();
}

void write_warning(JsonWriter& json, std::string_view code, std::string_view sentence) {
  json.start_object();
  json.field("code", code).field("warning", sentence);
  json.end_object();
}

// DESIGN 2: checked at run time. What a device claims and what it does are two things.
void write_steering_warnings(JsonWriter& json, const EngineInfo& info,
                             const WorkerProxies& workers) {
  constexpr uint64_t kEnough = 1000;  // packets to judge by
  constexpr uint64_t kOneIn = 10;
  const Counters total = workers.counters();
  for (const PortInfo& port : info.ports) {
    const PortCounters& counters = port_counters(total, port);
    const uint64_t packets = counters.rx_landed_right + counters.rx_steered;
    // What a device says beforehand that it leaves to the workers is no surprise.
    const bool promised = port.spreading.starts_with("hardware") &&
                          port.spreading.find("; in software:") == std::string::npos;
    if (!promised || packets < kEnough || counters.rx_steered * kOneIn < packets) continue;
    write_warning(json, "rss_differs",
                  "the " + port.port + " device was to bring packets to their workers, but " +
                      std::to_string(counters.rx_steered) + " of " + std::to_string(packets) +
                      " had to be steered, and " + std::to_string(counters.rx_hash_mismatches) +
                      " of " + std::to_string(counters.rx_hash_compared) + " hashes were not ours");
  }
}

// No drop reason has them: they were lost before a worker had them, or behind it.
void write_loss_warnings(JsonWriter& json, const EngineInfo& info) {
  for (const PortInfo& port : info.ports) {
    const PortLosses losses = losses_of(port);
    if (!losses.any_of_ours()) continue;
    write_warning(json, "device_lost_packets",
                  "the " + port.port +
                      " device has lost packets outside of the workers: rx_missed " +
                      std::to_string(losses.rx_missed) +
                      " (more than the workers could take: more "
                      "of them), rx_no_buffer " +
                      std::to_string(losses.rx_no_buffer) + ", tx_errors " +
                      std::to_string(losses.tx_errors));
  }
}

void write_warnings(JsonWriter& json, const CommandContext& context) {
  const auto& [info, keys, workers, sas, registrar, rings, audit, policy] = context;
  json.start_array("warnings");
  for (const std::string& notice : info.notices) write_warning(json, "start", notice);
  for (const std::string& warning : policy.warnings()) write_warning(json, "policy", warning);
  if (!keys.locked()) {
    write_warning(json, "keys_not_locked",
                  "keys may be swapped to disk: raise the limit on locked memory (ulimit -l)");
  }
  write_steering_warnings(json, info, workers);
  write_loss_warnings(json, info);
  if (sas.with_window_off() != 0) {
    write_warning(json, "replay_protection_off",
                  std::to_string(sas.with_window_off()) +
                      " SAs have window 0 and accept replayed packets (RFC 4303 3.4.3)");
  }
  if (sas.with_unprotected_port() != 0) {
    write_warning(json, "local_port_not_protected",
                  std::to_string(sas.with_unprotected_port()) +
                      " SAs have a local port that is not in protected_ports: what they protect "
                      "may also come in clear (TS 33.203 7.1)");
  }
  json.end_array();
}

void write_port_counters(JsonWriter& json, std::string_view port, const PortCounters& counters) {
  json.start_object(port);
  json.field("rx_packets", counters.rx_packets).field("rx_bytes", counters.rx_bytes);
  json.field("tx_packets", counters.tx_packets).field("tx_bytes", counters.tx_bytes);
  write_landing(json, counters);
  json.end_object();
}

void write_counters(JsonWriter& json, const Counters& counters) {
  write_port_counters(json, "access", counters.access);
  write_port_counters(json, "host", counters.host);
  json.field("protected_in", counters.protected_in);
  json.field("protected_out", counters.protected_out);
  json.field("bypassed_in", counters.bypassed_in);
  json.field("bypassed_out", counters.bypassed_out);
  json.field("dropped", counters.dropped());
  json.field("steered", counters.steered).field("steered_for_tx", counters.steered_for_tx);
  json.field("events_delayed", counters.events_delayed);
  json.field("polls", counters.polls).field("polls_empty", counters.polls_empty);
}

// In the total alone: 64 workers' would not fit one record. One worker's: by asking for its core.
void write_made_packets(JsonWriter& json, const Counters& counters) {
  json.field("fragments_held", counters.fragments_held);
  json.field("fragments_joined", counters.fragments_joined);
  json.field("datagrams_joined", counters.datagrams_joined);
  json.field("packets_fragmented", counters.packets_fragmented);
  json.field("fragments_made", counters.fragments_made);
  json.field("answers_made", counters.answers_made);
}

}  // namespace

std::vector<std::string> numa_notices(const EngineInfo& info) {
  std::vector<std::string> notices;
  for (const PortInfo& port : info.ports) {
    std::string cpus;
    for (const WorkerInfo& worker : info.workers) {
      if (port.numa_node < 0 || worker.numa_node < 0 || worker.numa_node == port.numa_node)
        continue;
      cpus.append(cpus.empty() ? "" : ", ").append(std::to_string(worker.cpu));
    }
    if (cpus.empty()) continue;
    notices.push_back("the " + port.port + " device is on NUMA node " +
                      std::to_string(port.numa_node) + ", CPU " + cpus +
                      " of [workers] cpus is not: choose CPUs of that node (lscpu shows them)");
  }
  return notices;
}

std::string status_answer(const CommandContext& context) {
  const auto& [info, keys, workers, sas, registrar, rings, audit, policy] = context;
  const auto uptime = std::chrono::steady_clock::now() - info.started;
  JsonWriter json;
  json.field("version", info.version);
  json.field("role", name(sas.policy().role));
  json.field("uptime_s", static_cast<uint64_t>(
                             std::chrono::duration_cast<std::chrono::seconds>(uptime).count()));
  write_ports(json, info, workers);
  write_workers(json, info, workers);
  json.flag("hugepages", info.hugepages).flag("keys_locked", keys.locked());
  json.flag("memory_locked", info.memory_locked).flag("seccomp", info.seccomp);
  json.field("user", info.user);
  json.field("sas_in", sas.count(Direction::in, SaState::live));
  json.field("sas_out", sas.count(Direction::out, SaState::live));
  json.field("capacity", sas.limits().capacity * workers.size());
  json.field("capacity_per_worker", sas.limits().capacity);
  write_sets(json, registrar);
  write_rings(json, rings);
  json.start_object("audit");
  write_audit(json, audit, workers);
  json.end_object();
  write_warnings(json, context);
  return json.finish();
}

void write_audit(JsonWriter& json, const Audit& audit, const WorkerProxies& workers) {
  const Counters total = workers.counters();
  json.flag("enabled", audit.config().enabled);
  json.field("per_second", audit.config().per_second);
  json.field("recorded", total.audited).field("left_out", total.audit_left_out);
  json.field("lost", total.audit_lost);
}

std::string stats_answer(const EngineInfo& info, const WorkerProxies& workers,
                         std::optional<uint64_t> core) {
  JsonWriter json;
  Counters total;
  bool found = false;
  json.start_array("workers");
  for (size_t i = 0; i < workers.size(); ++i) {
    if (core && *core != info.workers[i].cpu) continue;
    found = true;
    const Counters counters = workers[i].counters();
    total += counters;
    json.start_object();
    json.field("worker", i).field("core", info.workers[i].cpu);
    write_counters(json, counters);
    json.end_object();
  }
  json.end_array();
  if (!found) throw Refused(Refusal::no_such_core);
  json.start_object("total");
  write_counters(json, total);
  write_made_packets(json, total);
  json.end_object();
  return json.finish();
}

std::string drops_answer(const WorkerProxies& workers, bool explain) {
  const Counters total = workers.counters();
  JsonWriter json;
  json.start_array("drops");
  uint64_t sum = 0;
  for (const DropInfo& info : kDropInfo) {
    json.start_object();
    json.field("reason", info.name).field("count", total[info.drop]);
    if (explain) json.field("reference", info.reference).field("meaning", info.meaning);
    json.end_object();
    sum += total[info.drop];
  }
  json.end_array();
  json.field("total", sum);
  return json.finish();
}

}  // namespace gmesp
