// SPDX-License-Identifier: BSD-3-Clause
// RFC 4303 2 and the RFC of each algorithm, by way of EVP and HMAC.
#include "tests/reference_esp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace gmesp::reference {
namespace {

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

void require(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL refused");
}

int length(size_t bytes) { return static_cast<int>(bytes); }

Bytes concatenate(std::span<const uint8_t> first, std::span<const uint8_t> second) {
  Bytes all(first.begin(), first.end());
  all.insert(all.end(), second.begin(), second.end());
  return all;
}

const EVP_MD* hash_of(IntegrityAlgorithm algorithm) {
  return algorithm == IntegrityAlgorithm::hmac_md5_96 ? EVP_md5() : EVP_sha1();
}

Bytes mac(const EVP_MD* digest, std::span<const uint8_t> key, std::span<const uint8_t> message) {
  Bytes mac(static_cast<size_t>(EVP_MD_get_size(digest)));
  if (HMAC(digest, key.data(), length(key.size()), message.data(), message.size(), mac.data(),
           nullptr) == nullptr) {
    throw std::runtime_error("OpenSSL refused");
  }
  return mac;
}

Bytes cbc(const EVP_CIPHER* cipher, const Key& key, std::span<const uint8_t> iv,
          std::span<const uint8_t> text, int encrypt) {
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  require(
      EVP_CipherInit_ex(context.get(), cipher, nullptr, key.bytes().data(), iv.data(), encrypt));
  require(EVP_CIPHER_CTX_set_padding(context.get(), 0));
  Bytes result(text.size());
  int written = 0, rest = 0;
  require(
      EVP_CipherUpdate(context.get(), result.data(), &written, text.data(), length(text.size())));
  require(EVP_CipherFinal_ex(context.get(), result.data() + written, &rest));
  return result;
}

Bytes cipher(const SuiteInfo& info, const Key& key, std::span<const uint8_t> iv,
             std::span<const uint8_t> text, int encrypt) {
  switch (info.encryption) {
    case EncryptionAlgorithm::des_ede3_cbc:
      return cbc(EVP_des_ede3_cbc(), key, iv, text, encrypt);
    case EncryptionAlgorithm::aes_cbc:
      return cbc(EVP_aes_128_cbc(), key, iv, text, encrypt);
    default:
      return Bytes(text.begin(), text.end());
  }
}

struct Aead {
  const Key& key;
  Bytes nonce;
  Bytes associated_data;
};

Context start_gcm(const Aead& aead, int encrypt) {
  Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  require(EVP_CipherInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, aead.key.bytes().data(),
                            aead.nonce.data(), encrypt));
  int written = 0;
  require(EVP_CipherUpdate(context.get(), nullptr, &written, aead.associated_data.data(),
                           length(aead.associated_data.size())));
  return context;
}

Bytes gcm_text(EVP_CIPHER_CTX* context, std::span<const uint8_t> text) {
  Bytes result(text.size());
  int written = 0;
  if (!text.empty()) {
    require(EVP_CipherUpdate(context, result.data(), &written, text.data(), length(text.size())));
  }
  return result;
}

// Ciphertext and 16 bytes of tag.
Bytes gcm_encrypt(const Aead& aead, std::span<const uint8_t> text) {
  const Context context = start_gcm(aead, 1);
  Bytes result = gcm_text(context.get(), text);
  Bytes tag(16);
  int written = 0;
  require(EVP_CipherFinal_ex(context.get(), tag.data(), &written));
  require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag.data()));
  return concatenate(result, tag);
}

std::optional<Bytes> gcm_decrypt(const Aead& aead, std::span<const uint8_t> text,
                                 std::span<const uint8_t> tag) {
  const Context context = start_gcm(aead, 0);
  Bytes result = gcm_text(context.get(), text);
  Bytes wanted(tag.begin(), tag.end());
  require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, 16, wanted.data()));
  int written = 0;
  uint8_t nothing[16];
  if (EVP_CipherFinal_ex(context.get(), nothing, &written) != 1) return std::nullopt;
  return result;
}

// An ESP part taken to pieces.
struct Pieces {
  std::span<const uint8_t> header;  // SPI, sequence number
  std::span<const uint8_t> iv;
  std::span<const uint8_t> front;    // header and IV
  std::span<const uint8_t> payload;  // with trailer
};

