// SPDX-License-Identifier: BSD-3-Clause
// Security-Client, -Server and -Verify as field phones write them; every way in which one is
// refused; what counts as a repetition.
#include "control/registration/security_agreement.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace gmesp {
namespace {

using Integrity = IntegrityAlgorithm;
using Encryption = EncryptionAlgorithm;

const std::string kNumbers = ";spi-c=1001;spi-s=1002;port-c=32000;port-s=32001";

SecurityMechanism mechanism(Integrity integrity, Encryption encryption) {
  SecurityMechanism one;
  one.integrity = integrity;
  one.encryption = encryption;
  one.port_c = 32000;
  one.port_s = 32001;
  one.spi_c = 1001;
  one.spi_s = 1002;
  return one;
}

const SecurityMechanism kSha1Null = mechanism(Integrity::hmac_sha_1_96, Encryption::null);
const SecurityMechanism kSha1Aes = mechanism(Integrity::hmac_sha_1_96, Encryption::aes_cbc);
const SecurityMechanism kMd5Des = mechanism(Integrity::hmac_md5_96, Encryption::des_ede3_cbc);

SecurityMechanism with_q(SecurityMechanism one, uint16_t q) {
  one.q = q;
  return one;
}

using List = std::vector<SecurityMechanism>;
List parsed(const std::string& text) {
  SecurityAgreement agreement;
  EXPECT_EQ(parse_security_agreement(text, agreement), AgreementError::none) << text;
  return {agreement.all().begin(), agreement.all().end()};
}

AgreementError error_of(const std::string& text) {
  SecurityAgreement agreement;
  agreement.add(kSha1Null);
  const AgreementError error = parse_security_agreement(text, agreement);
  if (error != AgreementError::none) {
    EXPECT_EQ(agreement.count, 0U) << "left from before: " << text;
  }
  return error;
}

SecurityAgreement agreement_of(const List& list) {
  SecurityAgreement agreement;
  for (const SecurityMechanism& one : list) EXPECT_TRUE(agreement.add(one));
  return agreement;
}

// INT-20, INT-02: transform, integrity algorithm and SPIs are in the header, and what it leaves out
// has the value of TS 33.203 Annex H.
TEST(SecurityAgreement, AbsentParametersHaveTheValuesOfAnnexH) {
  const List list = parsed("ipsec-3gpp;alg=hmac-sha-1-96" + kNumbers);
  ASSERT_EQ(list, List{kSha1Null});
  EXPECT_TRUE(list[0].esp);
  EXPECT_EQ(list[0].mode, EspMode::transport);
  EXPECT_EQ(list[0].q, SecurityMechanism::kNoQ);
}

// INT-20, INT-22: SPIs are the sender's own, at its client and its server port.
TEST(SecurityAgreement, ReadsEveryParameterInAnyOrder) {
  const std::string text =
      "ipsec-3gpp; port-s=65535; spi-s=4294967295; ealg=aes-gcm; mod=UDP-enc-tun; prot=ah; q=0.25; "
      "alg=null; port-c=1; spi-c=0";
  SecurityMechanism expected;
  expected.integrity = Integrity::null;
  expected.encryption = Encryption::aes_gcm;
  expected.esp = false;
  expected.mode = EspMode::udp_encapsulated_tunnel;
  expected.q = 250;
  expected.port_c = 1;
  expected.port_s = 65535;
  expected.spi_c = 0;
  expected.spi_s = 0xffffffff;
  EXPECT_EQ(parsed(text), List{expected});
}

// R17, INT-20: all names of algorithms there are; which pairs may be used is not the header's.
TEST(SecurityAgreement, KnowsEveryAlgorithmOfAnnexH) {
  for (const Integrity integrity :
       {Integrity::null, Integrity::hmac_md5_96, Integrity::hmac_sha_1_96, Integrity::aes_gmac}) {
    for (const Encryption encryption :
         {Encryption::null, Encryption::des_ede3_cbc, Encryption::aes_cbc, Encryption::aes_gcm}) {
      const std::string text = "ipsec-3gpp;alg=" + std::string(name(integrity)) +
                               ";ealg=" + std::string(name(encryption)) + kNumbers;
      EXPECT_EQ(parsed(text), List{mechanism(integrity, encryption)}) << text;
    }
  }
}

struct Same {
  std::string text;
  List expected;
};

// INT-20: SPEC 7.3, "as field phones write them".
TEST(SecurityAgreement, ReadsWhatPhonesWrite) {
  const std::string sha1 = "ipsec-3gpp;alg=hmac-sha-1-96" + kNumbers;
  const std::string aes = "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc" + kNumbers;
  const List both{kSha1Null, kSha1Aes};
  const Same rows[] = {
      {sha1 + "," + aes, both},
      {sha1 + "\r\n" + aes, both},
      {"Security-Client: " + sha1 + "\r\nSecurity-Client: " + aes + "\r\n", both},
      {"SECURITY-CLIENT :" + sha1 + "\nsecurity-client:" + aes + "\n", both},
      {"Security-Server: " + sha1 + "\n" + aes, both},
      {"Security-Verify:\r\n " + sha1 + ",\r\n\t" + aes, both},
      {"\r\n" + sha1 + "\n\n\n" + aes, both},
      {",," + sha1 + " ,\t, " + aes + ",", both},
      {sha1 + ";", {kSha1Null}},
      {sha1 + " ; ;; ", {kSha1Null}},
      {"  ipsec-3gpp ;\talg = hmac-sha-1-96;spi-c\r\n =\n\t1001 ; spi-s= 1002 ;port-c =32000"
       "\r\n  ;port-s=32001  ",
       {kSha1Null}},
      {"IPSEC-3GPP;ALG=HMAC-SHA-1-96;PROT=ESP;MOD=TRANS;EALG=NULL;SPI-C=1001;SPI-S=1002;"
       "PORT-C=32000;PORT-S=32001",
       {kSha1Null}},
      {"ipsec-3gpp;alg=\"hmac-sha-1-96\";spi-c=\"1001\";spi-s=1002;port-c=\"32000\";port-s=32001;"
       "q=\"0.5\"",
       {with_q(kSha1Null, 500)}},
      {"ipsec-3gpp;q=1.000;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=null;spi-c=0000001001;"
       "spi-s=0000001002;port-c=32000;port-s=00032001",
       {with_q(kSha1Null, 1000)}},
      {"tls;q=0.2, digest;d-alg=MD5;d-qop=auth;d-ver=\"0000000000000000000000000000abcd\"," + sha1 +
           ", ipsec-ike;q=0.1, ipsec-man, sdes-srtp;mediasec, msrp-tls;mediasec",
       {kSha1Null}},
      {sha1 + ";mediasec;x-vendor=a.b-c;comment=\"one, two; three = \\\"four\\\"\";v6=[2001:db8::1]"
              ";empty=\"\"",
       {kSha1Null}},
      {sha1 + ";note=\"folded\r\n here\"", {kSha1Null}},
      {sha1 + ";note=\"tab\there, \xc3\xa9 and folded\n\tonce more\"", {kSha1Null}},
  };
  for (const Same& row : rows) EXPECT_EQ(parsed(row.text), row.expected) << row.text;
}

// INT-65: what nobody here can use is passed over, whatever else is wrong with it.
TEST(SecurityAgreement, SkipsElementsWithAlgorithmsThatNobodyKnows) {
  const std::string good = ",ipsec-3gpp;alg=hmac-sha-1-96" + kNumbers;
  for (const std::string unknown :
       {"alg=hmac-sha-2-256-128", "alg=hmac-md5-96-and-much-longer", "alg=null;ealg=chacha20",
        "alg=hmac-md5-96;prot=xyz", "alg=hmac-md5-96;mod=beet", "alg=hmac-sha-2-256-128;port-c=0",
        "alg=hmac-sha-2-256-128;alg=hmac-md5-96"}) {
    EXPECT_EQ(parsed("ipsec-3gpp;" + unknown + kNumbers + good), List{kSha1Null}) << unknown;
    EXPECT_EQ(error_of("ipsec-3gpp;" + unknown + kNumbers), AgreementError::no_ipsec_3gpp);
  }
  EXPECT_EQ(parsed("ipsec-3gpp;alg=other" + good), List{kSha1Null});
  EXPECT_EQ(error_of("tls;q=0.2,digest"), AgreementError::no_ipsec_3gpp);
  EXPECT_EQ(error_of("ipsec-3gpp2;alg=hmac-md5-96" + kNumbers), AgreementError::no_ipsec_3gpp);
}

struct Wrong {
  std::string text;
  AgreementError expected;
};

// INT-20: nothing is guessed.
TEST(SecurityAgreement, RefusesWhatIsNotTheGrammar) {
  const std::string sha1 = "ipsec-3gpp;alg=hmac-sha-1-96" + kNumbers;
  const std::string rows[] = {"",
                              " ",
                              ",",
                              "\r\n",
                              "Security-Client:",
                              "Security-Client: ,\r\n",
                              "Via: " + sha1,
                              "Security-Client: " + sha1 + "\nSecurity-Verify: " + sha1,
                              "Security-Client: Security-Client: " + sha1,
                              ":" + sha1,
                              sha1 + "\r\n Security-Client: " + sha1,  // folded: no line of its own
                              ";" + sha1,
                              sha1 + " " + sha1,
                              sha1 + ";=1",
                              sha1 + ";x=",
                              sha1 + ";x=,tls",
                              sha1 + ";x=\"open",
                              sha1 + ";x=\"open\\\"",
                              sha1 + ";x=\"a\nb\"",
                              sha1 + ";x=\"a\\\n b\"",
                              sha1 + ";x=\"a\rb\"",
                              sha1 + ";x=\"a\r b\"",
                              sha1 + ";x=\"a\x1b[2Jb\"",
                              sha1 + ";x=\"a\\\x1b[2Jb\"",
                              sha1 + ";x=\"a\ab\"",
                              sha1 + ";x=\"a\x7f\"",
                              sha1 + ";x=\"a" + std::string(1, '\0') + "\"",
                              sha1 + ";x=a=b",
                              sha1 + ";x=(a)",
                              sha1 + "\r;x",
                              sha1 + "\r",
                              sha1 + std::string(1, '\0'),
                              sha1 + ";q",
                              sha1 + ";q=\"\"",
                              sha1 + ";q=.5",
                              sha1 + ";q=0.1234",
                              sha1 + ";q=-1",
                              sha1 + ";q=0.x",
                              sha1 + ";q=x",
                              sha1 + ";prot",
                              sha1 + ";mod=\"\"",
                              "ipsec-3gpp;alg;" + kNumbers,
                              "ipsec-3gpp;alg=hmac-md5-96;spi-c=0x10",
                              "ipsec-3gpp;alg=hmac-md5-96;spi-c=+1",
                              "ipsec-3gpp;alg=hmac-md5-96;port-c=5060.0",
                              "ipsec-3gpp;alg=hmac-md5-96;port-c=\" 5060\"",
                              "\"ipsec-3gpp\";alg=hmac-md5-96" + kNumbers};
  for (const std::string& text : rows) {
    EXPECT_EQ(error_of(text), AgreementError::syntax) << testing::PrintToString(text);
  }
}

TEST(SecurityAgreement, NamesWhatElseIsWrong) {
  const std::string sha1 = "ipsec-3gpp;alg=hmac-sha-1-96";
  const Wrong rows[] = {
      {"ipsec-3gpp" + kNumbers, AgreementError::missing_parameter},
      {"ipsec-3gpp", AgreementError::missing_parameter},
      {sha1 + ";spi-s=2;port-c=3;port-s=4", AgreementError::missing_parameter},
      {sha1 + ";spi-c=1;port-c=3;port-s=4", AgreementError::missing_parameter},
      {sha1 + ";spi-c=1;spi-s=2;port-s=4", AgreementError::missing_parameter},
      {sha1 + ";spi-c=1;spi-s=2;port-c=3", AgreementError::missing_parameter},
      {sha1 + kNumbers + ";q=0.1;Q=0.1", AgreementError::duplicate_parameter},
      {sha1 + kNumbers + ";alg=hmac-sha-1-96", AgreementError::duplicate_parameter},
      {sha1 + kNumbers + ";spi-c=1001", AgreementError::duplicate_parameter},
      {sha1 + kNumbers + ";q=1.001", AgreementError::number_out_of_range},
      {sha1 + kNumbers + ";q=2", AgreementError::number_out_of_range},
      {sha1 + kNumbers + ";q=4294967297", AgreementError::number_out_of_range},
      {sha1 + ";spi-c=4294967296;spi-s=2;port-c=3;port-s=4", AgreementError::number_out_of_range},
      {sha1 + ";spi-c=1;spi-s=2;port-c=0;port-s=4", AgreementError::number_out_of_range},
      {sha1 + ";spi-c=1;spi-s=2;port-c=3;port-s=65536", AgreementError::number_out_of_range},
  };
  for (const Wrong& row : rows) EXPECT_EQ(error_of(row.text), row.expected) << row.text;
}

// Of a whole message: what is not there, or nothing of ours, is for others to judge.
TEST(SecurityAgreement, AHeaderThatAgreesToNothingIsNoError) {
  for (const char* text : {"", " ", "\r\n\t", "tls", "Security-Verify: tls;q=0.2,digest"}) {
    SecurityAgreement agreement;
    agreement.count = 7;
    EXPECT_EQ(read_security_header(text, agreement), AgreementError::none) << text;
    EXPECT_EQ(agreement.count, 0u) << text;
  }
  SecurityAgreement agreement;
  EXPECT_EQ(read_security_header("ipsec-3gpp;;", agreement), AgreementError::missing_parameter);
  EXPECT_EQ(read_security_header("tls;=", agreement), AgreementError::syntax);
  EXPECT_EQ(read_security_header("ipsec-3gpp;alg=hmac-md5-96" + kNumbers, agreement),
            AgreementError::none);
  EXPECT_EQ(agreement.count, 1u);
}

TEST(SecurityAgreement, HasRoomForEveryCombinationAndNoMore) {
  std::string text = "ipsec-3gpp;alg=hmac-sha-1-96" + kNumbers;
  const std::string one = text;
  for (size_t i = 1; i < SecurityAgreement::kMaxMechanisms; ++i) text += "," + one;
  EXPECT_EQ(parsed(text).size(), SecurityAgreement::kMaxMechanisms);
  EXPECT_EQ(error_of(text + "," + one), AgreementError::too_many_mechanisms);
  EXPECT_EQ(parsed(one + std::string(kMaxAgreementText - one.size(), ' ')).size(), 1U);
  EXPECT_EQ(error_of(one + std::string(kMaxAgreementText + 1 - one.size(), ' ')),
            AgreementError::syntax);
}

// The fuzzer's corpus: headers as phones and proxies write them. A file's name begins with what is
// in it: how many mechanisms, or what is wrong.
TEST(SecurityAgreement, ReadsTheCorpus) {
  const std::map<std::string, AgreementError> errors{
      {"syntax", AgreementError::syntax},
      {"nothing-known", AgreementError::no_ipsec_3gpp},
      {"missing", AgreementError::missing_parameter},
      {"duplicate", AgreementError::duplicate_parameter},
      {"range", AgreementError::number_out_of_range},
      {"too-many", AgreementError::too_many_mechanisms}};
  std::set<AgreementError> met;
  size_t files = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(GMESP_TESTS_FOLDER "/fuzz/corpus/security_agreement")) {
    std::ostringstream text;
    text << std::ifstream(file.path(), std::ios::binary).rdbuf();
    const std::string name = file.path().filename();
    const std::string begin = name.substr(0, name.find('_'));
    SecurityAgreement agreement;
    const AgreementError error = parse_security_agreement(text.str(), agreement);
    const auto expected = errors.find(begin);
    EXPECT_EQ(error, expected == errors.end() ? AgreementError::none : expected->second) << name;
    EXPECT_EQ(agreement.count, expected == errors.end() ? std::stoul(begin) : 0) << name;
    met.insert(error);
    ++files;
  }
  EXPECT_GE(files, 25U);
  EXPECT_EQ(met.size(), errors.size() + 1);
}

