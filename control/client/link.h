// SPDX-License-Identifier: BSD-3-Clause
// libgmesp's end of one connection to gmespd: the socket that brought the shared memory and carries
// the bells, and the two rings. Knows nothing of what the records say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "control/client/mapping.h"
#include "control/client/records.h"
#include "control/client/shared_ring.h"
#include "control/file_descriptor.h"

namespace gmesp::client {

// Thrown inside the library, never out of it: one of gmesp.h's numbers.
struct Failure {
  int error;
};

class Link {
 public:
  // Asks gmespd at `path` for a ring. Throws Failure.
  Link(const std::string& path, int timeout_ms);
  Link(Link&&) noexcept = default;
  Link& operator=(Link&&) noexcept = default;
  ~Link();

  int fd() const { return socket_.get(); }
  const SharedHeader& header() const { return header_; }

  // Where the next command goes; none: the ring is full. Throws Failure when gmespd lies or has
  // gone.
  CommandRecord* slot();
  // The slot is filled. Rings the bell when gmespd sleeps.
  void publish();

  // Copies the oldest answer out. False: there is none. Throws Failure when gmespd lies or has
  // gone.
  bool take(AnswerRecord& record);
  // Before waiting for fd(): from now on gmespd rings. False: something has come meanwhile. Throws
  // Failure when gmespd has gone.
  bool ready_to_wait();

  // The error when what has come cannot be: gmespd lies, or it has gone.
  int why() const;
  // This is a child of the process that had the connection: leaves the parent's alone.
  void forget() { memory_.forget(); }

 private:
  FileDescriptor socket_;
  Mapping memory_;
  SharedHeader header_;
  RingProducer commands_;
  RingConsumer answers_;
};

// Milliseconds on CLOCK_MONOTONIC.
int64_t now_ms();
// Waits until fd is readable (or writable). False: timeout_ms is over; below 0: never.
bool wait_for(int fd, short events, int timeout_ms);

}  // namespace gmesp::client
