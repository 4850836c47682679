// SPDX-License-Identifier: BSD-3-Clause
// The life of registrations' SA sets (TS 33.203 7, TS 24.229 5.2.2; SPEC 2.4 to 2.7, 3 and 7.5) as
// calls of the SIP layer:
//
//   registered()  SM1  REGISTER has come: ports, SPIs and algorithms agreed        -> offered
//   challenge()   SM6  CK and IK have come: SAs usable before it answers (INT-53)  -> temporary
//   response()    SM7  the protected REGISTER repeats what was agreed (INT-57)
//   ok()          SM12 before the 200 OK leaves (PUB-03)                           -> established
//   fail(), refresh(), remove()
//
// and, by itself: first use (PUB-04), deadlines (PUB-02, 05, 09). The same for both roles: a UE
// makes the offer that a P-CSCF answers. Control thread only. Methods that refuse throw Refused and
// have changed nothing; Done is called once, from the call or from a later WorkerProxies::poll()
// or tick().
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/refusal.h"
#include "control/registration/registrar_config.h"
#include "control/registration/sa_set.h"
#include "control/registration/security_agreement.h"
#include "control/registration/set_event.h"
#include "control/registration/set_table.h"
#include "control/registration/spi_allocator.h"
#include "control/registration/timer_wheel.h"
#include "control/registration/used_keys.h"
#include "control/sa_manager.h"
#include "crypto/key_material.h"
#include "dataplane/thread_role.h"

namespace gmesp {

inline constexpr size_t kMaxIdentityBytes = 255;  // of an IMPI or an IMPU
inline constexpr size_t kMaxImpus = 8;            // of one registration
// Of a worker's SAs, the share that is kept for those who register again over a set: 1 in so many.
inline constexpr size_t kKeptShare = 8;

struct RegisterCall {
  Address ue = {};
  Address pcscf = {};
  std::string_view impi = {};
  std::span<const std::string_view> impus = {};
  std::optional<Address> contact = {};  // of the Contact header: must be ue (INT-42)
  SetHandle over = kNoSet;  // the set that protected this REGISTER; kNoSet: it came in clear
  std::optional<SelectorRule> selector = {};  // else as configured
  const SecurityAgreement* client = nullptr;  // role pcscf: Security-Client
  const SecurityAgreement* verify =
      nullptr;  // with `over`: Security-Verify, compared when given (JNT-5)
};

struct RegisterAnswer {
  SetHandle handle{};
  SecurityAgreement ours;      // pcscf: Security-Server to send in SM6; ue: Security-Client for SM1
  std::optional<Suite> suite;  // pcscf: chosen
};

enum class FailReason : uint8_t {
  user_authentication,     // wrong RES (INT-62)
  network_authentication,  // the UE refused the network (INT-63)
  synchronisation,         // (INT-64)
  unacceptable,            // the proposal, to the UE (INT-66)
  timeout,                 // (INT-60)
  other,
};
std::string_view name(FailReason reason);
std::optional<FailReason> parse_fail_reason(std::string_view text);

struct SetView {
  SetHandle handle{};
  SetState state{};
  bool installing = false;  // between challenge() and its Done
  bool in_use = false;      // a packet has come since it was established (PUB-04)
  SetForm form{};
  SelectorRule selector{};
  std::optional<Suite> suite;  // role ue, offered: not known yet
  SetEnd ue;
  SetEnd pcscf;
  std::string_view impi;
  std::vector<std::string_view> impus;
  SetHandle over = kNoSet;
  std::chrono::milliseconds age{};
  std::chrono::milliseconds left{};  // until the deadline
  std::vector<SaHandle> sas;         // for SaManager::query(): empty while offered
  SecurityAgreement ours;            // what we said last: Security-Server, role ue -Client
};

// Where a packet came through, as the SIP layer sees it: its own socket and the packet's source.
struct FlowEnds {
  Address ue;
  uint16_t ue_port = 0;
  uint16_t pcscf_port = 0;  // 0: any
};

class Registrar {
 public:
  using Milliseconds = std::chrono::milliseconds;
  using Clock = std::function<Milliseconds()>;  // monotonic
  using Done = std::function<void(std::optional<Refusal>)>;

