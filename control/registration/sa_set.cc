// SPDX-License-Identifier: BSD-3-Clause
#include "control/registration/sa_set.h"

namespace gmesp {
namespace {

constexpr uint16_t kAny = Selector::kAnyPort;

// One way between the ends, and the SPI of the end where it arrives.
struct Way {
  bool from_ue = false;
  uint16_t ue_port = kAny;
  uint16_t pcscf_port = kAny;
  Spi spi{};
  Protocol protocol = Selector::kAnyProtocol;
};

// The other port of this end; of a port that is left open, none.
uint16_t other_port(const SetEnd& end, uint16_t port) {
  if (port == kAny) return kAny;
  return port == end.port_c ? end.port_s : end.port_c;
}

SaOfSet sa_of(const Way& way, SelectorRule rule, Role role, const SetEnd& ue, const SetEnd& pcscf) {
  const SetEnd& from = way.from_ue ? ue : pcscf;
  const SetEnd& to = way.from_ue ? pcscf : ue;
  SaOfSet sa;
  sa.direction = way.from_ue == (role == Role::pcscf) ? Direction::in : Direction::out;
  sa.spi = way.spi;
  sa.selector.source = from.address;
  sa.selector.destination = to.address;
  sa.selector.source_port = way.from_ue ? way.ue_port : way.pcscf_port;
  sa.selector.destination_port = way.from_ue ? way.pcscf_port : way.ue_port;
  sa.selector.protocol = way.protocol;
  if (rule == SelectorRule::strict) return sa;
  sa.alternate.source = other_port(from, sa.selector.source_port);
  // Outbound the destination's port says which of the other end's SPIs it is.
  if (sa.direction == Direction::in) {
    sa.alternate.destination = other_port(to, sa.selector.destination_port);
  }
  return sa;
}

}  // namespace

SetPlan::SetPlan(SetForm form, SelectorRule rule, Role role, const SetEnd& ue,
                 const SetEnd& pcscf) {
  const auto add = [&](const Way& way) { sas_[count_++] = sa_of(way, rule, role, ue, pcscf); };
  switch (form) {
    case SetForm::published:  // SPEC 0.1
      add({true, ue.port_c, pcscf.port_s, pcscf.spi_s});
      add({false, ue.port_c, pcscf.port_s, ue.spi_c});
      add({false, ue.port_s, pcscf.port_c, ue.spi_s});
      add({true, ue.port_s, pcscf.port_c, pcscf.spi_c});
      return;
    case SetForm::transport_pairs:  // INT-08; a P-CSCF may send from any port (INT-34)
      add({true, ue.port_c, pcscf.port_c, pcscf.spi_c, Protocol::tcp});
      add({false, ue.port_c, kAny, ue.spi_c, Protocol::tcp});
      add({true, ue.port_s, pcscf.port_s, pcscf.spi_s, Protocol::udp});
      add({false, ue.port_s, kAny, ue.spi_s, Protocol::udp});
      return;
    case SetForm::single_pair:  // PRS-04
      // One port at each end: there is no other to be generous with.
      rule = SelectorRule::strict;
      add({true, ue.port_s, pcscf.port_s, pcscf.spi_s});
      add({false, ue.port_s, pcscf.port_s, ue.spi_s});
      return;
  }
}

std::string_view name(SetState state) {
  switch (state) {
    case SetState::offered:
      return "offered";
    case SetState::temporary:
      return "temporary";
    case SetState::established:
      return "established";
    case SetState::old:
      return "old";
  }
  return {};
}

}  // namespace gmesp
