// SPDX-License-Identifier: BSD-3-Clause
// EAL for all tests of a program that uses real mbufs and DPDK's own devices. Needs neither
// hugepages nor rights. Included by one file of the program.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "dataplane/dpdk/eal.h"

namespace gmesp {

class EalEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    eal_ = std::make_unique<Eal>(EalConfig{.program = "gmesp_test", .allow_hugepages = false});
  }
  void TearDown() override { eal_.reset(); }

 private:
  std::unique_ptr<Eal> eal_;
};
inline const testing::Environment* const eal_environment =
    testing::AddGlobalTestEnvironment(new EalEnvironment);

using Bytes = std::vector<uint8_t>;

// Bytes that count up.
inline Bytes pattern(size_t bytes, uint8_t first) {
  Bytes data(bytes);
  std::iota(data.begin(), data.end(), first);
  return data;
}

}  // namespace gmesp
