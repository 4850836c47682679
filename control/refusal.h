// SPDX-License-Identifier: BSD-3-Clause
// Why a command is refused: one list of reasons, read by answers, README and tests. A refusal never
// repeats what the client sent: a key in the wrong place must not come back in a message or log.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace gmesp {

enum class Refusal : uint8_t {
  // The record.
  too_long,
  not_json,
  unknown_command,
  unknown_key,
  missing_key,
  duplicate_key,
  wrong_type,
  // Its values.
  invalid_value,
  out_of_range,
  reserved_spi,
  address_families_differ,
  suite_not_permitted,
  not_hex,
  wrong_key_length,
  weak_des_key,
  key_not_used,
  // The state of the engine.
  spi_in_use,
  sa_not_found,
  ambiguous_spi,
  sa_busy,
  capacity_reached,
  key_store_full,
  rejected_by_worker,
  no_such_core,
  too_many_connections,
  not_permitted,
  no_memory,
  // Registrations.
  bad_security_header,
  unacceptable_proposal,
  spi_clash,
  port_clash,
  ue_port_in_use,
  too_many_sets,
  too_many_identities,
  unknown_handle,
  wrong_state,
  verify_mismatch,
  client_mismatch,
  other_impi,
  unknown_impu,
  no_such_flow,
  address_differs,
  contact_differs,
  key_already_used,
  spis_exhausted,
  no_port_left,
  registrations_full,
  sa_of_set,
  not_for_role,
  stale_session,
  ring_full,
  // The configuration.
  bad_configuration,
  needs_restart,
  kCount
};
inline constexpr size_t kRefusalCount = static_cast<size_t>(Refusal::kCount);

struct RefusalInfo {
  Refusal refusal;
  std::string_view code;
  std::string_view sentence;
};

