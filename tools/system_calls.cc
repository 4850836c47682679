// SPDX-License-Identifier: BSD-3-Clause
#include "tools/system_calls.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace gmesp {
namespace {

constexpr int kCalls[] = {
    // What is open: packets, clients, logs.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
    SCMP_SYS(pwrite64), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(dup), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(pipe2), SCMP_SYS(epoll_create),
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
    SCMP_SYS(eventfd2), SCMP_SYS(signalfd4), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(accept), SCMP_SYS(accept4),
    SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(listen), SCMP_SYS(shutdown), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    // Files, to be looked at (a configuration that is read again, links, counters); at the end the
    // socket's own is removed.
    SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
    SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
    SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    // Memory, also that which is shared with clients and other engines.
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mincore),
    SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(mbind), SCMP_SYS(get_mempolicy),
    SCMP_SYS(set_mempolicy), SCMP_SYS(membarrier),
    // Threads that are there, time, random numbers, the end.
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity), SCMP_SYS(getcpu),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall),
    SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(gettid), SCMP_SYS(getpid),
    SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
    SCMP_SYS(getrusage), SCMP_SYS(getrlimit), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(exit),
    SCMP_SYS(exit_group)};

// A call whose argument number `argument`, of which `mask` is looked at, must be `value`.
struct Only {
  int call;
  unsigned argument;
  uint64_t mask;
  uint64_t value;
};

constexpr uint64_t kWhole = 0xffffffff;  // of an int
// ioctl: the letter of a family, or its first numbers too.
constexpr uint64_t kFamily = 0xff00;
constexpr uint64_t kSixteen = 0xfff0;
constexpr uint64_t kReadOnly = O_ACCMODE | O_CREAT | O_TRUNC;

constexpr Only kOnly[] = {
    {SCMP_SYS(open), 1, kReadOnly, O_RDONLY},
    {SCMP_SYS(openat), 2, kReadOnly, O_RDONLY},
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
    {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
    {SCMP_SYS(socket), 0, kWhole, AF_NETLINK},  // a TAP that goes
    {SCMP_SYS(prctl), 0, kWhole, PR_SET_NAME},
    {SCMP_SYS(prlimit64), 2, ~uint64_t{0}, 0},  // looks, does not set
    // By command: F_SETOWN and F_SETSIG would let the kernel send a signal to anybody, for us.
    {SCMP_SYS(fcntl), 1, kWhole, F_DUPFD_CLOEXEC},
    {SCMP_SYS(fcntl), 1, kWhole, F_GETFD},
    {SCMP_SYS(fcntl), 1, kWhole, F_SETFD},
    {SCMP_SYS(fcntl), 1, kWhole, F_GETFL},
    {SCMP_SYS(fcntl), 1, kWhole, F_SETFL},
    {SCMP_SYS(fcntl), 1, kWhole, F_ADD_SEALS},
    {SCMP_SYS(fcntl), 1, kWhole, F_GET_SEALS},
    // Interfaces, SIOCGIFNAME to SIOCETHTOOL; below are FIOSETOWN and SIOCSPGRP, which are
    // F_SETOWN.
    {SCMP_SYS(ioctl), 1, kSixteen, 0x8910},
    {SCMP_SYS(ioctl), 1, kSixteen, 0x8920},
    {SCMP_SYS(ioctl), 1, kSixteen, 0x8930},
    {SCMP_SYS(ioctl), 1, kSixteen, 0x8940},
    {SCMP_SYS(ioctl), 1, 0xffc0, 'T' << 8 | 0xc0},  // TUN and TAP, not terminals
    {SCMP_SYS(ioctl), 1, kWhole, TCGETS},           // "are you a terminal?"
    {SCMP_SYS(ioctl), 1, kWhole, FIONREAD},
    {SCMP_SYS(ioctl), 1, kWhole, FIONBIO},
    {SCMP_SYS(ioctl), 1, kFamily, ';' << 8},   // VFIO
    {SCMP_SYS(ioctl), 1, kFamily, 0xaf00},     // vhost
    {SCMP_SYS(ioctl), 1, kFamily, 0x1b << 8},  // RDMA: NICs of mlx5
};

struct Filter {
  Filter() : context(seccomp_init(SCMP_ACT_ERRNO(EPERM))) {}
  ~Filter() { seccomp_release(context); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  void allow(int call) { check(seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 0)); }
  void allow(const Only& only) {
    const scmp_arg_cmp compare{only.argument, SCMP_CMP_MASKED_EQ, only.mask, only.value};
    check(seccomp_rule_add_array(context, SCMP_ACT_ALLOW, only.call, 1, &compare));
  }
  void set(scmp_filter_attr attribute, uint32_t value) {
    check(seccomp_attr_set(context, attribute, value));
  }
  void load() { check(seccomp_load(context)); }

 private:
  static void check(int result) {
    if (result >= 0) return;
    throw std::runtime_error(std::string("system calls cannot be restricted: ") +
                             std::strerror(-result) + "; or set [control] seccomp = false");
  }

  scmp_filter_ctx context;
};

}  // namespace

void restrict_system_calls(UnixSockets unix_sockets) {
  Filter filter;
  filter.set(SCMP_FLTATR_CTL_TSYNC, 1);                        // all threads
  filter.set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));  // calls of 32-bit programs
  for (const int call : kCalls) filter.allow(call);
  for (const Only& only : kOnly) filter.allow(only);
  if (unix_sockets == UnixSockets::allowed) filter.allow({SCMP_SYS(socket), 0, kWhole, AF_UNIX});
  // Threads of our own are ended, by themselves (abort) and by DPDK.
  filter.allow({SCMP_SYS(tgkill), 0, kWhole, static_cast<uint64_t>(getpid())});
  filter.load();
}

}  // namespace gmesp
