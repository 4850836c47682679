// SPDX-License-Identifier: BSD-3-Clause
// Commands about SAs: what may be installed, on which worker, and when it is done. A command is
// checked whole before anything changes; an SA counts as installed when its worker serves packets
// with it (INT-53), and as gone when the worker has forgotten it; only then are its keys wiped and
// its SPI free. Sets of SAs come and go by the same rules; which SAs a set has, and the rules of
// IMS registration, are not here (control/registration).
//
// Methods that refuse throw Refused and have changed nothing; the callbacks are called from
// WorkerProxies::poll().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "control/refusal.h"
#include "control/sa_inventory.h"
#include "control/worker_proxies.h"
#include "crypto/key_material.h"
#include "crypto/key_store.h"
#include "dataplane/command.h"
#include "dataplane/policy.h"
#include "dataplane/steering.h"
#include "dataplane/thread_role.h"

namespace gmesp {

struct SaLimits {
  size_t capacity = 65536;  // SAs per worker and direction, as in WorkerConfig
  uint16_t window = 64;     // of an inbound SA whose command names none
};

struct NewSa {
  Direction direction{};
  Spi spi{};
  Selector selector;
  Suite suite{};
  std::optional<uint16_t> window;  // in only; 0 or 32..1024
  SequenceNumber sequence{};       // in: seen up to here; out: last sent
  EspKeys keys;
};

struct SaName {
  Direction direction{};
  Spi spi{};
  std::optional<Address> destination;  // may be left out where the SPI alone tells
};

struct SaFilter {
  std::optional<Direction> direction;
  std::optional<Address> ue;
  std::optional<Spi> spi;
};

// Names one SA of either direction as long as it lives, and where a list goes on: direction above
// bit 32, place below. Opaque to clients.
enum class SaHandle : uint64_t {};
constexpr SaHandle sa_handle(Direction direction, SaPlace place) {
  return SaHandle{static_cast<uint64_t>(direction) << 32 | static_cast<uint32_t>(place)};
}
constexpr Direction direction_of(SaHandle sa) {
  return static_cast<Direction>(static_cast<uint64_t>(sa) >> 32);
}
constexpr SaPlace place_of(SaHandle sa) { return SaPlace{static_cast<uint32_t>(sa)}; }

struct SaOfSet {
  Direction direction{};
  Spi spi{};
  Selector selector;
  AlternatePorts alternate;
};

// One slot for each direction: all SAs of a set have the same keys (INT-09, PRS-02).
inline constexpr KeySlot kNoKeySlot{0xffffffff};  // no SA of this direction
struct SetKeys {
  Suite suite{};
  KeySlot in = kNoKeySlot;
  KeySlot out = kNoKeySlot;
};

// What a set's owner hears of its SAs.
enum class SaNews : uint8_t {
  installed,
  rejected,  // by the worker: the SA is gone
  promoted,
  deleted,
  first_use,  // again after each promotion; an event of before it never comes behind `promoted`
  sequence_soft_limit,
  sequence_exhausted,
  icv_failures,  // 32 packets with a bad ICV, then at every doubling
};

struct SaUseNotice {
  Direction direction{};
  Spi spi{};
  SaEventKind kind{};
};

class SaManager {
 public:
  using Done = std::function<void(std::optional<Refusal>)>;
  using StatusDone = std::function<void(const SaEntry&, size_t worker, const SaStatus&)>;
  using FlushDone = std::function<void(size_t deleted)>;
  using OwnerHandler = std::function<void(SetIndex owner, SaHandle sa, SaNews news)>;
  using UseHandler = std::function<void(const SaUseNotice&)>;
  // False: the row was not taken, the list is to go on with it.
  using Visitor = std::function<bool(Direction, size_t worker, const SaEntry&)>;

  // Takes the workers' events about SAs; everything referred to outlives the object.
  SaManager(const SaLimits& limits, const Policy& policy, const Steering& steering, KeyStore& keys,
            WorkerProxies& workers);
  SaManager(const SaManager&) = delete;
  SaManager& operator=(const SaManager&) = delete;

  void add(const NewSa& sa, Done done) ON(control_thread);
  void remove(const SaName& name, Done done) ON(control_thread);
  void query(const SaName& name, StatusDone done) ON(control_thread);
  // Every SA that is live now and of no set; done at once when there is none.
  void flush(FlushDone done) ON(control_thread);

