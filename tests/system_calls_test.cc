// SPDX-License-Identifier: BSD-3-Clause
// The filter of gmespd in a process of its own: what it must let through works, what it must not
// fails with EPERM, in a thread that was there before, too. That gmespd lives with it:
// gmespd_rights_test.
#include "tools/system_calls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/keyctl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

namespace gmesp {
namespace {

struct Call {
  const char* what;
  std::function<long()> make;  // below 0: failed, with errno
};

const Call kForbidden[] = {
    {"execve", [] { return execl("/bin/true", "true", nullptr); }},
    {"fork", [] { return syscall(SYS_fork); }},
    {"clone", [] { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }},
    {"clone3", [] { return syscall(SYS_clone3, nullptr, 0); }},
    {"ptrace", [] { return ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
    {"process_vm_readv", [] { return syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0); }},
    {"pidfd_getfd", [] { return syscall(SYS_pidfd_getfd, 0, 0, 0); }},
    {"an IPv4 socket", [] { return socket(AF_INET, SOCK_STREAM, 0); }},
    {"an IPv6 socket", [] { return socket(AF_INET6, SOCK_DGRAM, 0); }},
    {"a packet socket", [] { return socket(AF_PACKET, SOCK_RAW, 0); }},
    {"a file to write", [] { return open("/dev/null", O_WRONLY); }},
    {"a file to read and write", [] { return open("/dev/null", O_RDWR); }},
    {"a new file", [] { return open("/tmp/gmesp-new", O_RDONLY | O_CREAT, 0600); }},
    {"a file cut off", [] { return open("/dev/null", O_RDONLY | O_TRUNC); }},
    {"openat2", [] { return syscall(SYS_openat2, AT_FDCWD, "/dev/null", nullptr, 0); }},
    {"creat", [] { return syscall(SYS_creat, "/dev/null", 0600); }},
    {"rename", [] { return syscall(SYS_rename, "/none", "/none"); }},
    {"chmod", [] { return syscall(SYS_chmod, "/none", 0); }},
    {"mount", [] { return mount("/none", "/none", "none", 0, nullptr); }},
    {"code from memory",
     [] {
       void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       return memory == MAP_FAILED ? -1l : 0l;
     }},
    {"memory made code",
     [] {
       void* const memory =
           mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       return mprotect(memory, 4096, PROT_READ | PROT_EXEC);
     }},
    {"a signal to another process", [] { return kill(getppid(), 0); }},
    {"one to its thread", [] { return syscall(SYS_tgkill, getppid(), getppid(), 0); }},
    {"one by the kernel", [] { return fcntl(0, F_SETOWN, getppid()); }},
    {"one to its thread, by the kernel",
     [] {
       const f_owner_ex parent{F_OWNER_PID, getppid()};
       return fcntl(0, F_SETOWN_EX, &parent);
     }},
    {"which one", [] { return fcntl(0, F_SETSIG, SIGKILL); }},
    {"the owner of a socket",
     [] {
       const int parent = getppid();
       return ioctl(0, FIOSETOWN, &parent);
     }},
    {"the same by another name",
     [] {
       const int parent = getppid();
       return ioctl(0, SIOCSPGRP, &parent);
     }},
    {"core dumps again", [] { return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }},
    {"limits",
     [] {
       const rlimit limit{};
       return setrlimit(RLIMIT_CORE, &limit);
     }},
    {"another user", [] { return syscall(SYS_setuid, 0); }},
    {"unshare", [] { return unshare(CLONE_NEWUSER); }},
    {"bpf", [] { return syscall(SYS_bpf, 0, nullptr, 0); }},
    {"io_uring", [] { return syscall(SYS_io_uring_setup, 1, nullptr); }},
    {"userfaultfd", [] { return syscall(SYS_userfaultfd, 0); }},
    {"keyctl", [] { return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -1, 0); }},
    {"perf_event_open", [] { return syscall(SYS_perf_event_open, nullptr, 0, 0, 0, 0); }},
    {"what a terminal reads", [] { return ioctl(0, TIOCSTI, "x"); }},
    {"the same in 64 bits", [] { return syscall(SYS_ioctl, 0, uint64_t{1} << 32 | TIOCSTI, "x"); }},
    {"another filter", [] { return syscall(SYS_seccomp, 1, 0, nullptr); }},
};

// Without an interface of this name.
long ask_for_an_interface() {
  const int fd = socket(AF_NETLINK, SOCK_RAW, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "gmesp-none");
  for (const int what : {SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR, SIOCETHTOOL}) {
    if (ioctl(fd, static_cast<unsigned long>(what), &request) == 0 || errno == EPERM) return -1;
  }
  return close(fd);
}

long connect_to_nobody() {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/tmp/gmesp-nobody");
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return result != 0 && errno == ENOENT ? close(fd) : -1;
}

long share_memory() {
  const int file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0 || ftruncate(file, 4096) != 0 || posix_fallocate(file, 0, 4096) != 0) return -1;
  if (fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) != 0) return -1;
  void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED || mlock2(memory, 4096, MLOCK_ONFAULT) != 0) return -1;
  if (madvise(memory, 4096, MADV_DONTDUMP) != 0) return -1;
  return munmap(memory, 4096) + close(file);
}

