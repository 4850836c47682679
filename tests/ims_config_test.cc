// SPDX-License-Identifier: BSD-3-Clause
// [ims] of gmespd.toml: what it means, and every way in which it is refused, with its place.
#include <gtest/gtest.h>

#include <string>

#include "control/config.h"
#include "tests/config_file.h"

namespace gmesp {
namespace {

TEST(ImsConfig, EveryKeyOfImsIsTaken) {
  const RegistrarConfig ims = read_text(kLeast + R"([policy]
protected_ports = ["6000-6010"]
[ims]
form = "single-pair"
selector = "ports-of-set"
combinations = ["hmac-sha-1-96/null", "null/aes-gcm"]
encryption = "required"
security_server = "all"
spi_format = "padded"
sha1_key = "msb"
port_ps = 6000
port_pc = [6010, "6001-6003"]
ue_ports = "40000-40063"
await_auth_s = 60
registration_grace_s = 0
t1_ms = 500
spi_quarantine_s = 64
max_sets_per_impi = 2
)")
                                  .ims;
  EXPECT_EQ(ims.form, SetForm::single_pair);
  EXPECT_EQ(ims.selector, SelectorRule::ports_of_set);
  EXPECT_EQ(ims.negotiation.combinations, (std::vector<Suite>{Suite::sha1_null, Suite::aes_gcm}));
  EXPECT_EQ(ims.negotiation.encryption, EncryptionPolicy::required);
  EXPECT_EQ(ims.negotiation.list, ServerList::all);
  EXPECT_EQ(ims.negotiation.spi_format, SpiFormat::padded);
  EXPECT_EQ(ims.sha1_key, Sha1KeyRule::most_significant);
  EXPECT_EQ(ims.port_ps, 6000);
  EXPECT_EQ(ims.port_pc, (std::vector<uint16_t>{6010, 6001, 6002, 6003}));
  EXPECT_EQ(ims.ue_port_first, 40000);
  EXPECT_EQ(ims.ue_port_last, 40063);
  EXPECT_EQ(ims.await_auth_s, 60u);
  EXPECT_EQ(ims.registration_grace_s, 0u);
  EXPECT_EQ(ims.t1_ms, 500u);
  EXPECT_EQ(ims.grace().count(), 32000);
  EXPECT_EQ(ims.spi_quarantine_s, 64u);
  EXPECT_EQ(ims.max_sets, 2u);
}

// PUB-10, PUB-02, PUB-03, INT-43, R19: T1 is 2 s, 64*T1 128 s.
TEST(ImsConfig, TimersOfImsHaveTheValuesOfTheSpecification) {
  const RegistrarConfig ims = read_text(kLeast).ims;
  EXPECT_EQ(ims.grace().count(), 128000);
  EXPECT_EQ(ims.await_auth_s, 240u);
  EXPECT_EQ(ims.registration_grace_s, 30u);
  EXPECT_EQ(ims.spi_quarantine_s, 256u);
  EXPECT_EQ(ims.max_sets, 3u);
  EXPECT_EQ(read_text(kLeast + "[ims]\nt1_ms = 501\n").ims.spi_quarantine_s, 65u);
}

// A P-CSCF's own ports do not concern a UE's end.
TEST(ImsConfig, InRoleUeThePcscfsPortsNeedNoProtection) {
  EXPECT_EQ(read_text("role = 'ue'\n[access]\ndevice = 'net_null0'\n[host]\ndevice = 'net_null1'\n"
                      "[policy]\nprotected_ports = [1]\n")
                .ims.port_ps,
            5063);
}

// INT-46: a large range; SPEC 7.1: neither 5060 nor 5061 is protected, no cleartext on those that
// are; R17, PRS-05, PRV-02: combinations that are permitted and that the policy leaves.
TEST(ImsConfig, EveryWrongValueOfImsIsNamedWithItsPlace) {
  const std::string pairs =
      "expected a list of different pairs \"alg/ealg\" of TS 33.203 Annex H, best first: "
      "[\"null/aes-gcm\", \"hmac-sha-1-96/aes-cbc\", \"hmac-sha-1-96/null\"]";
  const std::string ports =
      "expected two or more different ports of [policy] protected_ports, without port_ps, 5060 and "
      "5061";
  const std::string server_port = "expected a port of [policy] protected_ports, not 5060 or 5061";
  const std::string ue = "expected at least 64 ports, without 5060 and 5061: \"32768-60999\"";
  const std::string range = "expected a range of ports 1..65535: \"32768-60999\"";
  const std::string no_cipher =
      "expected a combination without a cipher, where there is to be none";
  const std::string cipher = "expected a combination with a cipher, where there has to be one";
  const RefusedText rows[] = {
      {"form = 'two pairs'\n",
       "7:8: key 'ims.form': expected \"published\", \"transport-pairs\" or \"single-pair\""},
      {"selector = 1\n", "7:12: key 'ims.selector': expected \"strict\" or \"ports-of-set\""},
      {"combinations = []\n", "7:16: key 'ims.combinations': " + pairs},
      {"combinations = 'null/aes-gcm'\n", "7:16: key 'ims.combinations': " + pairs},
      {"combinations = [7]\n", "7:17: key 'ims.combinations': " + pairs},
      {"combinations = ['aes-gcm']\n", "7:17: key 'ims.combinations': " + pairs},
      {"combinations = ['null/null']\n", "7:17: key 'ims.combinations': " + pairs},
      {"combinations = ['aes-gmac/aes-cbc']\n", "7:17: key 'ims.combinations': " + pairs},
      {"combinations = ['aes-gmac/']\n", "7:17: key 'ims.combinations': " + pairs},
      {"combinations = ['null/aes-gcm', 'null/aes-gcm']\n",
       "7:33: key 'ims.combinations': " + pairs},
      {"encryption = 'on'\n",
       "7:14: key 'ims.encryption': expected \"off\", \"preferred\" or \"required\""},
      {"combinations = ['aes-gmac/null']\nencryption = 'required'\n",
       "8:14: key 'ims.encryption': " + cipher},
      {"combinations = ['null/aes-gcm']\nencryption = 'off'\n",
       "8:14: key 'ims.encryption': " + no_cipher},
      {"security_server = 'both'\n",
       "7:19: key 'ims.security_server': expected \"common\", \"chosen\" or \"all\""},
      {"spi_format = 10\n", "7:14: key 'ims.spi_format': expected \"plain\" or \"padded\""},
      {"sha1_key = 'ones'\n", "7:12: key 'ims.sha1_key': expected \"zeros\" or \"msb\""},
      {"port_ps = 0\n", "7:11: key 'ims.port_ps': expected a whole number 1..65535"},
      {"port_ps = 5065\n", "7:11: key 'ims.port_ps': " + server_port},
      {"port_pc = [5062]\n", "7:11: key 'ims.port_pc': " + ports},
      {"port_pc = [5062, 5062]\n", "7:11: key 'ims.port_pc': " + ports},
      {"port_pc = [5062, 5063]\n", "7:11: key 'ims.port_pc': " + ports},
      {"port_pc = [5062, 5065]\n", "7:11: key 'ims.port_pc': " + ports},
      {"port_pc = ['5062-5064']\n", "7:11: key 'ims.port_pc': " + ports},
      {"[policy]\nprotected_ports = [5062, 5063]\n", "6:1: key 'ims.port_pc': missing, " + ports},
      {"[policy]\nprotected_ports = ['5060-5062']\n",
       "6:1: key 'ims.port_ps': missing, " + server_port},
      {"port_ps = 5061\n[policy]\nprotected_ports = ['5061-5064']\n",
       "7:11: key 'ims.port_ps': " + server_port},
      {"port_pc = [5060, 5062]\n[policy]\nprotected_ports = ['5060-5064']\n",
       "7:11: key 'ims.port_pc': " + ports},
      {"ue_ports = [32768]\n", "7:12: key 'ims.ue_ports': " + range},
      {"ue_ports = 32768\n", "7:12: key 'ims.ue_ports': " + range},
      {"ue_ports = '60999-32768'\n", "7:12: key 'ims.ue_ports': " + range},
      {"ue_ports = '40000'\n", "7:12: key 'ims.ue_ports': " + ue},
      {"ue_ports = '40000-40062'\n", "7:12: key 'ims.ue_ports': " + ue},
      {"ue_ports = '5000-5060'\n", "7:12: key 'ims.ue_ports': " + ue},
      {"ue_ports = '5061-6000'\n", "7:12: key 'ims.ue_ports': " + ue},
      {"await_auth_s = 0\n", "7:16: key 'ims.await_auth_s': expected a whole number 1..86400"},
      {"registration_grace_s = -1\n",
       "7:24: key 'ims.registration_grace_s': expected a whole number 0..86400"},
      {"t1_ms = 99\n", "7:9: key 'ims.t1_ms': expected a whole number 100..60000"},
      {"spi_quarantine_s = 255\n",
       "7:20: key 'ims.spi_quarantine_s': expected a whole number 256..86400"},
      {"t1_ms = 4000\nspi_quarantine_s = 511\n",
       "8:20: key 'ims.spi_quarantine_s': expected a whole number 512..86400"},
      {"max_sets_per_impi = 1\n",
       "7:21: key 'ims.max_sets_per_impi': expected a whole number 2..16"},
      {"port = 5063\n",
       "7:1: key 'ims.port': unknown, expected one of form, selector, combinations, encryption, "
       "security_server, spi_format, sha1_key, port_ps, port_pc, ue_ports, await_auth_s, "
       "registration_grace_s, t1_ms, spi_quarantine_s, max_sets_per_impi"},
  };
  for (const RefusedText& row : rows) {
    EXPECT_EQ(refusal_of(kLeast + "[ims]\n" + row.text), row.expected) << row.text;
  }
}

}  // namespace
}  // namespace gmesp
