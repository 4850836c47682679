// SPDX-License-Identifier: BSD-3-Clause
// A SIP server's use of libgmesp, and a control thread with real workers for it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "control/client/gmesp.h"
#include "tests/control_client.h"

namespace gmesp {

inline constexpr int kWaitMs = 20000;
inline constexpr const char* kHeader =
    "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=2147483649;spi-s=2147483650;port-c=40001;"
    "port-s=40002";

struct Report : gmesp_report {
  Report() : gmesp_report{} { size = sizeof(gmesp_report); }
};

inline std::string error_code(int error) { return gmesp_error_code(error); }

struct Keys {
  explicit Keys(uint32_t n) {
    for (uint8_t i = 0; i < 16; ++i) {
      ck[i] = static_cast<uint8_t>(n >> (i % 4 * 8)) ^ static_cast<uint8_t>(i * 37);
      ik[i] = static_cast<uint8_t>(ck[i] ^ 0x55);
    }
  }
  uint8_t ck[16];
  uint8_t ik[16];
};

class Client {
 public:
  explicit Client(const std::string& path, uint32_t events = 0) {
    const gmesp_options options{.size = sizeof options,
                                .abi_version = GMESP_ABI_VERSION,
                                .path = path.c_str(),
                                .events = events,
                                .timeout_ms = kWaitMs};
    error = gmesp_connect(&options, &client_);
  }
  ~Client() { gmesp_close(client_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  gmesp_client* get() const { return client_; }

  // The call of one UE's first REGISTER; good until the next one.
  const gmesp_register_call& call(uint32_t ue) {
    address_ = "10." + std::to_string(ue >> 16 & 255) + "." + std::to_string(ue >> 8 & 255) + "." +
               std::to_string(ue & 255);
    impi_ = "ue" + std::to_string(ue) + "@ims";
    impu_ = "sip:" + impi_;
    impus_[0] = impu_.c_str();
    call_ = {};
    call_.size = sizeof call_;
    call_.ue = address_.c_str();
    call_.pcscf = "192.0.2.1";
    call_.impi = impi_.c_str();
    call_.impus = impus_;
    call_.impu_count = 1;
    call_.security_client = kHeader;
    return call_;
  }
  // 0: refused.
  uint64_t registered(uint32_t ue, Report* report = nullptr) {
    Report own;
    Report& into = report != nullptr ? *report : own;
    EXPECT_EQ(error_code(gmesp_register(client_, &call(ue), kWaitMs, &into)), "ok");
    return into.handle;
  }
  int challenge(uint64_t handle, uint32_t key) {
    const Keys keys(key);
    return gmesp_challenge(client_, handle, keys.ck, keys.ik, nullptr, kWaitMs, nullptr);
  }
  uint64_t temporary(uint32_t ue) {
    const uint64_t handle = registered(ue);
    EXPECT_EQ(error_code(challenge(handle, ue)), "ok");
    return handle;
  }
  // 0: something was refused.
  uint64_t established(uint32_t ue) {
    Report offer;
    const uint64_t handle = registered(ue, &offer);
    const std::string server = offer.security;
    const bool done =
        challenge(handle, ue) == 0 &&
        gmesp_response(client_, handle, server.c_str(), kHeader, kWaitMs, nullptr) == 0 &&
        gmesp_ok(client_, handle, 3600, nullptr, 0, kWaitMs, nullptr) == 0;
    return done ? handle : 0;
  }

  int error = 0;

 private:
  gmesp_client* client_ = nullptr;
  gmesp_register_call call_{};
  std::string address_, impi_, impu_;
  const char* impus_[1] = {};
};

class GmespClientTest : public testing::Test {
 protected:
  void start() {
    RegistrarConfig registrar;
    registrar.capacity = 8192;  // more than servers that are killed and killed again leave behind
    running_ = std::make_unique<RunningControl>(
        path_, RigConfig{.capacity = 2 * registrar.capacity}, &registrar);
  }
  void stop() { running_.reset(); }
  void SetUp() override { start(); }

  std::string path_ = socket_path("ring.sock");
  std::unique_ptr<RunningControl> running_;
};

}  // namespace gmesp
