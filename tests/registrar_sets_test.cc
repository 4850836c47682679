// SPDX-License-Identifier: BSD-3-Clause
// Sets side by side: ports and flows, the UE's own rules, forms of a set, reconciliation.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "control/registration/registrar.h"
#include "tests/registrar_rules.h"

namespace gmesp {
namespace {

using namespace std::chrono_literals;
using RegistrarSetsTest = RegistrarRulesTest;

// INT-41, INT-44, INT-49a, INT-32: which registration a packet came through.
TEST_F(RegistrarSetsTest, AFlowLeadsToItsRegistration) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.enrol();
  const SetView view = lab.pcscf.registrar.view(set.pcscf);
  const auto check = [&](uint16_t ue_port, uint16_t pcscf_port, std::string_view impi = "",
                         std::string_view impu = "", std::optional<Address> contact = {})
                         ON(control_thread) -> std::variant<SetHandle, Refusal> {
    try {
      return lab.pcscf.registrar.check({kUe4, ue_port, pcscf_port}, impi, impu, contact);
    } catch (const Refused& refused) {
      return refused.refusal();
    }
  };
  using Answer = std::variant<SetHandle, Refusal>;
  EXPECT_EQ(check(view.ue.port_c, view.pcscf.port_s, kImpi, kImpu, kUe4), Answer(set.pcscf));
  EXPECT_EQ(check(view.ue.port_s, view.pcscf.port_c), Answer(set.pcscf));
  EXPECT_EQ(check(view.ue.port_c, 0), Answer(set.pcscf));
  EXPECT_EQ(check(view.ue.port_c, view.pcscf.port_c), Answer(Refusal::no_such_flow));
  EXPECT_EQ(check(1234, 0), Answer(Refusal::no_such_flow));
  EXPECT_EQ(check(view.ue.port_c, 0, "other@example"), Answer(Refusal::other_impi));
  EXPECT_EQ(check(view.ue.port_c, 0, "", "sip:other@example"), Answer(Refusal::unknown_impu));
  EXPECT_EQ(check(view.ue.port_c, 0, "", "", kUe6), Answer(Refusal::contact_differs));
}

// INT-41: the identities that the 200 OK names replace those of the REGISTER.
TEST_F(RegistrarSetsTest, OkNamesTheIdentities) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair set = lab.offer();
  lab.challenge(set);
  lab.respond(set);
  const std::string_view registered[] = {"sip:+15550001@ims.example", "tel:+15550001"};
  lab.pcscf.registrar.ok(
      set.pcscf, 60, [](auto) {}, registered);
  lab.pcscf.settle();
  const uint16_t port = lab.pcscf.registrar.view(set.pcscf).ue.port_c;
  EXPECT_EQ(lab.pcscf.registrar.check({kUe4, port, 0}, "", "tel:+15550001", {}), set.pcscf);
}

// INT-49b: two SIP user agents of one UE have different ports and sets.
TEST_F(RegistrarSetsTest, TwoAgentsOfOneUeHaveTheirOwnPorts) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair one = lab.enrol();
  const Pair two = lab.enrol({.impi = "second-isim@example", .impu = "sip:second@example"});
  const SetView first = lab.ue.registrar.view(one.ue), second = lab.ue.registrar.view(two.ue);
  const std::set<uint16_t> ports{first.ue.port_c, first.ue.port_s, second.ue.port_c,
                                 second.ue.port_s};
  EXPECT_EQ(ports.size(), 4u);
  EXPECT_TRUE(lab.request_up(one));
  EXPECT_TRUE(lab.request_up(two));
}

// INT-45, INT-46, SPEC 7.1: port_us stays while registered, port_uc is new and random each time.
TEST_F(RegistrarSetsTest, TheUePicksItsPorts) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair first = lab.enrol();
  const Pair second = lab.enrol({}, first);
  const SetView one = lab.ue.registrar.view(first.ue), two = lab.ue.registrar.view(second.ue);
  EXPECT_EQ(one.ue.port_s, two.ue.port_s);
  EXPECT_NE(one.ue.port_c, two.ue.port_c);
  std::set<uint16_t> seen;
  for (int i = 0; i < 50; ++i) {
    const std::string impi = std::to_string(i) + "@example";
    seen.insert(lab.ue.registrar.view(lab.offer({.impi = impi}).ue).ue.port_c);
  }
  EXPECT_EQ(seen.size(), 50u);
}

TEST_F(RegistrarSetsTest, AUeWithoutAFreePortIsTold) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.ue_port_first = 40000;
  config.ue_port_last = 40002;
  GmLab lab(config);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.offer({.impi = "a@example"}); }),
            std::nullopt);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { lab.offer({.impi = "b@example"}); }),
            Refusal::no_port_left);
}

