// SPDX-License-Identifier: BSD-3-Clause
#include "control/sa_commands.h"

#include <limits>

#include "control/json_writer.h"
#include "control/sa_request.h"
#include "control/sa_text.h"

namespace gmesp {
namespace {

// More than one row of a list takes: a page stops so far before a record's end.
constexpr size_t kRowBytes = 512;

constexpr std::string_view name(SaState state) {
  switch (state) {
    case SaState::installing:
      return "installing";
    case SaState::live:
      return "live";
    case SaState::deleting:
      return "deleting";
    case SaState::none:
      break;
  }
  return "none";
}

bool has_event(const SaEntry& entry, SaEventKind kind) {
  return (entry.events & static_cast<uint8_t>(kind)) != 0;
}

void write_identity(JsonWriter& json, Direction direction, Spi spi) {
  json.field("dir", gmesp::name(direction)).field("spi", to_string(spi));
}

void write_sa(JsonWriter& json, Direction direction, size_t worker, const SaEntry& entry) {
  write_identity(json, direction, entry.spi);
  const Selector& selector = entry.selector;
  json.field("src", to_string(selector.source)).field("dst", to_string(selector.destination));
  json.field("proto", gmesp::name(selector.protocol));
  if (selector.source_port != Selector::kAnyPort) json.field("sport", selector.source_port);
  if (selector.destination_port != Selector::kAnyPort) {
    json.field("dport", selector.destination_port);
  }
  const SuiteInfo& info = suite_info(entry.suite);
  json.field("alg", gmesp::name(info.integrity)).field("ealg", gmesp::name(info.encryption));
  if (direction == Direction::in) json.field("window", entry.window);
  json.field("worker", worker).field("state", name(entry.state));
  json.flag("used", has_event(entry, SaEventKind::first_use));
  json.flag("sequence_soft_limit", has_event(entry, SaEventKind::sequence_soft_limit));
  json.flag("sequence_exhausted", has_event(entry, SaEventKind::sequence_exhausted));
}

std::string show_answer(const SaEntry& entry, size_t worker, const SaStatus& status) {
  JsonWriter json;
  write_sa(json, status.direction, worker, entry);
  json.field("sequence", static_cast<uint32_t>(status.sequence));
  write_traffic(json, status);
  return json.finish();
}

// The answer to a command that ends with this SA being there, or gone.
SaManager::Done done_answer(Direction direction, Spi spi, const char* done, const Reply& reply) {
  return [=](std::optional<Refusal> refusal) {
    if (refusal) return reply(refusal_answer(Refused(*refusal)));
    JsonWriter json;
    json.field("done", done);
    write_identity(json, direction, spi);
    reply(json.finish());
  };
}

}  // namespace

void write_traffic(JsonWriter& json, const SaStatus& status) {
  json.field("packets", status.packets).field("bytes", status.bytes);
  if (status.idle_ns != std::numeric_limits<uint64_t>::max()) {
    json.field("idle_ms", status.idle_ns / 1000000);
  }
  json.field("replayed", status.replayed).field("icv_failures", status.icv_failures);
  json.field("selector_mismatches", status.selector_mismatches);
  if (status.path_mtu != 0) json.field("path_mtu", status.path_mtu);
}

void sa_add(const Request& request, SaManager& sas, const Reply& reply) {
  const NewSa sa = new_sa(request);
  sas.add(sa, done_answer(sa.direction, sa.spi, "added", reply));
}

void sa_delete(const Request& request, SaManager& sas, const Reply& reply) {
  const SaName name = sa_name(request);
  sas.remove(name, done_answer(name.direction, name.spi, "deleted", reply));
}

void sa_show(const Request& request, SaManager& sas, const Reply& reply) {
  sas.query(sa_name(request), [=](const SaEntry& entry, size_t worker, const SaStatus& status) {
    reply(show_answer(entry, worker, status));
  });
}

void sa_flush(SaManager& sas, const Reply& reply) {
  sas.flush([=](size_t deleted) {
    reply(JsonWriter().field("done", "flushed").field("deleted", deleted).finish());
  });
}

std::string sa_list(const Request& request, const SaManager& sas) {
  const SaFilter filter = sa_filter(request);
  const uint64_t limit = request.number("limit", 1, kMaxPage).value_or(kDefaultPage);
  const SaHandle after{
      request.number("after", 0, std::numeric_limits<uint64_t>::max()).value_or(0)};
  JsonWriter json;
  json.start_array("sas");
  uint64_t rows = 0;
  const auto next =
      sas.list(filter, after, [&](Direction direction, size_t worker, const SaEntry& entry) {
        if (rows == limit || json.size() + kRowBytes > kMaxRecordBytes) return false;
        ++rows;
        json.start_object();
        write_sa(json, direction, worker, entry);
        json.end_object();
        return true;
      });
  json.end_array();
  if (next) json.field("after", to_hex(static_cast<uint64_t>(*next)));
  return json.finish();
}

std::string sa_count(const SaManager& sas) {
  JsonWriter json;
  const size_t in = sas.count(Direction::in, SaState::live);
  const size_t out = sas.count(Direction::out, SaState::live);
  json.field("in", in).field("out", out).field("total", in + out);
  for (const SaState state : {SaState::installing, SaState::deleting}) {
    json.field(name(state), sas.count(Direction::in, state) + sas.count(Direction::out, state));
  }
  return json.finish();
}

}  // namespace gmesp
