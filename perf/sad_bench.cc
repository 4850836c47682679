// SPDX-License-Identifier: BSD-3-Clause
// Look-ups per packet with 1, 10,000 and 1,000,000 SAs in random order, in bursts as the paths make
// them: with their prefetch stages, without, and with std::unordered_map in the table's place. Each
// look-up ends with a read of the SA's line.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <random>
#include <unordered_map>
#include <vector>

#include "dataplane/packet.h"
#include "dataplane/sad.h"
#include "dataplane/spd.h"

namespace gmesp {
namespace {

constexpr size_t kBurst = Burst::kCapacity;
constexpr size_t kLookUps = size_t{1} << 16;  // in a row before the order repeats

enum Way : int64_t { kPrefetch, kDirect, kUnorderedMap };

std::vector<uint32_t> random_order(size_t sas) {
  std::mt19937 random(1);
  std::vector<uint32_t> order(kLookUps);
  for (uint32_t& index : order) index = static_cast<uint32_t>(random() % sas);
  return order;
}

void count_look_ups(benchmark::State& state, bool all_found) {
  if (!all_found) state.SkipWithError("SA not found");
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBurst));
}

// All different, in no order.
Spi spi_of(uint32_t index) { return Spi{(index + 1) * 0x9e3779b1u}; }

std::unique_ptr<Sad> full_sad(size_t sas) {
  auto sad = std::make_unique<Sad>(sas);
  for (uint32_t i = 0; i < sas; ++i) {
    InstallInbound command;
    command.index = SaIndex{i};
    command.spi = spi_of(i);
    sad->install(command);
  }
  return sad;
}

void inbound_look_up(benchmark::State& state) {
  const auto sas = static_cast<size_t>(state.range(0));
  const std::unique_ptr<Sad> sad = full_sad(sas);
  std::unordered_map<uint32_t, InboundSa*> map;
  std::vector<Spi> spis;
  for (const uint32_t index : random_order(sas)) spis.push_back(spi_of(index));
  if (state.range(1) == kUnorderedMap) {
    for (uint32_t i = 0; i < sas; ++i) {
      map.emplace(static_cast<uint32_t>(spi_of(i)), sad->find(spi_of(i)));
    }
  }
  std::array<InboundSa*, kBurst> found;
  bool all_found = true;
  size_t at = 0;
  for ([[maybe_unused]] auto _ : state) {
    const Spi* const burst = &spis[at];
    at = (at + kBurst) % kLookUps;
    if (state.range(1) == kPrefetch) {
      for (size_t i = 0; i < kBurst; ++i) sad->prefetch(burst[i]);
    }
    for (size_t i = 0; i < kBurst; ++i) {
      found[i] = state.range(1) == kUnorderedMap ? map.find(static_cast<uint32_t>(burst[i]))->second
                                                 : sad->find(burst[i]);
      if (state.range(1) == kPrefetch) sad->sas().prefetch(*found[i]);
    }
    for (size_t i = 0; i < kBurst; ++i) all_found &= found[i]->spi == burst[i];
  }
  count_look_ups(state, all_found);
}

struct AddressPair {
  Address source;
  Address destination;
  friend bool operator==(const AddressPair&, const AddressPair&) = default;
};

AddressPair pair_of(uint32_t index) {
  AddressPair pair{*parse_address("2001:db8:1::5"), *parse_address("2001:db8:2::")};
  for (size_t i = 0; i < 4; ++i) {
    pair.destination.bytes[4 + i] = static_cast<uint8_t>(index >> (24 - 8 * i));
  }
  return pair;
}

std::unique_ptr<Spd> full_spd(size_t sas) {
  auto spd = std::make_unique<Spd>(sas, 0x243f6a8885a308d3);
  for (uint32_t i = 0; i < sas; ++i) {
    InstallOutbound command;
    command.index = SaIndex{i};
    command.spi = spi_of(i);
    command.selector.source = pair_of(i).source;
    command.selector.destination = pair_of(i).destination;
    spd->install(command);
  }
  return spd;
}

void outbound_look_up(benchmark::State& state) {
  const auto sas = static_cast<size_t>(state.range(0));
  const std::unique_ptr<Spd> spd = full_spd(sas);
  const auto hash = [&spd](const AddressPair& p) { return spd->hash(p.source, p.destination); };
  std::unordered_map<AddressPair, OutboundSa*, decltype(hash)> map(0, hash);
  std::vector<Flow> flows;
  for (const uint32_t index : random_order(sas)) {
    const AddressPair pair = pair_of(index);
    flows.push_back({pair.source, pair.destination, 5061, 5062, Protocol::udp});
  }
  if (state.range(1) == kUnorderedMap) {
    for (const Flow& flow : flows) map.emplace(AddressPair{flow.source, flow.destination}, nullptr);
    for (uint32_t i = 0; i < sas; ++i) map[pair_of(i)] = &spd->sas()[SaIndex{i}];
  }
  std::array<uint64_t, kBurst> hashes;
  bool all_found = true;
  size_t at = 0;
  for ([[maybe_unused]] auto _ : state) {
    const Flow* const burst = &flows[at];
    at = (at + kBurst) % kLookUps;
    if (state.range(1) == kUnorderedMap) {
      for (size_t i = 0; i < kBurst; ++i) {
        const OutboundSa* sa = map.find({burst[i].source, burst[i].destination})->second;
        all_found &= sa->selector.matches(burst[i]);
      }
      continue;
    }
    for (size_t i = 0; i < kBurst; ++i) {
      hashes[i] = spd->hash(burst[i].source, burst[i].destination);
      if (state.range(1) == kPrefetch) spd->prefetch(hashes[i]);
    }
    std::array<OutboundSa*, kBurst> candidates;
    for (size_t i = 0; i < kBurst; ++i) {
      candidates[i] = spd->candidate(hashes[i]);
      if (state.range(1) == kPrefetch) spd->sas().prefetch(*candidates[i]);
    }
    for (size_t i = 0; i < kBurst; ++i) all_found &= spd->find(candidates[i], burst[i]) != nullptr;
  }
  count_look_ups(state, all_found);
}

BENCHMARK(inbound_look_up)
    ->ArgNames({"sas", "way"})
    ->ArgsProduct({{1, 10'000, 1'000'000}, {kPrefetch, kDirect, kUnorderedMap}});
BENCHMARK(outbound_look_up)
    ->ArgNames({"sas", "way"})
    ->ArgsProduct({{1, 10'000, 1'000'000}, {kPrefetch, kDirect, kUnorderedMap}});

}  // namespace
}  // namespace gmesp