// SPEC 7.1: port_ps is fixed, port_pc changes with each set.
TEST_F(RegistrarSetsTest, PortPcAlternates) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.port_pc = {5062, 5064, 5066};
  GmLab lab(config);
  Pair set = lab.enrol();
  std::vector<uint16_t> ports;
  for (int i = 0; i < 4; ++i) {
    const SetView view = lab.pcscf.registrar.view(set.pcscf);
    EXPECT_EQ(view.pcscf.port_s, 5063);
    ports.push_back(view.pcscf.port_c);
    set = lab.enrol({}, set);
  }
  EXPECT_EQ(ports, (std::vector<uint16_t>{5062, 5064, 5066, 5062}));
}

// INT-72, INT-73, INT-74, PUB-11: old and new side by side; the UE keeps its old inbound SAs until
// a packet arrives on the new ones.
TEST_F(RegistrarSetsTest, TheUeKeepsItsOldSetUntilTheNewOneIsHeard) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair old_set = lab.enrol();
  EXPECT_TRUE(lab.request_up(old_set));
  const Pair new_set = lab.offer({}, old_set);
  lab.challenge(new_set);
  lab.respond(new_set);
  lab.ok_at_pcscf(new_set);
  lab.ok_at_ue(new_set);
  EXPECT_EQ(lab.ue.state(old_set.ue), SetState::established);
  EXPECT_TRUE(lab.request_down(old_set)) << "the P-CSCF goes on sending on the old set";
  EXPECT_TRUE(lab.request_down(new_set));
  EXPECT_EQ(lab.ue.state(old_set.ue), SetState::old);
  EXPECT_EQ(lab.ue.left(old_set.ue), 128s);
}

// PUB-12: a new address: everything begins in clear, and the old address's sets go.
TEST_F(RegistrarSetsTest, AUeWithANewAddressRegistersAfresh) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair before = lab.enrol();
  const Pair after = lab.enrol({.address = *parse_address("192.0.2.77")});
  EXPECT_FALSE(lab.pcscf.knows(before.pcscf));
  EXPECT_FALSE(lab.ue.knows(before.ue));
  EXPECT_TRUE(lab.request_up(after));
}

// DESIGN 4, SPEC 0.7: two sets with equal ports side by side: inbound by SPI, outbound by the set
// in use, which changes at ok(), before the 200 OK leaves.
TEST_F(RegistrarSetsTest, SetsWithEqualPortsLiveSideBySide) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.port_pc = {5062};
  GmLab lab(config);
  const auto offer = [&](uint32_t spi, SetHandle over) ON(control_thread) {
    const auto same_ports = client(41000, 41001, spi, spi + 1);
    RegisterCall call{.ue = kUe4, .pcscf = kPcscf4, .impi = kImpi, .impus = {}, .over = over};
    call.client = &same_ports;
    return lab.pcscf.registrar.registered(call).handle;
  };
  const auto spi_to_ue = [&](SetHandle set) ON(control_thread) {
    lab.goes_down(lab.pcscf.registrar.view(set), 5062, 41001);
    return static_cast<uint32_t>(lab.wire_spi);
  };
  const SetHandle first = offer(1001, kNoSet);
  EXPECT_EQ(challenge(lab.pcscf, first, 1, 2), std::nullopt);
  lab.answer(first, client(41000, 41001, 1001, 1002));
  lab.ok_at_pcscf({kNoSet, first});
  EXPECT_EQ(spi_to_ue(first), 1002u);
  const SetHandle second = offer(2001, first);
  EXPECT_EQ(challenge(lab.pcscf, second, 3, 4), std::nullopt);
  EXPECT_EQ(spi_to_ue(first), 1002u) << "temporary: not in use yet";
  lab.answer(second, client(41000, 41001, 2001, 2002));
  lab.ok_at_pcscf({kNoSet, second});
  EXPECT_EQ(spi_to_ue(second), 2002u);
  lab.pcscf.registrar.remove(second, true, true, [](auto) {});
  lab.pcscf.settle();
  EXPECT_EQ(spi_to_ue(first), 1002u) << "falls back to the one before";
}

