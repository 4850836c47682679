// SPDX-License-Identifier: BSD-3-Clause
// The ports and SPIs of this end for a new set (SPEC 7.1; INT-22, INT-32, INT-46, PRS-08).
#include <algorithm>

#include "control/registration/registrar.h"

namespace gmesp {

SetEnd Registrar::own_end(const RegisterCall& call, const SetEnd& peer) {
  const Registration* const registration = sets_.find(call.impi);
  SetEnd own;
  if (role_ == Role::pcscf) {
    own.address = call.pcscf;
    own.port_s = config_.port_ps;
    // INT-32: in the other forms one port takes everything.
    own.port_c = config_.form == SetForm::published ? next_port_pc(registration) : config_.port_ps;
  } else {
    own.address = call.ue;
    // port_us stays while the UE is registered, port_uc changes with each set (SPEC 7.1).
    const bool stays =
        registration != nullptr && sets_[registration->sets.back()].ue.address == call.ue;
    own.port_s = stays ? sets_[registration->sets.back()].ue.port_s : free_ue_port(call.ue, 0);
    own.port_c = free_ue_port(call.ue, own.port_s);
  }
  own.spi_c = take_spi(peer, registration);
  try {
    own.spi_s = take_spi(peer, registration);
  } catch (const Refused&) {
    spis_.release(own.spi_c, clock_());
    throw;
  }
  return own;
}

// PRS-08: unlike every SPI that this UE has sent; all its sets count, not this offer alone.
Spi Registrar::take_spi(const SetEnd& peer, const Registration* registration) {
  std::vector<Spi> avoid{peer.spi_c, peer.spi_s};
  for (const SetIndex index :
       registration != nullptr ? registration->sets : std::vector<SetIndex>{}) {
    const SetEnd& other = role_ == Role::pcscf ? sets_[index].ue : sets_[index].pcscf;
    avoid.insert(avoid.end(), {other.spi_c, other.spi_s});
  }
  const std::optional<Spi> spi = spis_.take(avoid, clock_());
  if (!spi) throw Refused(Refusal::spis_exhausted);
  return *spi;
}

// The next in turn that none of the UE's sets has: so old and new set differ for the SIP layer.
uint16_t Registrar::next_port_pc(const Registration* registration) const {
  const std::vector<uint16_t>& ports = config_.port_pc;
  if (registration == nullptr) return ports.front();
  const auto last =
      std::ranges::find(ports, sets_[registration->sets.back()].pcscf.port_c) - ports.begin();
  const auto in_turn = [&](size_t i) {
    return ports[(static_cast<size_t>(last) + i) % ports.size()];
  };
  for (size_t i = 1; i <= ports.size(); ++i) {
    const auto has_it = [&](SetIndex index) { return sets_[index].pcscf.port_c == in_turn(i); };
    if (std::ranges::none_of(registration->sets, has_it)) return in_turn(i);
  }
  return in_turn(1);
}

// INT-46: random from a large range, in nobody's table.
uint16_t Registrar::free_ue_port(const Address& ue, uint16_t besides) {
  const uint32_t ports = config_.ue_port_last - config_.ue_port_first + 1u;
  const uint32_t start = random_.below(ports);
  for (uint32_t i = 0; i < ports; ++i) {
    const auto port = static_cast<uint16_t>(config_.ue_port_first + (start + i) % ports);
    if (port != besides && !is_sip_port(port) && sets_.owner(ue, port) == nullptr) {
      return port;
    }
  }
  throw Refused(Refusal::no_port_left);
}

}  // namespace gmesp
