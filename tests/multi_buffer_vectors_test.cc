// SPDX-License-Identifier: BSD-3-Clause
// MultiBuffer against published and derived known answers (vectors/esp_vectors.json), each on every
// code path.
#include "crypto/expanded_key.h"
#include "crypto/multi_buffer.h"
#include "tests/crypto_batch.h"
#include "tests/vectors.h"

namespace gmesp {
namespace {

using nlohmann::json;

Bytes join(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Bytes word(uint32_t value) {
  return {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16),
          static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

class VectorsTest : public OnEveryInstructionSet {
 protected:
  // A published cipher row has no ICV: whatever the HMAC makes of it is left out of the comparison,
  // and verified by opening the packet again.
  void expect_cipher(Suite suite, const Bytes& key, const Bytes& plain, const Bytes& protected_) {
    MultiBuffer multi_buffer(GetParam());
    EspKeys keys = counting_keys(suite, 0);
    keys.encryption = Key(key);
    CryptoBatch outbound(GetParam()), inbound(GetParam());
    outbound.add(suite, Direction::out, keys, plain);
    multi_buffer.seal(outbound.jobs());
    EXPECT_TRUE(outbound.jobs()[0].good);
    EXPECT_EQ(outbound.covered(0), protected_);
    inbound.add(suite, Direction::in, keys, outbound.packet(0));
    multi_buffer.verify_and_decrypt(inbound.jobs());
    EXPECT_TRUE(inbound.jobs()[0].good);
    EXPECT_EQ(inbound.covered(0), plain);
  }

  void expect_esp(Suite suite, const EspKeys& keys, const Bytes& plain, const Bytes& esp) {
    MultiBuffer multi_buffer(GetParam());
    CryptoBatch outbound(GetParam()), inbound(GetParam());
    outbound.add(suite, Direction::out, keys, plain);
    multi_buffer.seal(outbound.jobs());
    EXPECT_TRUE(outbound.jobs()[0].good);
    EXPECT_EQ(outbound.packet(0), esp);
    inbound.add(suite, Direction::in, keys, esp);
    multi_buffer.verify_and_decrypt(inbound.jobs());
    EXPECT_TRUE(inbound.jobs()[0].good);
    EXPECT_EQ(inbound.covered(0), plain);
  }
};

TEST_P(VectorsTest, AesCbcOfRfc3602) {
  size_t rows = 0;
  for (const json& row : vectors()["published"]["rfc3602_s4_aes128_cbc"]["cases"]) {
    const Bytes key = from_hex(row, "key"), iv = from_hex(row, "iv");
    ++rows;
    if (row.contains("esp")) {
      const Bytes front = join({from_hex(row, "spi"), word(row["seq"].get<uint32_t>()), iv});
      const Bytes plain = join({front, from_hex(row, "payload"), from_hex(row, "trailer_plain")});
      expect_cipher(Suite::sha1_aes_cbc, key, plain, from_hex(row, "esp"));
    } else {
      const Bytes front = join({word(1), word(1), iv});
      expect_cipher(Suite::md5_aes_cbc, key, join({front, from_hex(row, "plaintext")}),
                    join({front, from_hex(row, "ciphertext")}));
    }
  }
  EXPECT_EQ(rows, 8u);
}

TEST_P(VectorsTest, DesEde3Cbc) {
  size_t rows = 0;
  for (const json& row : vectors()["published"]["des_ede3"]["cbc"]) {
    const Bytes front = join({word(1), word(1), from_hex(row, "iv")});
    for (const Suite suite : {Suite::md5_des3, Suite::sha1_des3}) {
      expect_cipher(suite, from_hex(row, "key"), join({front, from_hex(row, "plaintext")}),
                    join({front, from_hex(row, "ciphertext")}));
    }
    ++rows;
  }
  EXPECT_EQ(rows, 4u);
}

// NIST SP 800-67: ECB is CBC of one block from a zero IV.
TEST_P(VectorsTest, DesEde3Ecb) {
  for (const json& row : vectors()["published"]["des_ede3"]["ecb"]) {
    const Bytes plaintext = from_hex(row, "plaintext"), ciphertext = from_hex(row, "ciphertext");
    for (size_t block = 0; block < plaintext.size(); block += 8) {
      const auto eight = [&](const Bytes& bytes) {
        return Bytes(bytes.data() + block, bytes.data() + block + 8);
      };
      const Bytes front = join({word(1), word(1), Bytes(8, 0)});
      expect_cipher(Suite::sha1_des3, from_hex(row, "key"), join({front, eight(plaintext)}),
                    join({front, eight(ciphertext)}));
    }
  }
}

// RFC 2202 has keys of other sizes than RFC 2403 and RFC 2404 allow: they are expanded here, past
// the key store; one longer than a block is hashed first (RFC 2104 2).
TEST_P(VectorsTest, HmacOfRfc2202) {
  MultiBuffer multi_buffer(GetParam());
  const Manager manager = make_manager(GetParam());
  const std::tuple<const char*, IntegrityAlgorithm, Suite, size_t> families[] = {
      {"rfc2202_hmac-md5", IntegrityAlgorithm::hmac_md5_96, Suite::md5_null, 7},
      {"rfc2202_hmac-sha-1", IntegrityAlgorithm::hmac_sha_1_96, Suite::sha1_null, 7}};
  for (const auto& [family, algorithm, suite, rows] : families) {
    const json& cases = vectors()["published"][family]["cases"];
    EXPECT_EQ(cases.size(), rows);
    for (const json& row : cases) {
      const Bytes key = from_hex(row, "key");
      const HmacSlot slot{hmac_state(manager.get(), algorithm,
                                     key.size() > 64 ? reference::digest(algorithm, key) : key)};
      Bytes packet = from_hex(row, "msg");
      const size_t message_bytes = packet.size();
      packet.resize(message_bytes + 12);
      EspJob job{reinterpret_cast<const uint8_t*>(&slot), packet.data(),
                 static_cast<uint16_t>(packet.size()), suite, false};
      multi_buffer.seal({&job, 1});
      EXPECT_TRUE(job.good);
      EXPECT_EQ(Bytes(packet.data() + message_bytes, packet.data() + packet.size()),
                from_hex(row, "mac96"));
      multi_buffer.verify_and_decrypt({&job, 1});
      EXPECT_TRUE(job.good);
    }
  }
}

// Those with a 128-bit key and a 32-bit sequence number; IMS has no other.
TEST_P(VectorsTest, AesGcmEspOfTheDraftBesideRfc4106) {
  size_t rows = 0;
  for (const json& row : vectors()["published"]["aes_gcm_esp"]["cases"]) {
    if (!row["ims_profile"].get<bool>()) continue;
    EspKeys keys;
    keys.encryption = Key(from_hex(row, "key"));
    keys.salt = Key(from_hex(row, "salt"));
    const Bytes plain = join({from_hex(row, "spi"), from_hex(row, "seq"), from_hex(row, "iv"),
                              from_hex(row, "plaintext_with_trailer")});
    expect_esp(Suite::aes_gcm, keys, plain, from_hex(row, "esp"));
    ++rows;
  }
  EXPECT_EQ(rows, 3u);
}

TEST_P(VectorsTest, AesGmacEspOfTheDraftBesideRfc4543) {
  const json& cases = vectors()["published"]["aes_gmac_esp"]["cases"];
  ASSERT_EQ(cases.size(), 1u);
  EspKeys keys;
  keys.authentication = Key(from_hex(cases[0], "key"));
  keys.salt = Key(from_hex(cases[0], "salt"));
  expect_esp(Suite::aes_gmac, keys, from_hex(cases[0], "aad"), from_hex(cases[0], "esp"));
}

size_t ip_header_bytes(const Bytes& packet) { return packet[0] >> 4 == 4 ? 20 : 40; }

// Every suite, UDP and TCP, IPv4 and IPv6, under the keys of Annex I.
TEST_P(VectorsTest, DerivedTransportPackets) {
  const json& expansion = vectors()["key_expansion"];
  const Bytes ck = from_hex(expansion, "CK"), ik = from_hex(expansion, "IK");
  size_t rows = 0;
  for (const json& row : vectors()["derived_esp_transport"]) {
    const Suite suite = suite_of(row);
    const EspKeys keys = expand(suite, ImsKey(ck), ImsKey(ik));
    const Bytes ip = from_hex(row, "plain_ip_packet"), esp_ip = from_hex(row, "esp_ip_packet");
    const size_t header_bytes = ip_header_bytes(ip);
    const uint8_t next_header = header_bytes == 20 ? ip[9] : ip[6];
    const Bytes plain = reference::plain(
        suite, static_cast<uint32_t>(std::stoul(row["spi"].get<std::string>(), nullptr, 16)),
        row["seq"].get<uint32_t>(), from_hex(row, "iv"), std::span(ip).subspan(header_bytes),
        next_header);
    expect_esp(suite, keys, plain,
               Bytes(esp_ip.begin() + static_cast<std::ptrdiff_t>(header_bytes), esp_ip.end()));
    ++rows;
  }
  EXPECT_EQ(rows, 40u);
}

INSTANTIATE_TEST_SUITE_P(On, VectorsTest,
                         testing::Values(InstructionSet::sse, InstructionSet::avx2,
                                         InstructionSet::avx512),
                         instruction_set_label);

}  // namespace
}  // namespace gmesp