Pieces take_apart(const SuiteInfo& info, std::span<const uint8_t> bytes) {
  const size_t front = 8u + info.iv_bytes;
  return {bytes.first(8), bytes.subspan(8, info.iv_bytes), bytes.first(front),
          bytes.subspan(front)};
}

// RFC 4106 5 for GCM; RFC 4543 3.3 for GMAC, whose payload is associated data too.
Aead aead(Suite suite, const EspKeys& keys, const Pieces& pieces) {
  const Bytes nonce = concatenate(keys.salt.bytes(), pieces.iv);
  if (suite == Suite::aes_gcm) {
    return {keys.encryption, nonce, Bytes(pieces.header.begin(), pieces.header.end())};
  }
  return {keys.authentication, nonce, concatenate(pieces.front, pieces.payload)};
}

}  // namespace

Bytes hmac(IntegrityAlgorithm algorithm, std::span<const uint8_t> key,
           std::span<const uint8_t> message) {
  return mac(hash_of(algorithm), key, message);
}

Bytes digest(IntegrityAlgorithm algorithm, std::span<const uint8_t> message) {
  Bytes digest(static_cast<size_t>(EVP_MD_get_size(hash_of(algorithm))));
  require(EVP_Digest(message.data(), message.size(), digest.data(), nullptr, hash_of(algorithm),
                     nullptr));
  return digest;
}

Bytes hmac_sha_256(std::span<const uint8_t> key, std::span<const uint8_t> message) {
  return mac(EVP_sha256(), key, message);
}

Bytes seal(Suite suite, const EspKeys& keys, std::span<const uint8_t> front_and_payload) {
  const SuiteInfo& info = suite_info(suite);
  const Pieces pieces = take_apart(info, front_and_payload);
  if (suite == Suite::aes_gcm) {
    return concatenate(pieces.front, gcm_encrypt(aead(suite, keys, pieces), pieces.payload));
  }
  if (suite == Suite::aes_gmac) {
    return concatenate(front_and_payload, gcm_encrypt(aead(suite, keys, pieces), {}));
  }
  const Bytes covered =
      concatenate(pieces.front, cipher(info, keys.encryption, pieces.iv, pieces.payload, 1));
  Bytes icv = hmac(info.integrity, keys.authentication.bytes(), covered);
  icv.resize(12);  // RFC 2403, RFC 2404
  return concatenate(covered, icv);
}

Bytes plain(Suite suite, uint32_t spi, uint32_t sequence_number, std::span<const uint8_t> iv,
            std::span<const uint8_t> payload, uint8_t next_header) {
  Bytes bytes;
  for (const uint32_t word : {spi, sequence_number}) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<uint8_t>(word >> shift));
    }
  }
  bytes = concatenate(concatenate(bytes, iv), payload);
  uint8_t pad_length = 0;
  while ((payload.size() + pad_length + 2) % suite_info(suite).alignment_bytes != 0) {
    bytes.push_back(++pad_length);
  }
  bytes.push_back(pad_length);
  bytes.push_back(next_header);
  return bytes;
}

std::optional<Bytes> open(Suite suite, const EspKeys& keys, std::span<const uint8_t> esp) {
  const SuiteInfo& info = suite_info(suite);
  const auto covered = esp.first(esp.size() - info.icv_bytes);
  const auto icv = esp.last(info.icv_bytes);
  const Pieces pieces = take_apart(info, covered);
  if (suite == Suite::aes_gcm) return gcm_decrypt(aead(suite, keys, pieces), pieces.payload, icv);
  if (suite == Suite::aes_gmac) {
    if (!gcm_decrypt(aead(suite, keys, pieces), {}, icv)) return std::nullopt;
    return Bytes(pieces.payload.begin(), pieces.payload.end());
  }
  Bytes mac = hmac(info.integrity, keys.authentication.bytes(), covered);
  mac.resize(12);
  if (!std::equal(icv.begin(), icv.end(), mac.begin())) return std::nullopt;
  return cipher(info, keys.encryption, pieces.iv, pieces.payload, 0);
}

}  // namespace gmesp::reference
