// SPDX-License-Identifier: BSD-3-Clause
// From the arguments of a call to its record in the ring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "control/client/records.h"
#include "control/refusal.h"

namespace gmesp::client {

// Refusals as errors of gmesp.h: above 0. A code that this build does not know is one too.
int error_of(Refusal refusal);
int error_of(std::string_view code);

// One command, being written into its slot of the ring: memory that is only written, because
// gmespd can write it too. So the head is made here and stored as a whole.
class CommandWriter {
 public:
  CommandWriter(CommandRecord& record, CommandKind kind, uint64_t handle);
  ~CommandWriter();  // wipes CK and IK
  CommandWriter(const CommandWriter&) = delete;
  CommandWriter& operator=(const CommandWriter&) = delete;
  CommandHead& head() { return head_; }
  // The last step.
  void store(uint64_t token);
  // Each throws Failure on what cannot travel. Agreements come first, then handles, then
  // identities.
  void add_agreement(const char* text, uint8_t flag, uint8_t& count);
  void add_handles(std::span<const uint64_t> handles);
  void add_identity(const char* text);
  void add_identity_or_none(const char* text);  // nullptr: not asked for
  static void set_address(uint8_t (&to)[16], const char* text);
  void set_contact(const char* text);

 private:
  void append(const void* bytes, size_t count);
  void append_identity(std::string_view text);

  CommandRecord& record_;
  CommandHead head_{};
};

}  // namespace gmesp::client
