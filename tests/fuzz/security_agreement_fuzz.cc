// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer: whatever the text, the parser ends, stays inside it and keeps its promises; and what
// it has understood survives being written and read again. Run by tests/fuzz/run.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "control/registration/negotiation.h"
#include "control/registration/security_agreement.h"

namespace gmesp {
namespace {

// Not assert(): it is to hold in any build.
#define CHECK(condition)                                \
  do {                                                  \
    if (!(condition)) {                                 \
      std::fprintf(stderr, "broken: %s\n", #condition); \
      std::abort();                                     \
    }                                                   \
  } while (false)

bool equal(const SecurityAgreement& a, const SecurityAgreement& b) {
  return std::ranges::equal(a.all(), b.all());
}

void check_round_trip(const SecurityAgreement& agreement, SpiFormat format) {
  const std::string text = format_security_agreement(agreement, format);
  SecurityAgreement again;
  CHECK(text.size() <= kMaxAgreementText);
  CHECK(parse_security_agreement(text, again) == AgreementError::none);
  CHECK(equal(again, agreement));
}

void check_negotiation(const SecurityAgreement& theirs) {
  const NegotiationPolicy policy;
  const auto ours_first = choose_ours_first(policy, theirs);
  CHECK(ours_first.has_value() == choose_theirs_first(policy, theirs).has_value());
  if (!ours_first) return;
  CHECK(ours_first->theirs.esp && ours_first->theirs.mode == EspMode::transport);
  const SecurityAgreement server =
      security_server(policy, theirs, ours_first->suite, {70001, 70002, 5062, 5063});
  CHECK(server.count > 0);
  CHECK(choose_theirs_first(policy, server)->suite == ours_first->suite);
  check_round_trip(server, SpiFormat::plain);
}

void run(std::string_view text) {
  SecurityAgreement agreement;
  const AgreementError error = parse_security_agreement(text, agreement);
  CHECK((error == AgreementError::none) == (agreement.count > 0));
  CHECK(agreement.count <= SecurityAgreement::kMaxMechanisms);
  if (error != AgreementError::none) return;
  // It goes to headers, logs and terminals.
  CHECK(std::ranges::none_of(text, [](char c) {
    const bool control = (c >= 0 && c < ' ') || c == 0x7f;
    return control && c != '\t' && c != '\r' && c != '\n';
  }));
  for (const SecurityMechanism& one : agreement.all()) {
    CHECK(one.port_c != 0 && one.port_s != 0);
    CHECK(one.q <= 1000 || one.q == SecurityMechanism::kNoQ);
  }
  check_round_trip(agreement, SpiFormat::plain);
  check_round_trip(agreement, SpiFormat::padded);
  CHECK(repeats(agreement, agreement));
  SecurityAgreement reversed = agreement;
  std::reverse(reversed.mechanisms.begin(), reversed.mechanisms.begin() + reversed.count);
  CHECK(repeats(reversed, agreement));
  reversed.mechanisms[0].port_c ^= 0x8000;
  if (agreement.count == 1) CHECK(!repeats(reversed, agreement));
  check_negotiation(agreement);
}

}  // namespace
}  // namespace gmesp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Memory of exactly this size: the sanitizer sees one byte too far.
  const auto exact = std::make_unique<char[]>(size);
  std::copy_n(data, size, exact.get());
  gmesp::run({exact.get(), size});
  return 0;
}
