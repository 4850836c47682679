// SPDX-License-Identifier: BSD-3-Clause
#include "control/client/command_writer.h"

#include <cstring>
#include <optional>

#include "control/client/gmesp.h"
#include "control/client/link.h"
#include "dataplane/address.h"

namespace gmesp::client {

int error_of(Refusal refusal) { return static_cast<int>(refusal) + 1; }

int error_of(std::string_view code) {
  for (const RefusalInfo& info : kRefusalInfo) {
    if (info.code == code) return error_of(info.refusal);
  }
  return static_cast<int>(kRefusalCount) + 1;
}

CommandWriter::CommandWriter(CommandRecord& record, CommandKind kind, uint64_t handle)
    : record_(record) {
  record_.head = CommandHead{};
  record_.head.bytes = sizeof(CommandHead);
  record_.head.kind = static_cast<uint8_t>(kind);
  record_.head.handle = handle;
}

// Callers have bounded what they add: the tail takes the most of everything.
void CommandWriter::append(const void* bytes, size_t count) {
  std::memcpy(reinterpret_cast<std::byte*>(&record_) + record_.head.bytes, bytes, count);
  record_.head.bytes += static_cast<uint32_t>(count);
}

void CommandWriter::add_agreement(const char* text, uint8_t flag, uint8_t& count) {
  if (text == nullptr) return;
  SecurityAgreement agreement;
  const AgreementError error = parse_security_agreement(text, agreement);
  if (error == AgreementError::no_ipsec_3gpp) {
    throw Failure{error_of(Refusal::unacceptable_proposal)};
  }
  if (error != AgreementError::none) throw Failure{error_of(Refusal::bad_security_header)};
  for (const SecurityMechanism& mechanism : agreement.all()) {
    const WireMechanism wire = to_wire(mechanism);
    append(&wire, sizeof wire);
  }
  count = static_cast<uint8_t>(agreement.count);
  head().flags = static_cast<uint8_t>(head().flags | flag);
}

void CommandWriter::add_handles(std::span<const uint64_t> handles) {
  if (!handles.empty()) append(handles.data(), handles.size_bytes());
  head().handles = static_cast<uint16_t>(handles.size());
}

void CommandWriter::add_identity(const char* text) {
  if (text == nullptr) throw Failure{GMESP_EARGUMENT};
  const size_t bytes = strnlen(text, 256);
  if (bytes == 0 || bytes > 255 || head().identities == kMaxIdentities) {
    throw Failure{error_of(Refusal::too_many_identities)};
  }
  const auto length = static_cast<uint8_t>(bytes);
  append(&length, 1);
  append(text, bytes);
  ++head().identities;
}

void CommandWriter::set_address(uint8_t (&to)[16], const char* text) {
  if (text == nullptr) throw Failure{GMESP_EARGUMENT};
  const std::optional<Address> address = parse_address({text, strnlen(text, 64)});
  if (!address) throw Failure{error_of(Refusal::invalid_value)};
  std::memcpy(to, address->bytes.data(), sizeof to);
}

void CommandWriter::set_contact(const char* text) {
  if (text == nullptr) return;
  set_address(head().contact, text);
  head().flags |= kHasContact;
}

}  // namespace gmesp::client
