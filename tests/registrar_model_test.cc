// SPDX-License-Identifier: BSD-3-Clause
// Registrations of several UEs in any order of events, against a small model that states the rules
// of SPEC 3 and 7.5 once more and otherwise: no SA leaks or outlives its deadline, no IMPI has more
// than three sets, no SPI two SAs. The packets are real, through both engines.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/registration/registrar.h"
#include "tests/registration_lab.h"

namespace gmesp {
namespace {

constexpr int64_t kGrace_ms = 128'000;
constexpr int64_t kAwaitAuth_ms = 240'000;
constexpr size_t kPhones = 3;
constexpr size_t kMaxSets = 3;

struct ModelSet {
  Pair pair;
  size_t phone = 0;
  SetState state = SetState::offered;
  int64_t deadline = 0;
  bool checked = false;
  bool heard = false;  // something has come over it
  bool authenticated = false;
  bool in_use = false;
  SetHandle carrier = kNoSet;
  SetHandle over = kNoSet;
  SecurityAgreement client;
};

// What the P-CSCF should hold: the sets in the order of their offers.
struct Model {
  std::vector<ModelSet> sets;

  std::vector<ModelSet*> of(size_t phone) {
    std::vector<ModelSet*> found;
    for (ModelSet& set : sets) {
      if (set.phone == phone) found.push_back(&set);
    }
    return found;
  }
  static bool lasts(const ModelSet& set) {
    return set.state == SetState::established || (set.state == SetState::old && set.authenticated);
  }
  // Or carries an answer still.
  static bool is_begun(const ModelSet& set) {
    return set.state != SetState::offered && !lasts(set);
  }
  // In clear anybody can give anybody's IMPI: that ends nothing that came over a set (PUB-01).
  static bool ends(const ModelSet& set, const ModelSet& earlier) {
    return set.phone == earlier.phone && is_begun(earlier) &&
           set.pair.pcscf != earlier.pair.pcscf && (set.over != kNoSet || earlier.over == kNoSet);
  }
  // With SAs still when this one is challenged (INT-43).
  size_t staying(const ModelSet& set) {
    return static_cast<size_t>(std::ranges::count_if(of(set.phone), [&](const ModelSet* one) {
      return one->pair.pcscf != set.pair.pcscf &&
             (lasts(*one) || (is_begun(*one) && !ends(set, *one)));
    }));
  }
  bool has(SetHandle handle) {
    return std::ranges::any_of(sets, [&](const ModelSet& set) { return set.pair.pcscf == handle; });
  }
  template <typename Condition>
  void drop(Condition&& condition) {
    std::erase_if(sets, condition);
  }
  void retire(ModelSet& set, int64_t now) {
    set.state = SetState::old;
    set.deadline = std::min(set.deadline, now + kGrace_ms);
  }
  void use(ModelSet& set, int64_t now) {
    set.in_use = true;
    for (ModelSet* earlier : of(set.phone)) {
      if (earlier == &set) break;
      if (earlier->state == SetState::established) retire(*earlier, now);
    }
  }
};

class ModelRun {
 public:
  ModelRun() : lab_(with_many_sets(), kPlainConfig) {}

  void step() ON(control_thread) {
    const auto kind = *rc::gen::inRange(0, 100);
    if (kind < 20 || model_.sets.empty()) return offer();
    ModelSet& set = model_.sets[*rc::gen::inRange<size_t>(0, model_.sets.size())];
    if (kind < 40) return challenge(set);
    if (kind < 52) return packet(set);
    if (kind < 64) return respond(set);
    if (kind < 78) return ok(set);
    if (kind < 82) return fail(set);
    if (kind < 86) return refresh(set);
    if (kind < 90) return remove(set);
    wait(*rc::gen::element(1, 100, 130, 241, 3600));
  }

  void check() ON(control_thread) {
    std::map<SetHandle, const ModelSet*> expected;
    size_t with_sas = 0;
    for (const ModelSet& set : model_.sets) {
      expected[set.pair.pcscf] = &set;
      if (set.state != SetState::offered) ++with_sas;
    }
    size_t seen = 0;
    lab_.pcscf.registrar.list({}, 0, [&](const SetView& view) {
      ++seen;
      const auto found = expected.find(view.handle);
      RC_ASSERT(found != expected.end());
      RC_ASSERT(view.state == found->second->state);
      RC_ASSERT(view.in_use == found->second->in_use);
      RC_ASSERT(lab_.clock.ms + view.left.count() == found->second->deadline);
      return true;
    });
    RC_ASSERT(seen == expected.size());
    RC_ASSERT(lab_.pcscf.live_sas() == 4 * with_sas);
    for (size_t phone = 0; phone < kPhones; ++phone) {
      RC_ASSERT(std::ranges::count_if(model_.of(phone), [](const ModelSet* set) {
                  return set->state != SetState::offered;
                }) <= int{kMaxSets});
    }
    std::set<Spi> spis;
    lab_.pcscf.sas.list({Direction::in, {}, {}}, {}, [&](Direction, size_t, const SaEntry& sa) {
      RC_ASSERT(spis.insert(sa.spi).second);
      return true;
    });
  }