// INT-54: what is sent in SM6; SPEC 7.3: SPIs plain or with Annex H's ten digits.
TEST(SecurityAgreement, WritesEveryParameterOut) {
  const SecurityAgreement agreement = agreement_of({with_q(kSha1Aes, 1000), with_q(kMd5Des, 85)});
  EXPECT_EQ(format_security_agreement(agreement, SpiFormat::plain),
            "ipsec-3gpp;q=1.000;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=aes-cbc;spi-c=1001;"
            "spi-s=1002;port-c=32000;port-s=32001, "
            "ipsec-3gpp;q=0.085;alg=hmac-md5-96;prot=esp;mod=trans;ealg=des-ede3-cbc;spi-c=1001;"
            "spi-s=1002;port-c=32000;port-s=32001");
  EXPECT_EQ(format_security_agreement(agreement_of({kSha1Null}), SpiFormat::padded),
            "ipsec-3gpp;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=null;spi-c=0000001001;"
            "spi-s=0000001002;port-c=32000;port-s=32001");
  EXPECT_EQ(format_security_agreement({}, SpiFormat::plain), "");
}

SecurityMechanism any_mechanism() {
  SecurityMechanism one;
  one.integrity = static_cast<Integrity>(*rc::gen::inRange(0, 4));
  one.encryption = static_cast<Encryption>(*rc::gen::inRange(0, 4));
  one.esp = *rc::gen::arbitrary<bool>();
  one.mode = static_cast<EspMode>(*rc::gen::inRange(0, 3));
  one.q = *rc::gen::element<uint16_t>(0, 1, 499, 500, 1000, SecurityMechanism::kNoQ);
  one.port_c = *rc::gen::inRange<uint16_t>(1, 65535);
  one.port_s = *rc::gen::element<uint16_t>(1, 65535);
  one.spi_c = *rc::gen::element<uint32_t>(0, 1, 0x7fffffff, 0xffffffff);
  one.spi_s = *rc::gen::arbitrary<uint32_t>();
  return one;
}