// INT-08: the form of 2002, a pair per transport. PRS-04: a single pair.
TEST_F(RegistrarSetsTest, OtherFormsOfASet) {
  const AssumeRole role(control_thread);
  for (const SetForm form : {SetForm::transport_pairs, SetForm::single_pair}) {
    RegistrarConfig config;
    config.form = form;
    GmLab lab(config);
    const Pair set = lab.offer();
    lab.challenge(set);
    const SetView view = lab.ue.registrar.view(set.ue);
    const bool pairs = form == SetForm::transport_pairs;
    EXPECT_EQ(lab.pcscf.live_sas(), pairs ? 4u : 2u);
    // spi-s and port-s are UDP's, or the pair's.
    EXPECT_TRUE(lab.goes_up(view, view.ue.port_s, view.pcscf.port_s));
    EXPECT_EQ(lab.wire_spi, view.pcscf.spi_s);
    EXPECT_TRUE(lab.goes_down(view, view.pcscf.port_s, view.ue.port_s));
    EXPECT_EQ(lab.wire_spi, view.ue.spi_s);
    const uint16_t tcp_port = pairs ? view.ue.port_c : view.ue.port_s;
    EXPECT_TRUE(lab.goes_up(view, tcp_port, view.pcscf.port_s, true));
    EXPECT_EQ(lab.wire_spi, pairs ? view.pcscf.spi_c : view.pcscf.spi_s);
    EXPECT_TRUE(lab.goes_down(view, view.pcscf.port_s, tcp_port, true));
  }
}

// SPEC 6, 9.1 weakness 2: uc->pc and ps->us, for a UE that is let.
TEST_F(RegistrarSetsTest, PortsOfSetTakesAnyPairOfTheSet) {
  const AssumeRole role(control_thread);
  for (const SelectorRule rule : {SelectorRule::strict, SelectorRule::ports_of_set}) {
    RegistrarConfig config;
    config.selector = rule;
    GmLab lab(config);
    const Pair set = lab.enrol();
    const SetView view = lab.ue.registrar.view(set.ue);
    const bool taken = rule == SelectorRule::ports_of_set;
    EXPECT_EQ(lab.goes_up(view, view.ue.port_c, view.pcscf.port_c), taken);
    EXPECT_EQ(lab.goes_down(view, view.pcscf.port_s, view.ue.port_s), taken);
    EXPECT_FALSE(lab.goes_up(view, 45678, view.pcscf.port_s));
  }
}

// INT-47: the UE takes a packet over the SA that is meant for it only: a P-CSCF that sends from
// another port of the set is not heard.
TEST_F(RegistrarSetsTest, TheUeChecksTheInboundSa) {
  const AssumeRole role(control_thread);
  RegistrarConfig generous;
  generous.selector = SelectorRule::ports_of_set;
  GmLab lab(kPlainConfig, generous);
  const Pair set = lab.enrol();
  const SetView view = lab.ue.registrar.view(set.ue);
  EXPECT_TRUE(lab.goes_down(view, view.pcscf.port_c, view.ue.port_s));
  EXPECT_FALSE(lab.goes_down(view, view.pcscf.port_s, view.ue.port_s));
  EXPECT_EQ(lab.wire_spi, view.ue.spi_s) << "it left, and arrived";
}

// INT-44: with ports-of-set too, the P-CSCF's port tells the old set from the new one.
TEST_F(RegistrarSetsTest, AFlowOfPortsOfSetLeadsToItsSet) {
  const AssumeRole role(control_thread);
  RegistrarConfig config;
  config.selector = SelectorRule::ports_of_set;
  GmLab lab(config);
  const Pair old_set = lab.enrol();
  const Pair new_set = lab.offer({}, old_set);
  lab.challenge(new_set);
  const SetView view = lab.pcscf.registrar.view(new_set.pcscf);
  EXPECT_EQ(lab.pcscf.registrar.check({kUe4, view.ue.port_s, view.pcscf.port_c}, "", "", {}),
            new_set.pcscf);
  EXPECT_EQ(lab.pcscf.registrar.check({kUe4, view.ue.port_s, 5062}, "", "", {}), old_set.pcscf);
}