  // All SAs of a set or none: Refused comes before anything has changed. Keys go into one slot per
  // direction, released by release_keys() when all SAs are gone. Outbound SAs are installed on
  // standby. handles: as many as sas. begun_in_clear: leaves room in its address pair for others.
  // What becomes of each is told to on_set_news().
  SetKeys install_set(std::span<const SaOfSet> sas, Suite suite, const EspKeys& keys,
                      SetIndex owner, std::span<SaHandle> handles, bool begun_in_clear = false)
      ON(control_thread);
  void promote(SaHandle sa) ON(control_thread);    // of a set, live
  void remove_sa(SaHandle sa) ON(control_thread);  // of a set, live
  void release_keys(const SetKeys& keys) ON(control_thread);
  void query(SaHandle sa, StatusDone done) ON(control_thread);  // live
  bool has_inbound(Spi spi) const;
  // How many SAs of each direction its worker still takes.
  size_t room_for(const Selector& selector) const;
  void on_set_news(OwnerHandler handler) { on_set_news_ = std::move(handler); }

  // Rows in the order of their places, from `from` on. Looks at kScanLimit SAs at most, so that
  // a filter that fits few of a million costs nobody else anything. Nothing: that was all.
  static constexpr size_t kScanLimit = 65536;
  std::optional<SaHandle> list(const SaFilter& filter, SaHandle from, const Visitor& visit) const;

  void on_use(UseHandler handler) { on_use_ = std::move(handler); }

  const SaLimits& limits() const { return limits_; }
  // Of the start: role and protected ports, which never change.
  const Policy& policy() const { return policy_; }
  size_t count(Direction direction, SaState state) const {
    return counts_[static_cast<size_t>(direction)][static_cast<size_t>(state)];
  }
  size_t with_window_off() const { return with_window_off_; }
  size_t with_unprotected_port() const { return with_unprotected_port_; }

 private:
  SaInventory& inventory(Direction direction) {
    return direction == Direction::in ? inbound_ : outbound_;
  }
  const SaInventory& inventory(Direction direction) const {
    return direction == Direction::in ? inbound_ : outbound_;
  }
  // What an SaEntry does not keep.
  struct HowToInstall {
    SequenceNumber sequence{};
    AlternatePorts alternate;
    bool standby = false;
    bool begun_in_clear = false;
  };
  SaPlace find(const SaName& name) const;
  SaPlace find_by_spi_alone(Spi spi) const;
  SaPlace find_live(const SaName& name) const;
  bool local_port_is_unprotected(Direction direction, const Selector& selector) const;
  const Address& ue_of(Direction direction, const Selector& selector) const;
  bool passes(const SaFilter& filter, Direction direction, const SaEntry& entry) const;

  size_t owner_worker(const Selector& selector) const {
    return steering_.owner(selector.source, selector.destination);
  }
  static void check_identity(Direction direction, Spi spi, const Selector& selector);
  static void check_key_material(Suite suite, const EspKeys& keys);
  static void check_set(std::span<const SaOfSet> sas, Suite suite, const EspKeys& keys);
  SaPlace take_place(Direction direction, const SaEntry& entry);
  KeySlot store_key(Suite suite, Direction direction, const EspKeys& keys, size_t worker);
  KeySlot store_set_key(std::span<const SaOfSet> sas, Suite suite, Direction direction,
                        const EspKeys& keys);
  void install(Direction direction, SaPlace place, const HowToInstall& how) ON(control_thread);
  SaCommand install_command(Direction direction, SaPlace place, const HowToInstall& how) const;
  // The deletes of a flush, as far as there is room. False: there was none, or no delete.
  bool send_flushed(size_t worker) ON(control_thread);

  void on_event(size_t worker, const SaEvent& event);
  void on_installed(const Installed& event, size_t worker);
  void on_deleted(Direction direction, SaPlace place);
  void on_status(const SaStatus& event, size_t worker);
  void on_state_event(const SaStateEvent& event, size_t worker);
  void set_state(Direction direction, SaEntry& entry, SaState state);
  void forget(Direction direction, SaPlace place);
  // Tells whoever waits: the set's owner, or the command's Done.
  void tell(Direction direction, SaPlace place, SetIndex owner, SaNews news);

  SaLimits limits_;
  const Policy& policy_;
  const Steering& steering_;
  KeyStore& keys_;
  WorkerProxies& workers_;
  SaInventory inbound_;
  SaInventory outbound_;
  std::unordered_map<SaHandle, Done> waiting_;  // for Installed, Rejected or Deleted
  std::unordered_multimap<SaHandle, StatusDone> queries_;
  std::vector<std::vector<SaHandle>> flushed_;  // by worker: deletes that are still to be sent
  size_t flush_left_ = 0;                       // and those that have no answer
  std::vector<std::function<void()>> flushes_;
  std::array<std::array<size_t, 4>, 2> counts_{};  // by direction and state
  size_t with_window_off_ = 0;
  size_t with_unprotected_port_ = 0;
  UseHandler on_use_;
  OwnerHandler on_set_news_;
};

}  // namespace gmesp