TEST(SecurityAgreement, ReadsWhatItWrites) {
  EXPECT_TRUE(rc::check([] {
    SecurityAgreement agreement;
    const auto count = *rc::gen::inRange<size_t>(1, SecurityAgreement::kMaxMechanisms + 1);
    while (agreement.count < count) agreement.add(any_mechanism());
    const SpiFormat format = *rc::gen::element(SpiFormat::plain, SpiFormat::padded);
    SecurityAgreement again;
    RC_ASSERT(parse_security_agreement(format_security_agreement(agreement, format), again) ==
              AgreementError::none);
    RC_ASSERT(std::ranges::equal(again.all(), agreement.all()));
    RC_ASSERT(repeats(again, agreement));
  }));
}

// INT-57, PRS-10, JNT-6: any order, and nothing but the order may differ; q may be left out.
TEST(SecurityAgreement, ARepetitionHasTheSameElements) {
  const SecurityMechanism one = with_q(kSha1Aes, 1000);
  const SecurityMechanism two = with_q(kMd5Des, 900);
  const SecurityAgreement sent = agreement_of({one, two});
  EXPECT_TRUE(repeats(sent, sent));
  EXPECT_TRUE(repeats(agreement_of({two, one}), sent));
  EXPECT_TRUE(repeats(agreement_of({kMd5Des, kSha1Aes}), sent));
  EXPECT_TRUE(repeats(agreement_of({two, kSha1Aes}), sent));
  EXPECT_FALSE(repeats(agreement_of({one}), sent));
  EXPECT_FALSE(repeats(agreement_of({one, two, two}), sent));
  EXPECT_FALSE(repeats(agreement_of({one, one}), sent));
  EXPECT_FALSE(repeats(agreement_of({one, with_q(two, 901)}), sent));
  EXPECT_FALSE(repeats(agreement_of({one, with_q(kMd5Des, 1000)}), sent));
  EXPECT_FALSE(repeats(agreement_of({one, two}), agreement_of({kSha1Aes, kMd5Des})));
  EXPECT_FALSE(repeats({}, sent));
}

