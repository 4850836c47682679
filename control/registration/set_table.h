// SPDX-License-Identifier: BSD-3-Clause
// Where the Registrar keeps sets: by handle, by the IMPI they belong to (INT-41), by UE address and
// port (INT-43). Bookkeeping only; what may happen to a set is the Registrar's business.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/refusal.h"
#include "control/registration/sa_set.h"
#include "control/registration/security_agreement.h"
#include "control/registration/set_event.h"
#include "control/registration/used_keys.h"
#include "control/sa_manager.h"
#include "crypto/sip_hash.h"

namespace gmesp {

struct Registration;

// What a set waits for from the workers.
enum class SetStep : uint8_t { none, installing, promoting, deleting };

// One call that waits for one or several sets. Whoever lets go of it last answers.
struct Completion {
  std::function<void(std::optional<Refusal>)> done;
  std::optional<Refusal> refusal;
};
using CompletionRef = std::shared_ptr<Completion>;
// Lets go of it. refusal: what is answered in the end.
void answer(CompletionRef& completion, std::optional<Refusal> refusal = std::nullopt);

struct SaSet {
  uint32_t generation = 0;  // upper half of the handle; counts the sets that had this place
  SetState state{};
  SetStep step = SetStep::none;
  uint8_t unanswered = 0;  // SAs that a worker owes an answer about
  uint8_t sa_count = 0;    // SAs that exist
  uint8_t promoted = 0;    // bit per SA
  bool rejected = false;   // a worker did not take one of its SAs
  bool temporary_used = false;
  bool response_checked = false;
  bool authenticated = false;  // ok() has come: what it says is trusted, also when it is old
  bool in_use = false;
  bool owns_ports = false;
  SetForm form{};
  SelectorRule selector{};
  std::optional<Suite> suite;
  SetEventKind end{};  // what is told when it is gone
  SetEnd ue;
  SetEnd pcscf;
  SetHandle carrier = kNoSet;  // the set that its REGISTER, and so its 401, went over
  SetHandle over = kNoSet;     // that protected the first REGISTER of this authentication (JNT-3)
  int64_t created_ms = 0;
  int64_t deadline_ms = 0;
  uint32_t reconciled = 0;  // session that named it last, or had begun last when it came
  std::array<SaHandle, SetPlan::kMaxSas> sas{};
  std::optional<SetKeys> keys;
  KeyPrint key_print{};
  Registration* registration = nullptr;
  std::vector<std::string> impus;
  std::vector<SecurityMechanism> ours;    // what we sent: Security-Server or -Client
  std::vector<SecurityMechanism> theirs;  // what they sent, until established
  CompletionRef waiting;                  // challenge() or ok()
  CompletionRef removing;                 // whoever wants to know that it is gone
};

// Everything that one private identity has.
struct Registration {
  std::string_view impi;       // the table's
  std::vector<SetIndex> sets;  // oldest first; those being deleted are not here
};

class SetTable {
 public:
  explicit SetTable(size_t capacity);

  bool full() const { return free_.empty() && sets_.size() >= capacity_; }
  // A new set of this IMPI; not full().
  SetIndex add(std::string_view impi);
  // Takes the set out of its registration (registration == nullptr from then on) and gives up its
  // ports: nobody finds it by handle, IMPI or port any more. Its place stays taken until erase().
  void detach(SetIndex index);
  void erase(SetIndex index);

  SaSet& operator[](SetIndex index) { return sets_[index]; }
  const SaSet& operator[](SetIndex index) const { return sets_[index]; }
  size_t places() const { return sets_.size(); }  // every SetIndex is below
  size_t registrations() const { return registrations_.size(); }

  SetHandle handle(SetIndex index) const {
    return SetHandle{uint64_t{sets_[index].generation} << 32 | index};
  }
  std::optional<SetIndex> find(SetHandle handle) const;
  const Registration* find(std::string_view impi) const;

  // Both ports of the set's UE now belong to its IMPI.
  void claim_ports(SetIndex index);
  // The IMPI that has this address and port; nullptr: nobody.
  const Registration* owner(const Address& ue, uint16_t port) const;

  // How many keys share a bucket at most. Walks both tables.
  size_t fullest_bucket() const;

 private:
  struct UePort {
    Address address;
    uint16_t port = 0;
    bool operator==(const UePort&) const = default;
  };
  // Both are filled by REGISTERs in clear: without a key anybody could choose IMPIs and ports by
  // the thousand that meet in one bucket. Not noexcept, so that the tables keep the hashes.
  struct UePortHash {
    SipHashKey key;
    size_t operator()(const UePort& port) const;
  };
  struct TextHash {
    using is_transparent = void;
    SipHashKey key;
    size_t operator()(std::string_view text) const;
  };
  struct PortOwner {
    const Registration* registration = nullptr;
    uint32_t sets = 0;
  };
  void claim(const UePort& key, const Registration& registration);
  void give_up(const UePort& key);

  size_t capacity_;
  uint32_t first_generation_;
  std::deque<SaSet> sets_;  // grows up to capacity; references stay valid
  std::vector<SetIndex> free_;
  std::unordered_map<std::string, Registration, TextHash, std::equal_to<>> registrations_;
  std::unordered_map<UePort, PortOwner, UePortHash> ports_;
};

}  // namespace gmesp