inline constexpr std::array<RefusalInfo, kRefusalCount> kRefusalInfo{{
    {Refusal::too_long, "too_long", "the record is longer than 65536 bytes"},
    {Refusal::not_json, "not_json", "the record is not one JSON object"},
    {Refusal::unknown_command, "unknown_command", "there is no such command"},
    {Refusal::unknown_key, "unknown_key", "the command does not take one of the keys given"},
    {Refusal::missing_key, "missing_key", "a key that the command needs is missing"},
    {Refusal::duplicate_key, "duplicate_key", "a key is given twice"},
    {Refusal::wrong_type, "wrong_type", "a value has the wrong JSON type"},
    {Refusal::invalid_value, "invalid_value", "a value is none of those permitted"},
    {Refusal::out_of_range, "out_of_range", "a number is out of range"},
    {Refusal::reserved_spi, "reserved_spi",
     "SPI 0 is never used, and SPIs 1 to 255 are reserved on arrival (RFC 4303 2.1)"},
    {Refusal::address_families_differ, "address_families_differ",
     "src and dst are not of one address family"},
    {Refusal::suite_not_permitted, "suite_not_permitted",
     "this pair of alg and ealg may not protect an SA (TS 33.203 Annex H)"},
    {Refusal::not_hex, "not_hex", "a key or salt is not an even number of hexadecimal digits"},
    {Refusal::wrong_key_length, "wrong_key_length",
     "a key or salt has the wrong length for its algorithm"},
    {Refusal::weak_des_key, "weak_des_key",
     "two neighbouring parts of the DES-EDE3 key are equal (RFC 2451 2.3)"},
    {Refusal::key_not_used, "key_not_used", "this pair of alg and ealg does not use that key"},
    {Refusal::spi_in_use, "spi_in_use", "another SA has this SPI"},
    {Refusal::sa_not_found, "sa_not_found", "there is no such SA"},
    {Refusal::ambiguous_spi, "ambiguous_spi",
     "this SPI alone does not tell which of so many SAs: give dst"},
    {Refusal::sa_busy, "sa_busy", "the SA is being installed or deleted"},
    {Refusal::capacity_reached, "capacity_reached",
     "the worker that owns this UE holds as many SAs as it may: raise capacity in [sa]"},
    {Refusal::key_store_full, "key_store_full", "there is no room for another key"},
    {Refusal::rejected_by_worker, "rejected_by_worker", "the worker did not take the SA"},
    {Refusal::no_such_core, "no_such_core", "no worker runs on this core"},
    {Refusal::too_many_connections, "too_many_connections",
     "the control socket serves as many clients as it may"},
    {Refusal::not_permitted, "not_permitted",
     "this user is neither the owner nor in the group of the control socket"},
    {Refusal::no_memory, "no_memory", "gmespd has no memory, or no descriptor, left for a ring"},
    {Refusal::bad_security_header, "bad_security_header",
     "a Security-Client, -Server or -Verify header does not read as RFC 3329 has it"},
    {Refusal::unacceptable_proposal, "unacceptable_proposal",
     "no combination of algorithms is acceptable to both ends (Unacceptable_Proposal)"},
    {Refusal::spi_clash, "spi_clash", "two SPIs that a set must keep apart are equal"},
    {Refusal::port_clash, "port_clash", "the ports of an offer are equal, or not protected ports"},
    {Refusal::ue_port_in_use, "ue_port_in_use", "another IMPI has this UE address and port"},
    {Refusal::too_many_sets, "too_many_sets", "this IMPI has as many sets as it may"},
    {Refusal::too_many_identities, "too_many_identities",
     "an IMPI or IMPU is empty or too long, or there are too many"},
    {Refusal::unknown_handle, "unknown_handle", "no set has this handle"},
    {Refusal::wrong_state, "wrong_state", "the set is not in a state for this call"},
    {Refusal::verify_mismatch, "verify_mismatch",
     "Security-Verify is not what Security-Server said"},
    {Refusal::client_mismatch, "client_mismatch",
     "Security-Client is not what the first REGISTER said"},
    {Refusal::other_impi, "other_impi", "the packet came through a set of another IMPI"},
    {Refusal::unknown_impu, "unknown_impu", "the set's registration does not have this IMPU"},
    {Refusal::no_such_flow, "no_such_flow", "no set has this UE address and port"},
    {Refusal::address_differs, "address_differs", "the address is not that of the set"},
    {Refusal::contact_differs, "contact_differs",
     "the address of the Contact header is not the packet's source"},
    {Refusal::key_already_used, "key_already_used", "this CK and IK have protected a set before"},
    {Refusal::spis_exhausted, "spis_exhausted", "no free SPI was found"},
    {Refusal::no_port_left, "no_port_left", "no free port is left for this UE"},
    {Refusal::registrations_full, "registrations_full", "there are as many sets as there may be"},
    {Refusal::sa_of_set, "sa_of_set", "the SA belongs to a set: it goes with its set only"},
    {Refusal::not_for_role, "not_for_role",
     "this engine's role does not take this key or needs another one"},
    {Refusal::stale_session, "stale_session",
     "this reconciliation was replaced by another or has ended"},
    {Refusal::ring_full, "ring_full", "the ring is full"},
    {Refusal::bad_configuration, "bad_configuration", "the configuration file is not accepted"},
    {Refusal::needs_restart, "needs_restart",
     "the file differs in a key that only a new start takes in"},
}};

constexpr const RefusalInfo& refusal_info(Refusal refusal) {
  return kRefusalInfo[static_cast<size_t>(refusal)];
}

constexpr bool refusal_info_is_complete() {
  for (size_t i = 0; i < kRefusalCount; ++i) {
    if (static_cast<size_t>(kRefusalInfo[i].refusal) != i || kRefusalInfo[i].sentence.empty()) {
      return false;
    }
  }
  return true;
}
static_assert(refusal_info_is_complete(), "every Refusal has its row in kRefusalInfo, in order");

// Thrown by whatever checks a command, before anything is changed.
class Refused : public std::runtime_error {
 public:
  explicit Refused(Refusal refusal)
      : runtime_error(std::string(refusal_info(refusal).sentence)), refusal_(refusal) {}
  // detail: what was expected, in our words.
  Refused(Refusal refusal, std::string_view detail)
      : runtime_error(std::string(refusal_info(refusal).sentence) + ": " + std::string(detail)),
        refusal_(refusal) {}

  Refusal refusal() const { return refusal_; }

 private:
  Refusal refusal_;
};

}  // namespace gmesp
