// SPDX-License-Identifier: BSD-3-Clause
// What an SA may carry (RFC 4301 4.4.1.1; INT-30): addresses, upper protocol and ports of the
// protected packets as they travel, and the same five facts of one packet (Flow).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/address.h"
#include "dataplane/wire.h"

namespace gmesp {

// Flow and Selector begin with the address pair as an IPv6 header has it, so that it is read and
// compared as one piece.
constexpr size_t kAddressPairBytes = 2 * sizeof(Address);

struct Flow {
  Address source;
  Address destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  Protocol protocol = Protocol::none;
};

// Of the answer.
inline Flow reversed(const Flow& flow) {
  return {flow.destination, flow.source, flow.destination_port, flow.source_port, flow.protocol};
}

// Second ports that an SA takes besides its selector's, in any combination with them; 0: none. Read
// only where the selector itself does not match (SPEC 6, `selector ports-of-set`).
struct AlternatePorts {
  uint16_t source = 0;
  uint16_t destination = 0;

  bool any() const { return (source | destination) != 0; }
};

struct Selector {
  static constexpr uint16_t kAnyPort = 0;
  static constexpr Protocol kAnyProtocol =
      Protocol{0};  // UDP or TCP: one IMS SA carries both (SPEC 7.2)

  Address source;
  Address destination;
  uint16_t source_port = kAnyPort;
  uint16_t destination_port = kAnyPort;
  Protocol protocol = kAnyProtocol;

  bool matches(const Flow& flow) const {
    return std::memcmp(this, &flow, kAddressPairBytes) == 0 &&
           (source_port == kAnyPort || source_port == flow.source_port) &&
           (destination_port == kAnyPort || destination_port == flow.destination_port) &&
           takes_protocol_of(flow);
  }
  // The same with the SA's second ports.
  bool matches(const Flow& flow, const AlternatePorts& alternate) const {
    return std::memcmp(this, &flow, kAddressPairBytes) == 0 &&
           takes_port(source_port, alternate.source, flow.source_port) &&
           takes_port(destination_port, alternate.destination, flow.destination_port) &&
           takes_protocol_of(flow);
  }

  // Order among the SAs of one address pair: ports decide before the protocol. 0 (least specific)
  // .. 5.
  int specificity() const {
    return 2 * ((source_port != kAnyPort) + (destination_port != kAnyPort)) +
           (protocol != kAnyProtocol);
  }

 private:
  static bool takes_port(uint16_t own, uint16_t second, uint16_t port) {
    return own == kAnyPort || port == own || (second != kAnyPort && port == second);
  }
  bool takes_protocol_of(const Flow& flow) const {
    return protocol == kAnyProtocol
               ? flow.protocol == Protocol::udp || flow.protocol == Protocol::tcp
               : protocol == flow.protocol;
  }
};

static_assert(offsetof(Flow, source_port) == kAddressPairBytes &&
                  offsetof(Selector, source_port) == kAddressPairBytes,
              "nothing between or before the two addresses");

}  // namespace gmesp