  // Takes the news of `sas` about sets; both live on one thread.
  Registrar(const RegistrarConfig& config, SaManager& sas, Clock clock);
  Registrar(const Registrar&) = delete;
  Registrar& operator=(const Registrar&) = delete;

  RegisterAnswer registered(const RegisterCall& call) ON(control_thread);
  // server: role ue, Security-Server of the 401. Done comes when every SA is usable on its worker,
  // or when none of them is left. Role ue: an offer without a common combination ends the set
  // (INT-66).
  void challenge(SetHandle handle, ImsKey ck, ImsKey ik, const SecurityAgreement* server, Done done)
      ON(control_thread);
  // Role pcscf: SM7 has come over `handle`; nullptr: without that header, which is a mismatch.
  // Answers whether its suite encrypts (PRS-11); that it is
  // integrity protected goes without saying (INT-58). A mismatch ends the set (INT-67): Refused
  // says which header differs.
  bool response(SetHandle handle, const SecurityAgreement* verify, const SecurityAgreement* client)
      ON(control_thread);
  // expires_s: of the 200 OK; 0: a deregistration. impus: the identities that it names
  // (P-Associated-URI); none: those of the REGISTER stay.
  void ok(SetHandle handle, uint32_t expires_s, Done done,
          std::span<const std::string_view> impus = {}) ON(control_thread);
  // A temporary set over which something has come, and that failed user authentication, carries the
  // answer for 64*T1 (PUB-08) if there is no set that its first REGISTER came over. Every other one
  // goes at once (INT-75).
  void fail(SetHandle handle, FailReason reason, Done done) ON(control_thread);
  // 200 OK to a REGISTER over `handle` without a challenge (PUB-06).
  void refresh(SetHandle handle, uint32_t expires_s) ON(control_thread);
  // Deregistration of everything that the set's IMPI has, or of one set alone (`only`). It lives on
  // for 64*T1 (PUB-07) unless `now`.
  void remove(SetHandle handle, bool only, bool now, Done done) ON(control_thread);
  void remove_all(Done done) ON(control_thread);  // sa flush all

  // "Which registration did this packet come through" (INT-44, INT-49a): refused with
  // no_such_flow, unknown_impu, other_impi, contact_differs.
  SetHandle check(const FlowEnds& flow, std::string_view impi, std::string_view impu,
                  std::optional<Address> contact) const ON(control_thread);

  // What is known of a set; the views into it last until the next call.
  SetView view(SetHandle handle) const ON(control_thread);
  // Sets in a fixed order from the cursor on, of one UE or IMPI if given; visit answers false when
  // the row was not taken. Nothing: that was all. Looks at kScanLimit sets at most.
  static constexpr size_t kScanLimit = 65536;
  struct Filter {
    std::optional<Address> ue;
    std::optional<std::string_view> impi;
    std::optional<SetState> state;
  };
  std::optional<uint32_t> list(const Filter& filter, uint32_t from,
                               const std::function<bool(const SetView&)>& visit) const
      ON(control_thread);
  size_t count(SetState state) const { return counts_[static_cast<size_t>(state)]; }
  size_t registrations() const;
  const SpiAllocator& spis() const { return spis_; }

  // The SIP layer names the sets it believes in, in as many calls as it likes; `session` 0 begins
  // one (and ends another that was under way), the answer's names it from then on. Handles that no
  // set has come back in `missing`. finish_reconcile() gives every set that was there at the
  // beginning and was not named a deadline of `grace`, in several ticks, and then says how many; or
  // stale_session, when another has begun meanwhile: some have their deadline then.
  uint32_t reconcile(uint32_t session, std::span<const SetHandle> believed,
                     std::vector<SetHandle>& missing) ON(control_thread);
  using Reconciled = std::function<void(std::optional<Refusal>, size_t orphans)>;
  void finish_reconcile(uint32_t session, Milliseconds grace, Reconciled done) ON(control_thread);

  // Deadlines, orphans. True: there is more to do than one call takes.
  bool tick() ON(control_thread);
  // Nobody hears an event that nobody asked for: one handler, which must not call back.
  void on_event(SetEventHandler handler) { on_event_ = std::move(handler); }

  const RegistrarConfig& config() const { return config_; }

