// SPDX-License-Identifier: BSD-3-Clause
// The clients of the control socket that monitor: what has happened, between their answers.
#include <sys/socket.h>

#include "control/control_socket.h"

namespace gmesp {

// Within Commands::handle(): the client is the one that is served. What it asked before ends.
void ControlSocket::begin_monitor(EventKinds kinds) {
  std::erase_if(monitors_, [this](uint64_t tag) { return !connections_.contains(tag); });
  Connection& connection = connections_.at(serving_);
  if (!connection.monitor) {
    if (monitors_.size() >= kMaxMonitors && !make_room_to_monitor(connection.peer)) {
      throw Refused(Refusal::too_many_connections, std::to_string(kMaxMonitors) + " may monitor");
    }
    monitors_.push_back(serving_);
  }
  connection.monitor = std::make_unique<Monitor>(kinds);
}

void ControlSocket::on_event(const Event& event) {
  EventRecord record;
  for (const uint64_t tag : monitors_) {
    const auto found = connections_.find(tag);
    if (found == connections_.end() || !found->second.monitor->wants(event)) continue;
    if (!record) record = event_record(event);
    found->second.monitor->push(record);
  }
}

void ControlSocket::send_events() {
  for (size_t i = 0; i < monitors_.size();) {
    const uint64_t tag = monitors_[i];
    const auto found = connections_.find(tag);
    if (found != connections_.end()) {
      send_events(found->second);
      watch(tag, found->second, interest_of(found->second));
      if (found->second.broken) forget(found);
    }
    if (connections_.contains(tag)) {
      ++i;
    } else {
      monitors_.erase(monitors_.begin() + static_cast<ptrdiff_t>(i));
    }
  }
}

void ControlSocket::send_events(Connection& connection) {
  if (!connection.monitor) return;
  while (connection.unsent.empty() && !connection.broken) {
    const std::string* record = connection.monitor->front();
    if (record == nullptr) return;
    if (send(connection.fd.get(), record->data(), record->size(), MSG_DONTWAIT | MSG_NOSIGNAL) >=
        0) {
      connection.monitor->pop();
    } else {
      connection.broken = !would_block();
      if (!connection.broken) return;
    }
  }
}

}  // namespace gmesp