// INT-57, INT-67: a change of any one field is one.
TEST(SecurityAgreement, ARepetitionDiffersByAnyField) {
  const SecurityAgreement sent = agreement_of({kSha1Null, kSha1Aes});
  List changed(8, kSha1Aes);
  changed[0].integrity = Integrity::hmac_md5_96;
  changed[1].encryption = Encryption::null;
  changed[2].esp = false;
  changed[3].mode = EspMode::tunnel;
  changed[4].spi_c ^= 1;
  changed[5].spi_s ^= 0x80000000;
  changed[6].port_c ^= 1;
  changed[7].port_s ^= 0x8000;
  for (const SecurityMechanism& other : changed) {
    EXPECT_FALSE(repeats(agreement_of({kSha1Null, other}), sent));
  }
}

// An element without q must not take the place of the only one that fits one with q.
TEST(SecurityAgreement, EqualElementsAreToldApartByTheirQ) {
  const SecurityMechanism high = with_q(kSha1Null, 900);
  const SecurityMechanism low = with_q(kSha1Null, 100);
  EXPECT_TRUE(repeats(agreement_of({kSha1Null, high}), agreement_of({high, low})));
  EXPECT_TRUE(repeats(agreement_of({kSha1Null, low}), agreement_of({high, low})));
  EXPECT_FALSE(repeats(agreement_of({high, high}), agreement_of({high, low})));
}

}  // namespace
}  // namespace gmesp
