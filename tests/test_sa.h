// SPDX-License-Identifier: BSD-3-Clause
// The two ends of Gm as the tests know them, and an SA between them.
#pragma once

#include <cstdint>

#include "dataplane/address.h"
#include "dataplane/selector.h"
#include "tests/crypto_batch.h"

namespace gmesp {

inline const Address kUe4 = *parse_address("192.0.2.5");
inline const Address kPcscf4 = *parse_address("198.51.100.10");
inline const Address kUe6 = *parse_address("2001:db8:1::5");
inline const Address kPcscf6 = *parse_address("2001:db8::10");
constexpr uint16_t kUePort = 5100;
constexpr uint16_t kPcscfPort = 6101;

// An SA as both ends know it; its keys follow from suite and SPI, or from a seed that several
// share.
struct TestSa {
  Suite suite = Suite::sha1_aes_cbc;
  uint32_t spi = 0x10002;
  Selector selector{kUe6, kPcscf6, kUePort, kPcscfPort};
  AlternatePorts alternate{};
  uint32_t key_seed = 0;

  EspKeys keys() const { return counting_keys(suite, key_seed != 0 ? key_seed : spi); }
};

}  // namespace gmesp