 private:
  // The UE's end only carries packets: its own limits must not meddle.
  static RegistrarConfig with_many_sets() {
    RegistrarConfig config;
    config.max_sets = 1000;
    return config;
  }
  static Phone phone(size_t number) {
    static const std::string kImpis[kPhones] = {"a@example", "b@example", "c@example"};
    static const Address kAddresses[kPhones] = {
        *parse_address("192.0.2.21"), *parse_address("192.0.2.22"), *parse_address("192.0.2.23")};
    return {.address = kAddresses[number], .impi = kImpis[number]};
  }
  int64_t now() const { return lab_.clock.ms; }

  // Runs a call at the P-CSCF and holds its answer against the model's.
  template <typename Call>
  bool agrees(std::optional<Refusal> expected, Call&& call) ON(control_thread) {
    const std::optional<Refusal> refusal = lab_.pcscf.outcome(call);
    RC_ASSERT(refusal == expected);
    return !refusal;
  }

  void offer() ON(control_thread) {
    ModelSet set;
    set.phone = *rc::gen::inRange<size_t>(0, kPhones);
    std::vector<Pair> overs{{}};
    for (const ModelSet* one : model_.of(set.phone)) {
      if (one->authenticated || one->state == SetState::temporary) overs.push_back(one->pair);
    }
    const Pair over = *rc::gen::elementOf(overs);
    set.carrier = set.over = over.pcscf;
    for (const ModelSet* one : model_.of(set.phone)) {
      const bool carries = one->pair.pcscf == over.pcscf && one->state == SetState::temporary;
      if (carries) set.over = one->over;
    }
    if (model_.staying(set) >= kMaxSets) {
      bool refused = false;
      try {
        lab_.offer(phone(set.phone), {kNoSet, over.pcscf});
      } catch (const Refused& why) {
        refused = why.refusal() == Refusal::too_many_sets;
      }
      RC_ASSERT(refused);
      return;
    }
    size_t offers = 0;
    const ModelSet* oldest = nullptr;
    for (const ModelSet* one : model_.of(set.phone)) {
      const bool in_clear = one->over == kNoSet;
      if (one->state != SetState::offered || in_clear != (set.over == kNoSet)) continue;
      if (oldest == nullptr) oldest = one;
      ++offers;
    }
    if (offers >= kMaxSets) {
      const SetHandle gone = oldest->pair.pcscf;
      model_.drop([&](const ModelSet& one) { return one.pair.pcscf == gone; });
    }
    set.pair = lab_.offer(phone(set.phone), {kNoSet, over.pcscf});
    set.client = lab_.client_header;
    set.deadline = now() + kGrace_ms;
    model_.sets.push_back(set);
  }

  void challenge(ModelSet& set) ON(control_thread) {
    const auto ck = test_key(++keys_), ik = test_key(++keys_);
    std::optional<Refusal> expected;
    if (model_.staying(set) >= kMaxSets) expected = Refusal::too_many_sets;
    if (set.state != SetState::offered) expected = Refusal::wrong_state;
    if (!agrees(expected, [&](Registrar::Done done) ON(control_thread) {
          lab_.pcscf.registrar.challenge(set.pair.pcscf, ImsKey(ck), ImsKey(ik), nullptr,
                                         std::move(done));
        })) {
      return;
    }
    const SecurityAgreement server = lab_.pcscf.registrar.view(set.pair.pcscf).ours;
    lab_.ue.outcome([&](Registrar::Done done) ON(control_thread) {
      lab_.ue.registrar.challenge(set.pair.ue, ImsKey(ck), ImsKey(ik), &server, std::move(done));
    });
    set.state = SetState::temporary;
    set.deadline = now() + kAwaitAuth_ms;
    const ModelSet own = set;
    const bool room = model_.staying(own) + 2 <= kMaxSets;
    const auto carries = [&](const ModelSet& one) {
      return room && one.pair.pcscf == own.carrier && Model::ends(own, one);
    };
    model_.drop([&](const ModelSet& one) { return Model::ends(own, one) && !carries(one); });
    for (ModelSet* one : model_.of(own.phone)) {
      if (carries(*one)) model_.retire(*one, now());
    }
  }

  void packet(ModelSet& set) ON(control_thread) {
    if (set.state == SetState::offered || !lab_.ue.knows(set.pair.ue)) return;
    RC_ASSERT(lab_.request_up(set.pair));
    set.heard = true;
    if (set.state == SetState::established && !set.in_use) model_.use(set, now());  // PUB-04
  }

  void respond(ModelSet& set) ON(control_thread) {
    bool refused = false;
    try {
      lab_.answer(set.pair.pcscf, set.client);
    } catch (const Refused&) {
      refused = true;
    }
    RC_ASSERT(refused == (set.state != SetState::temporary));
    set.checked |= !refused;
    set.heard |= !refused;
  }

