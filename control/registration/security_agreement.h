// SPDX-License-Identifier: BSD-3-Clause
// The headers in which UE and P-CSCF agree on IPsec: Security-Client, Security-Server and
// Security-Verify (RFC 3329 2.2) with the mechanism ipsec-3gpp (TS 33.203 Annex H; SPEC 7.3). Text
// to plain data and back, no state. Needs crypto/algorithm.h only: gmespd, libgmesp and the fuzzer
// share it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "crypto/algorithm.h"

namespace gmesp {

enum class EspMode : uint8_t { transport, tunnel, udp_encapsulated_tunnel };

// One "ipsec-3gpp" element.
struct SecurityMechanism {
  static constexpr uint16_t kNoQ = 0xffff;

  IntegrityAlgorithm integrity{};
  EncryptionAlgorithm encryption{};  // ealg; absent = null
  bool esp = true;                   // prot; absent = esp, false: ah
  EspMode mode = EspMode::transport;
  uint16_t q = kNoQ;    // thousandths 0..1000; kNoQ: absent
  uint16_t port_c = 0;  // protected client port of the header's sender
  uint16_t port_s = 0;
  uint32_t spi_c = 0;  // SPI of the sender's inbound SA at its client port
  uint32_t spi_s = 0;

  friend bool operator==(const SecurityMechanism&, const SecurityMechanism&) = default;
};

// What the ipsec-3gpp elements of one side's headers say, in their order.
struct SecurityAgreement {
  static constexpr size_t kMaxMechanisms = 24;  // three algorithms x four x two modes

  uint32_t count = 0;
  std::array<SecurityMechanism, kMaxMechanisms> mechanisms{};

  std::span<const SecurityMechanism> all() const { return {mechanisms.data(), count}; }
  // False: full.
  bool add(const SecurityMechanism& mechanism);
};

enum class AgreementError : uint8_t {
  none,
  syntax,               // not the grammar of RFC 3329 2.2
  no_ipsec_3gpp,        // no element of that name whose algorithms are known
  missing_parameter,    // an ipsec-3gpp element without alg, an SPI or a port
  duplicate_parameter,  // the same parameter twice in one element
  number_out_of_range,  // SPI above 2^32-1, port 0 or above 65535, q above 1
  too_many_mechanisms,  // more than kMaxMechanisms
};

// text: the values of all headers of one name as phones write them: a comma list, several lines
// (each with or without its "Security-Client:"), folded lines, any case, any order, padded and
// plain numbers. Other mechanisms (tls, digest, ...), unknown parameters and ipsec-3gpp elements
// with algorithms that nobody here knows are skipped. At most kMaxAgreementText bytes, else syntax.
inline constexpr size_t kMaxAgreementText = 16384;
AgreementError parse_security_agreement(std::string_view text, SecurityAgreement& agreement);
// The same for whoever passes on what a message has: nothing but blanks, or no ipsec-3gpp element
// that is known, is no error but an agreement of none, to be judged by the Registrar's rules
// (INT-65 to INT-67).
AgreementError read_security_header(std::string_view text, SecurityAgreement& agreement);

enum class SpiFormat : uint8_t {
  plain,   // spi-c=1001
  padded,  // spi-c=0000001001: Annex H has exactly ten digits
};
// The value of one header: elements separated by ", ", every parameter written out.
std::string format_security_agreement(const SecurityAgreement& agreement, SpiFormat spis);

// Whether `echo` (Security-Verify, or Security-Client of SM7) repeats `original` (INT-57, PRS-10):
// the same elements in any order. A q that the echo leaves out is no difference: what SAs exist was
// decided without it.
bool repeats(const SecurityAgreement& echo, const SecurityAgreement& original);

}  // namespace gmesp
