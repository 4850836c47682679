// SPDX-License-Identifier: BSD-3-Clause
// What a worker's two packet paths share. Everything belongs to the same worker, or is constant,
// and outlives the paths.
#pragma once

#include "crypto/key_store.h"
#include "crypto/multi_buffer.h"
#include "dataplane/cleartext.h"
#include "dataplane/drops.h"
#include "dataplane/packet_pool.h"
#include "dataplane/path_config.h"
#include "dataplane/spd.h"
#include "dataplane/steering.h"

namespace gmesp {

struct PathContext {
  const PathConfig& config;
  const KeyStore& keys;
  MultiBuffer& multi_buffer;
  const Cleartext& cleartext;
  Spd& spd;
  Steerer& steerer;
  PacketPools& pools;
  Drops& drops;
  uint64_t seed;  // random: of hashes and identifications that strangers must not foresee
};

}  // namespace gmesp
