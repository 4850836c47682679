// SPDX-License-Identifier: BSD-3-Clause
#include "perf/sa_memory.h"

#include <memory>
#include <stdexcept>

#include "dataplane/worker.h"
#include "perf/bench_ue.h"
#include "perf/in_child.h"
#include "perf/resident_memory.h"

namespace gmesp {
namespace {

static_assert(sizeof(InboundSa) == sizeof(OutboundSa), "one figure stands for both directions");

void must_be_done(std::optional<Refusal> refusal) {
  if (refusal) throw std::logic_error(std::string(refusal_info(*refusal).sentence));
}

double grow(Suite suite, size_t sas) {
  const AssumeRole control_role(control_thread);
  const AssumeRole worker_role(worker_thread);  // polled from here
  const size_t before = resident_bytes();
  const size_t ues = sas / 2;
  WorkerConfig config;
  config.sa_capacity = ues;
  Policy policy;
  const Steering steering(1);
  SteeringMesh mesh(1);
  KeyStore keys(sas);
  const auto channel = std::make_unique<WorkerChannel>();
  PacketPools pools;
  Worker worker(config, Port(), Port(), pools, keys, policy, steering, mesh, *channel);
  worker.prepare();
  WorkerProxies proxies({channel.get()});
  SaManager manager({.capacity = ues}, policy, steering, keys, proxies);
  for (uint32_t ue = 0; ue < ues; ++ue) {
    for (const Direction direction : {Direction::in, Direction::out}) {
      manager.add(bench_sa(direction, ue, suite), must_be_done);
    }
    worker.poll();
    proxies.poll();
  }
  if (manager.count(Direction::in, SaState::live) != ues) throw std::logic_error("SAs missing");
  return static_cast<double>(resident_bytes() - before) / static_cast<double>(2 * ues);
}

}  // namespace

SaMemory sa_memory(Suite suite) {
  const size_t look_up = IndexTable<SaIndex, kNoSa>::bytes_per_entry();
  return {sizeof(InboundSa) + sizeof(SaRecord) + look_up,
          KeyStore::slot_bytes(suite) + sizeof(KeySlot),
          sizeof(SaEntry) + look_up + sizeof(SaIndex)};
}

double measured_bytes_per_sa(Suite suite, size_t sas) {
  return in_child([&] { return grow(suite, sas); });
}

}  // namespace gmesp