  void ok(ModelSet& set) ON(control_thread) {
    const auto expires = *rc::gen::element<uint32_t>(60, 3600);
    const bool may = set.state == SetState::temporary && set.checked;
    if (!agrees(may ? std::nullopt : std::optional(Refusal::wrong_state),
                [&](Registrar::Done done) ON(control_thread) {
                  lab_.pcscf.registrar.ok(set.pair.pcscf, expires, std::move(done));
                })) {
      return;
    }
    lab_.ue.outcome([&](Registrar::Done done) ON(control_thread) {
      lab_.ue.registrar.ok(set.pair.ue, expires, std::move(done));
    });
    set.deadline = now() + (int64_t{expires} + 30) * 1000;
    for (const ModelSet* one : model_.of(set.phone)) {
      if (one->state == SetState::established) set.deadline = std::max(set.deadline, one->deadline);
    }
    set.state = SetState::established;
    set.authenticated = true;
    const ModelSet kept = set;
    model_.drop([&](const ModelSet& one) {  // PUB-03
      return one.phone == kept.phone && one.state != SetState::offered &&
             one.pair.pcscf != kept.pair.pcscf && one.pair.pcscf != kept.over;
    });
  }

  void fail(ModelSet& set) ON(control_thread) {
    const bool may = set.state == SetState::offered || set.state == SetState::temporary;
    const bool carries = set.state == SetState::temporary && set.heard && !model_.has(set.over);
    if (!agrees(may ? std::nullopt : std::optional(Refusal::wrong_state),
                [&](Registrar::Done done) ON(control_thread) {
                  lab_.pcscf.registrar.fail(set.pair.pcscf, FailReason::user_authentication,
                                            std::move(done));
                })) {
      return;
    }
    if (carries) return model_.retire(set, now());  // PUB-08
    const SetHandle gone = set.pair.pcscf;
    model_.drop([&](const ModelSet& one) { return one.pair.pcscf == gone; });
  }

  void refresh(ModelSet& set) ON(control_thread) {
    const bool may = set.authenticated;
    bool refused = false;
    try {
      lab_.pcscf.registrar.refresh(set.pair.pcscf, 600);
    } catch (const Refused&) {
      refused = true;
    }
    lab_.pcscf.settle();
    RC_ASSERT(refused != may);
    if (refused) return;
    const int64_t lifetime = now() + 630'000;
    const bool was_old = set.state == SetState::old;
    set.deadline = was_old ? lifetime : std::max(lifetime, set.deadline);
    set.state = SetState::established;
    if (!set.in_use) model_.use(set, now());
    for (ModelSet* one : model_.of(set.phone)) {
      if (one == &set) break;
      if (one->state == SetState::established) model_.retire(*one, now());
    }
    const ModelSet kept = set;
    bool newer = false;
    model_.drop([&](const ModelSet& one) {
      newer |= one.pair.pcscf == kept.pair.pcscf;
      return newer && one.pair.pcscf != kept.pair.pcscf && one.phone == kept.phone &&
             one.state == SetState::established;
    });
  }

  void remove(ModelSet& set) ON(control_thread) {
    const bool at_once = *rc::gen::arbitrary<bool>();
    const size_t phone = set.phone;
    agrees(std::nullopt, [&](Registrar::Done done) ON(control_thread) {
      lab_.pcscf.registrar.remove(set.pair.pcscf, false, at_once, std::move(done));
    });
    model_.drop(
        [&](const ModelSet& one) { return one.phone == phone && (at_once || !one.authenticated); });
    for (ModelSet* one : model_.of(phone)) model_.retire(*one, now());
  }

  void wait(int seconds) ON(control_thread) {
    lab_.pass_time(std::chrono::seconds(seconds));
    const auto over = [&](const ModelSet& set) {
      const int64_t tick = TimerWheel::kTickMs;
      return (set.deadline + tick - 1) / tick * tick <= now();
    };
    for (size_t phone = 0; phone < kPhones; ++phone) {
      const auto all = model_.of(phone);
      const bool one_expired = std::ranges::any_of(
          all, [&](const ModelSet* set) { return over(*set) && Model::lasts(*set); });
      if (!one_expired) continue;
      for (ModelSet* set : all) {  // PUB-05
        if (!over(*set) && set->state == SetState::established && !set->in_use) {
          model_.use(*set, now());
        }
      }
    }
    model_.drop(over);
  }

  GmLab lab_;
  Model model_;
  uint32_t keys_ = 1'000'000;
};

// JNT-1..4, PUB-01..09, INT-43, INT-48, INT-60, INT-61, INT-67, INT-68, INT-75, INT-76.
RC_GTEST_PROP(RegistrarModel, HoldsTheRulesInAnyOrderOfEvents, ()) {
  const AssumeRole role(control_thread);
  ModelRun run;
  const auto steps = *rc::gen::inRange(1, 120);
  for (int i = 0; i < steps; ++i) {
    run.step();
    run.check();
  }
}

}  // namespace
}  // namespace gmesp
