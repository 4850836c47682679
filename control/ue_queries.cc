// SPDX-License-Identifier: BSD-3-Clause
#include "control/ue_queries.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "control/ue_request.h"
#include "control/ue_text.h"

namespace gmesp {
namespace {

// More than one row of a list takes, an IMPI of control characters (six bytes each) included.
constexpr size_t kRowBytes = 512 + 6 * kMaxIdentityBytes;

void write_end(JsonWriter& json, const std::string& end, const SetEnd& numbers) {
  json.field(end, to_string(numbers.address));
  json.field(end + "_port_c", numbers.port_c).field(end + "_port_s", numbers.port_s);
  json.field(end + "_spi_c", to_string(numbers.spi_c));
  json.field(end + "_spi_s", to_string(numbers.spi_s));
}

void write_life(JsonWriter& json, const SetView& view) {
  json.field("state", name(view.state)).flag("in_use", view.in_use);
  json.flag("installing", view.installing);
  json.field("age_ms", static_cast<uint64_t>(view.age.count()));
  // Past its deadline, until the next tick.
  json.field("left_ms", static_cast<uint64_t>(std::max<int64_t>(view.left.count(), 0)));
}

void write_row(JsonWriter& json, const SetView& view) {
  json.start_object();
  json.field("handle", to_string(view.handle));
  write_life(json, view);
  json.field("ue", to_string(view.ue.address)).field("pcscf", to_string(view.pcscf.address));
  json.field("ue_port_c", view.ue.port_c).field("ue_port_s", view.ue.port_s);
  json.field("pcscf_port_c", view.pcscf.port_c).field("pcscf_port_s", view.pcscf.port_s);
  write_suite(json, view.suite);
  json.field("impi", view.impi);
  json.end_object();
}

void write_set(JsonWriter& json, const SetView& view, Role role, SpiFormat spis) {
  json.field("handle", to_string(view.handle));
  write_life(json, view);
  json.field("form", name(view.form)).field("selector", name(view.selector));
  write_suite(json, view.suite);
  write_end(json, "ue", view.ue);
  write_end(json, "pcscf", view.pcscf);
  json.field("impi", view.impi);
  json.start_array("impus");
  for (const std::string_view impu : view.impus) json.element(impu);
  json.end_array();
  if (view.over != kNoSet) json.field("over", to_string(view.over));
  if (view.ours.count != 0) {
    json.field(role == Role::pcscf ? "security-server" : "security-client",
               format_security_agreement(view.ours, spis));
  }
}

void write_sa(JsonWriter& json, const SaEntry& entry, const SaStatus& status) {
  json.start_object();
  json.field("dir", name(status.direction)).field("spi", to_string(entry.spi));
  if (entry.selector.source_port != Selector::kAnyPort) {
    json.field("sport", entry.selector.source_port);
  }
  if (entry.selector.destination_port != Selector::kAnyPort) {
    json.field("dport", entry.selector.destination_port);
  }
  write_traffic(json, status);
  json.end_object();
}

// `ue show` while its SAs are asked for: the answer goes out with the last of them.
struct ShowAnswer {
  explicit ShowAnswer(const Reply& to) : reply(to) {}
  void release() {
    if (--left != 0) return;
    json.end_array();
    reply(json.finish());
  }

  JsonWriter json;
  size_t left = 1;  // whoever asks counts too: no SA may answer before all are asked
  Reply reply;
};

}  // namespace

void write_suite(JsonWriter& json, std::optional<Suite> suite) {
  if (!suite) return;
  const SuiteInfo& info = suite_info(*suite);
  json.field("alg", name(info.integrity)).field("ealg", name(info.encryption));
}

void write_protection(JsonWriter& json, bool encrypted) {
  json.flag("integrity-protected", true).flag("encrypted", encrypted);
}

size_t count_of_sets(const Registrar& registrar) {
  size_t total = 0;
  for (const SetState state : kSetStates) total += registrar.count(state);
  return total;
}

void write_set_counts(JsonWriter& json, const Registrar& registrar) {
  for (const SetState state : kSetStates) json.field(name(state), registrar.count(state));
  json.field("total", count_of_sets(registrar)).field("registrations", registrar.registrations());
}

std::string ue_check(const Request& request, const Registrar& registrar) {
  const CheckRequest check(request);
  const SetHandle handle = registrar.check(check.flow, check.impi, check.impu, check.contact);
  const SetView view = registrar.view(handle);
  JsonWriter json;
  json.field("handle", to_string(handle)).field("state", name(view.state));
  json.field("impi", view.impi);
  write_protection(json,
                   view.suite && suite_info(*view.suite).encryption != EncryptionAlgorithm::null);
  return json.finish();
}

std::string ue_list(const Request& request, const Registrar& registrar) {
  const Registrar::Filter filter = set_filter(request);
  const uint64_t limit = request.number("limit", 1, kMaxPage).value_or(kDefaultPage);
  constexpr uint32_t kMost = std::numeric_limits<uint32_t>::max();
  const auto after = static_cast<uint32_t>(request.number("after", 0, kMost).value_or(0));
  JsonWriter json;
  json.start_array("sets");
  uint64_t rows = 0;
  const auto next = registrar.list(filter, after, [&](const SetView& view) {
    if (rows == limit || json.size() + kRowBytes > kMaxRecordBytes) return false;
    ++rows;
    write_row(json, view);
    return true;
  });
  json.end_array();
  if (next) json.field("after", to_hex(*next, 8));
  return json.finish();
}

void ue_show(const Request& request, Registrations on, const Reply& reply) {
  const SetView view = on.registrar.view(set_handle(request));
  const auto answer = std::make_shared<ShowAnswer>(reply);
  write_set(answer->json, view, on.sas.policy().role, on.registrar.config().negotiation.spi_format);
  answer->json.start_array("sas");
  for (const SaHandle sa : view.sas) {
    ++answer->left;
    on.sas.query(sa, [answer](const SaEntry& entry, size_t, const SaStatus& status) {
      write_sa(answer->json, entry, status);
      answer->release();
    });
  }
  answer->release();
}

std::string ue_count(const Registrar& registrar) {
  JsonWriter json;
  write_set_counts(json, registrar);
  return json.finish();
}

}  // namespace gmesp