 private:
  using When = int64_t;  // monotonic milliseconds
  When now() const { return clock_().count(); }

  // finish_reconcile() under way.
  struct Reconciling {
    uint32_t session = 0;
    Milliseconds grace{};
    Reconciled done;
    SetIndex next = 0;
    size_t orphans = 0;
  };
  // What both ends say when the keys come.
  struct Agreed {
    std::optional<Suite> suite;
    SetEnd pcscf;
  };

  // Calls (registrar.cc). All of them refuse before they change anything.
  SetIndex find(SetHandle handle) const;
  void check_call(const RegisterCall& call) const;
  void check_over(const RegisterCall& call) const;
  void check_peer(const SetEnd& peer, const SetEnd& own) const;
  void check_ports_free(std::string_view impi, const SetEnd& ue) const;
  SetHandle first_over(SetHandle carrier) const;
  void check_room(const Registration* registration, SetHandle over) const;
  size_t staying_sets(const Registration& registration, SetHandle over) const;
  static bool is_lasting(const SaSet& set);
  static bool is_begun(const SaSet& set);
  bool may_end(SetHandle over, const SaSet& earlier) const;
  void fill(SetIndex index, const RegisterCall& call, const SetEnd& own, const SetEnd& peer);
  void drop_oldest_offer(std::string_view impi, SetHandle over) ON(control_thread);
  std::optional<SetIndex> offer_to_drop();
  bool is_begun_in_clear(const SaSet& set) const;
  void check_share(const SaSet& set, const SetPlan& plan) const ON(control_thread);
  Agreed accept_server(SetIndex index, const SecurityAgreement& server) ON(control_thread);
  void install(SetIndex index, const Agreed& agreed, ImsKey ck, ImsKey ik) ON(control_thread);
  void end_earlier_challenges(SetIndex index) ON(control_thread);
  void establish(SetIndex index, uint32_t expires_s) ON(control_thread);
  When registered_until(uint32_t expires_s) const;
  void end_all(SetIndex of, const CompletionRef& removing, bool now) ON(control_thread);
  void end_one(SetIndex index, const CompletionRef& removing, bool now) ON(control_thread);

  // Own numbers (own_numbers.cc).
  SetEnd own_end(const RegisterCall& call, const SetEnd& peer);
  Spi take_spi(const SetEnd& peer, const Registration* registration);
  uint16_t next_port_pc(const Registration* registration) const;
  uint16_t free_ue_port(const Address& ue, uint16_t besides);

  // Life (set_life.cc).
  void on_news(SetIndex index, SaHandle sa, SaNews news) ON(control_thread);
  void on_answer(SetIndex index, SaHandle sa, SaNews news) ON(control_thread);
  void on_step_over(SetIndex index) ON(control_thread);
  void on_first_use(SetIndex index, SaHandle sa);
  bool meet_deadlines() ON(control_thread);
  void on_deadline(SetIndex index) ON(control_thread);
  bool look_for_orphans() ON(control_thread);
  void take_into_use(SetIndex index);
  void retire(SetIndex index);
  void begin_delete(SetIndex index, SetEventKind end) ON(control_thread);
  void delete_sas(SetIndex index) ON(control_thread);
  void forget(SetIndex index) ON(control_thread);
  void set_state(SaSet& set, SetState state);
  SetView view_of(SetIndex index) const;
  void set_deadline(SetIndex index, When deadline);
  void cut_deadline(SetIndex index, Milliseconds left);
  void tell(SetIndex index, SetEventKind kind);
  void begin_remove(SetIndex index, const CompletionRef& removing) ON(control_thread);

  const RegistrarConfig config_;
  const Role role_;
  SaManager& sas_;
  Clock clock_;
  SetTable sets_;
  SpiAllocator spis_;
  UsedKeys used_keys_;
  RandomNumbers random_;
  TimerWheel timers_;
  std::array<size_t, 4> counts_{};
  uint32_t reconcile_sessions_ = 0;  // begun so far
  uint32_t reconcile_session_ = 0;   // 0: none is under way
  std::optional<Reconciling> reconciling_;
  SetIndex offer_hand_ = 0;
  SetEventHandler on_event_;
};

}  // namespace gmesp