const Call kLetThrough[] = {
    {"a file to read", [] { return open("/etc/passwd", O_RDONLY | O_CLOEXEC); }},
    {"what it is", [] { return access("/etc/passwd", R_OK); }},
    {"shared memory", share_memory},
    {"netlink", [] { return socket(AF_NETLINK, SOCK_RAW, 0); }},
    {"interfaces", ask_for_an_interface},
    {"flags of a descriptor",
     [] { return fcntl(0, F_SETFL, fcntl(0, F_GETFL)) + fcntl(0, F_SETFD, fcntl(0, F_GETFD)); }},
    {"another like it", [] { return fcntl(0, F_DUPFD_CLOEXEC, 0); }},
    {"epoll", [] { return epoll_create1(EPOLL_CLOEXEC); }},
    {"eventfd", [] { return eventfd(0, EFD_NONBLOCK); }},
    {"timerfd", [] { return timerfd_create(CLOCK_MONOTONIC, 0); }},
    {"a socket file removed",
     [] { return unlink("/tmp/gmesp-none") != 0 && errno == ENOENT ? 0 : -1; }},
    {"its own thread told", [] { return syscall(SYS_tgkill, getpid(), gettid(), 0); }},
    {"memory", [] { return brk(sbrk(0)); }},
};

// The first call that is not as it should be; "": none.
std::string judge(UnixSockets unix_sockets) {
  const bool connects = connect_to_nobody() >= 0;
  if (connects != (unix_sockets == UnixSockets::allowed)) return "a Unix socket";
  for (const Call& call : kForbidden) {
    errno = 0;
    if (call.make() >= 0 || errno != EPERM) return std::string("not stopped: ") + call.what;
  }
  for (const Call& call : kLetThrough) {
    if (call.make() < 0) return std::string("stopped: ") + call.what + ": " + std::strerror(errno);
  }
  return "";
}

// In the child: what both its threads say.
std::string judge_in_two_threads(UnixSockets unix_sockets) {
  std::atomic<bool> restricted = false;
  std::string of_other;
  std::thread other([&] {
    while (!restricted) usleep(1000);
    of_other = judge(unix_sockets);
  });
  restrict_system_calls(unix_sockets);
  restricted = true;
  other.join();
  return judge(unix_sockets) + of_other;
}

void expect_those_that_gmespd_needs(UnixSockets unix_sockets) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::string said;
    try {
      said = judge_in_two_threads(unix_sockets);
    } catch (const std::exception& error) {
      said = error.what();
    }
    [[maybe_unused]] const ssize_t written = write(ends[1], said.data(), said.size());
    _exit(7);
  }
  close(ends[1]);
  char said[256] = {};
  EXPECT_EQ(read(ends[0], said, sizeof said - 1), 0) << said;
  close(ends[0]);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << "nothing is killed: " << status;
}

TEST(SystemCalls, AreThoseThatGmespdNeedsInEveryThread) {
  expect_those_that_gmespd_needs(UnixSockets::refused);
}

TEST(SystemCalls, LetDevicesConnectAgainThatHaveSockets) {
  expect_those_that_gmespd_needs(UnixSockets::allowed);
}

}  // namespace
}  // namespace gmesp
