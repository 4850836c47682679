// SPDX-License-Identifier: BSD-3-Clause
// Thread ownership as a type check: clang's -Wthread-safety refuses a call from the wrong thread;
// g++ sees nothing. A role is taken where a thread's life begins (AssumeRole) and asked for by
// ON(role) on methods and OWNED_BY(role) on members. clang does not carry a role into a lambda:
// annotate Worker and WorkerProxy, keep what they own plain.
#pragma once

#if defined(__clang__)
#define GMESP_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define GMESP_THREAD_ATTRIBUTE(x)
#endif

#define ON(role) GMESP_THREAD_ATTRIBUTE(requires_capability(role))
#define OWNED_BY(role) GMESP_THREAD_ATTRIBUTE(guarded_by(role))

namespace gmesp {

class GMESP_THREAD_ATTRIBUTE(capability("thread role")) ThreadRole {};

inline ThreadRole worker_thread;   // one packet worker; which one, the object says
inline ThreadRole control_thread;  // the one control thread

// "This thread has the role from here on": at the head of a thread function, or of a test that
// plays the thread.
class GMESP_THREAD_ATTRIBUTE(scoped_lockable) AssumeRole {
 public:
  explicit AssumeRole(ThreadRole& role) GMESP_THREAD_ATTRIBUTE(acquire_capability(role)) {
    static_cast<void>(role);
  }
  ~AssumeRole() GMESP_THREAD_ATTRIBUTE(release_capability()) {}
  AssumeRole(const AssumeRole&) = delete;
  AssumeRole& operator=(const AssumeRole&) = delete;
};

}  // namespace gmesp