// R16: what the SIP layer does not believe in goes after a grace; what it misses is named.
TEST_F(RegistrarSetsTest, ReconcileFindsOrphansAndWhatIsMissing) {
  const AssumeRole role(control_thread);
  GmLab lab;
  const Pair believed = lab.enrol({.impi = "a@example"});
  const Pair orphan = lab.enrol({.impi = "b@example"});
  std::vector<SetHandle> missing;
  const SetHandle lost{0x1234};
  Registrar& registrar = lab.pcscf.registrar;
  lab.pass_time(1s);
  const SetHandle half[] = {believed.pcscf};
  const uint32_t session = registrar.reconcile(0, half, missing);
  const Pair later = lab.enrol({.impi = "c@example"});
  const SetHandle rest[] = {lost, believed.pcscf};
  EXPECT_EQ(registrar.reconcile(session, rest, missing), session);
  EXPECT_EQ(missing, std::vector<SetHandle>{lost});
  std::optional<size_t> orphans;
  const auto finish = [&]() ON(control_thread) {
    registrar.finish_reconcile(session, 10s, [&](std::optional<Refusal> refusal, size_t found) {
      EXPECT_EQ(refusal, std::nullopt);
      orphans = found;
    });
  };
  finish();
  EXPECT_EQ(refusal_of(finish), Refusal::stale_session);
  const Pair latest = lab.enrol({.impi = "d@example"});
  EXPECT_EQ(orphans, 1u);
  EXPECT_EQ(refusal_of([&]() ON(control_thread) { registrar.reconcile(session, rest, missing); }),
            Refusal::stale_session);
  EXPECT_TRUE(lab.pcscf.knows(orphan.pcscf));
  lab.pass_time(11s);
  EXPECT_FALSE(lab.pcscf.knows(orphan.pcscf));
  EXPECT_TRUE(lab.pcscf.knows(believed.pcscf));
  EXPECT_TRUE(lab.pcscf.knows(later.pcscf));
  EXPECT_TRUE(lab.pcscf.knows(latest.pcscf));
}

// A million sets are looked at a little at a time; what comes meanwhile is no orphan, and whoever
// begins again ends what was under way.
TEST_F(RegistrarSetsTest, ReconcileStopsNobodyElse) {
  const AssumeRole role(control_thread);
  constexpr size_t kOffers = 5000;
  RegistrarConfig config;
  config.capacity = kOffers + 10;
  GmLab lab(config);
  const Pair first = lab.enrol({.impi = "first@example"});
  const auto offer = client(41000, 41001);
  for (size_t i = 0; i < kOffers; ++i) {
    ASSERT_EQ(register_at_pcscf(lab, offer, std::to_string(i) + "@example"), std::nullopt);
  }
  Registrar& registrar = lab.pcscf.registrar;
  std::vector<SetHandle> missing;
  std::vector<std::pair<std::optional<Refusal>, size_t>> ends;
  const auto finish = [&]() ON(control_thread) {
    registrar.finish_reconcile(registrar.reconcile(0, {}, missing), 10s,
                               [&](std::optional<Refusal> refusal, size_t orphans) {
                                 ends.emplace_back(refusal, orphans);
                               });
  };
  finish();
  EXPECT_TRUE(registrar.tick());
  EXPECT_TRUE(ends.empty());
  const Pair meanwhile = lab.enrol({.impi = "meanwhile@example"});
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0], std::pair(std::optional<Refusal>(), size_t{1}));

  finish();
  EXPECT_TRUE(registrar.tick());
  finish();
  ASSERT_EQ(ends.size(), 2u);
  EXPECT_EQ(ends[1].first, Refusal::stale_session);
  lab.pcscf.settle();
  ASSERT_EQ(ends.size(), 3u);
  EXPECT_EQ(ends[2], std::pair(std::optional<Refusal>(), size_t{2})) << "both by now";
  EXPECT_TRUE(lab.pcscf.knows(first.pcscf) && lab.pcscf.knows(meanwhile.pcscf));
}

// A set that is removed while it is being installed, or promoted, leaves nothing, and every call is
// answered once.
TEST_F(RegistrarSetsTest, RemovalDuringInstallAndPromotionAnswersBoth) {
  const AssumeRole role(control_thread);
  for (const bool during_install : {true, false}) {
    GmLab lab;
    const Pair set = lab.offer();
    std::vector<std::optional<Refusal>> first, second;
    const auto ck = test_key(1), ik = test_key(2);
    const auto note = [&](std::optional<Refusal> refusal) { first.push_back(refusal); };
    if (during_install) {
      lab.pcscf.registrar.challenge(set.pcscf, ImsKey(ck), ImsKey(ik), nullptr, note);
    } else {
      lab.challenge(set);
      lab.respond(set);
      lab.pcscf.registrar.ok(set.pcscf, 60, note);
    }
    lab.pcscf.registrar.remove(set.pcscf, true, true,
                               [&](std::optional<Refusal> refusal) { second.push_back(refusal); });
    lab.pcscf.settle();
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0], Refusal::unknown_handle);
    ASSERT_EQ(second.size(), 1u);
    EXPECT_EQ(second[0], std::nullopt);
    EXPECT_EQ(lab.pcscf.live_sas(), 0u);
  }
}

}  // namespace
}  // namespace gmesp
