// SPDX-License-Identifier: BSD-3-Clause
// What tests of the Registrar's rules say often.
#pragma once

#include <gtest/gtest.h>

#include "control/registration/registrar.h"
#include "tests/registration_lab.h"

namespace gmesp {

class RegistrarRulesTest : public testing::Test {
 protected:
  template <typename Call>
  static std::optional<Refusal> refusal_of(Call&& call) {
    const AssumeRole role(control_thread);
    try {
      call();
      return std::nullopt;
    } catch (const Refused& refused) {
      return refused.refusal();
    }
  }
  // Security-Client as some phone's, with numbers of the test's choice.
  static SecurityAgreement client(uint16_t port_c, uint16_t port_s, uint32_t spi_c = 0x80000001,
                                  uint32_t spi_s = 0x80000002) {
    return security_client(kPlainConfig.negotiation, {spi_c, spi_s, port_c, port_s});
  }
  static std::optional<Refusal> register_at_pcscf(GmLab& lab, const SecurityAgreement& client,
                                                  std::string_view impi = kImpi,
                                                  SetHandle over = kNoSet, const Address& ue = kUe4)
      ON(control_thread) {
    RegisterCall call{.ue = ue, .pcscf = kPcscf4, .impi = impi, .impus = {}};
    call.client = &client;
    call.over = over;
    try {
      lab.pcscf.registrar.registered(call);
      return std::nullopt;
    } catch (const Refused& refused) {
      return refused.refusal();
    }
  }
  static std::optional<Refusal> challenge(GmEnd& end, SetHandle handle, uint32_t ck, uint32_t ik,
                                          const SecurityAgreement* server = nullptr)
      ON(control_thread) {
    const auto ck_bytes = test_key(ck), ik_bytes = test_key(ik);
    return end.outcome([&](Registrar::Done done) ON(control_thread) {
      end.registrar.challenge(handle, ImsKey(ck_bytes), ImsKey(ik_bytes), server, std::move(done));
    });
  }
};

}  // namespace gmesp
