// SPDX-License-Identifier: BSD-3-Clause
// The inbound SAD of one worker (RFC 4301 4.4.2): SPI -> InboundSa. The SPI alone identifies an SA
// (ESP-01, ESP-03: unicast SAs only, SPIs allocated by us). Single owner, fixed capacity.
#pragma once

#include <cstddef>
#include <optional>

#include "dataplane/command.h"
#include "dataplane/index_table.h"
#include "dataplane/sa_table.h"

namespace gmesp {

class Sad {
 public:
  explicit Sad(size_t capacity) : sas_(capacity), by_spi_(capacity) {}
  void populate() {
    sas_.populate();
    by_spi_.populate();
  }

  void prefetch(Spi spi) const { by_spi_.prefetch(key(spi)); }
  // nullptr: no SA has this SPI.
  InboundSa* find(Spi spi) {
    const SaIndex index = by_spi_.find(key(spi), [](SaIndex) { return true; });
    return index == kNoSa ? nullptr : &sas_[index];
  }

  // What install() and remove() will touch; for remove() the place's lines first, then the bucket.
  void prefetch_install(const InstallInbound& command) const {
    sas_.prefetch_place(command.index);
    prefetch(command.spi);
  }
  void prefetch_place(SaIndex index) const { sas_.prefetch_place(index); }
  void prefetch_remove(SaIndex index) const { prefetch(sas_[index].spi); }
  // Nothing is changed when an error comes back.
  std::optional<InstallError> install(const InstallInbound& command);
  void remove(SaIndex index);  // of an installed SA

  SaTable<InboundSa>& sas() { return sas_; }

 private:
  // The whole SPI is the tag, so a tag that matches is the SA.
  static IndexKey key(Spi spi) {
    const auto value = static_cast<uint32_t>(spi);
    return {spread(value), value};
  }

  SaTable<InboundSa> sas_;
  IndexTable<SaIndex, kNoSa> by_spi_;
};

}  // namespace gmesp
