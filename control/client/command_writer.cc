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
  head_.bytes = sizeof head_;
  head_.kind = static_cast<uint8_t>(kind);
  head_.handle = handle;
}

CommandWriter::~CommandWriter() {
  explicit_bzero(head_.ck, sizeof head_.ck);
  explicit_bzero(head_.ik, sizeof head_.ik);
}

// Callers have bounded what they add: the tail takes the most of everything.
void CommandWriter::append(const void* bytes, size_t count) {
  if (count == 0) return;  // an identity that is left out has no text
  std::memcpy(reinterpret_cast<std::byte*>(&record_) + head_.bytes, bytes, count);
  head_.bytes += static_cast<uint32_t>(count);
}

void CommandWriter::store(uint64_t token) {
  head_.token = token;
  std::memcpy(&record_.head, &head_, sizeof head_);
}

void CommandWriter::add_agreement(const char* text, uint8_t flag, uint8_t& count) {
  if (text == nullptr) return;
  SecurityAgreement agreement;
  if (read_security_header(text, agreement) != AgreementError::none) {
    throw Failure{error_of(Refusal::bad_security_header)};
  }
  for (const SecurityMechanism& mechanism : agreement.all()) {
    const WireMechanism wire = to_wire(mechanism);
    append(&wire, sizeof wire);
  }
  count = static_cast<uint8_t>(agreement.count);
  head_.flags = static_cast<uint8_t>(head_.flags | flag);
}

void CommandWriter::add_handles(std::span<const uint64_t> handles) {
  if (!handles.empty()) append(handles.data(), handles.size_bytes());
  head_.handles = static_cast<uint16_t>(handles.size());
}

void CommandWriter::add_identity(const char* text) {
  if (text == nullptr) throw Failure{GMESP_EARGUMENT};
  const size_t bytes = strnlen(text, 256);
  if (bytes == 0 || bytes > 255 || head_.identities == kMaxIdentities) {
    throw Failure{error_of(Refusal::too_many_identities)};
  }
  append_identity({text, bytes});
}

void CommandWriter::add_identity_or_none(const char* text) {
  if (text == nullptr) return append_identity({});
  add_identity(text);
}

void CommandWriter::append_identity(std::string_view text) {
  const auto length = static_cast<uint8_t>(text.size());
  append(&length, 1);
  append(text.data(), text.size());
  ++head_.identities;
}

void CommandWriter::set_address(uint8_t (&to)[16], const char* text) {
  if (text == nullptr) throw Failure{GMESP_EARGUMENT};
  const std::optional<Address> address = parse_address({text, strnlen(text, 64)});
  if (!address) throw Failure{error_of(Refusal::invalid_value)};
  std::memcpy(to, address->bytes.data(), sizeof to);
}

void CommandWriter::set_contact(const char* text) {
  if (text == nullptr) return;
  set_address(head_.contact, text);
  head_.flags |= kHasContact;
}

}  // namespace gmesp::client
