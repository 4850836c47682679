// SPDX-License-Identifier: BSD-3-Clause
// Clients that send descriptors which somebody has to drop, and that took their time over it: TCP
// connections that linger. Each test is a process of its own, one half of them under a kernel that
// cannot refuse descriptors (made by a filter, where the real one can).
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "control/client/records.h"
#include "control/client_socket.h"
#include "tests/control_client.h"
#include "tests/process_status.h"

namespace gmesp {
namespace {

using std::chrono::steady_clock;

const std::string kCount = R"({"command":"sa count"})";
const std::string kExplain = R"({"command":"drops","explain":true})";
constexpr int kPassRights = 83;  // SO_PASSRIGHTS
constexpr int kLingerSeconds = 8;
constexpr std::chrono::seconds kStalled{4};
// Both ends of connections that come and go, the attackers, files that are read meanwhile.
constexpr size_t kFew = 40;
constexpr int kMany = 60;
static_assert(kStalled < std::chrono::seconds(kLingerSeconds), "waiting for one is told from none");

enum Result {
  kServed = 0,
  kFailed = 1,
  kNotSent = 2,
  kStalledOthers = 3,
  kNotThrownOut = 4,
  kHeldDescriptors = 5
};

// What an older kernel says of an option that it does not know.
void forget_the_option() {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  for (const int call : {SCMP_SYS(setsockopt), SCMP_SYS(getsockopt)}) {
    const scmp_arg_cmp is_it{2, SCMP_CMP_EQ, kPassRights, 0};
    seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOPROTOOPT), call, 1, &is_it);
  }
  seccomp_load(filter);
  seccomp_release(filter);
}

// A connection whose other end does not read, and whose last owner waits.
class LingeringConnection {
 public:
  LingeringConnection() {
    const FileDescriptor listener(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    auto* name = reinterpret_cast<sockaddr*>(&address);
    bind(listener.get(), name, bytes);
    listen(listener.get(), 1);
    getsockname(listener.get(), name, &bytes);
    ours = FileDescriptor(socket(AF_INET, SOCK_STREAM, 0));
    connect(ours.get(), name, bytes);
    other_end = FileDescriptor(accept(listener.get(), nullptr, nullptr));
    const std::vector<char> filling(1 << 16);
    while (send(ours.get(), filling.data(), filling.size(), MSG_DONTWAIT) > 0) {
    }
    const linger wait{1, kLingerSeconds};
    setsockopt(ours.get(), SOL_SOCKET, SO_LINGER, &wait, sizeof wait);
  }
  FileDescriptor ours;
  FileDescriptor other_end;
};

// All its threads have stopped when it returns: one that still ran could drop what is sent now, and
// leave the sender with the last end of the connection.
void stop(pid_t process) {
  kill(process, SIGSTOP);
  for (const auto& thread :
       std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
    const auto state = [&] { return status_value(thread.path() / "status", "State"); };
    for (std::string now = state(); now != "T" && !now.empty(); now = state()) usleep(100);
  }
}

// From now on nobody but the receiver has it: the server, our parent, stands still until then.
// False: the kernel would not.
bool send_away(int socket, const std::string& record, LingeringConnection& connection) {
  iovec part{const_cast<char*>(record.data()), record.size()};
  const int descriptor = connection.ours.get();
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  stop(getppid());
  const bool sent = sendmsg(socket, &message, MSG_NOSIGNAL) >= 0;
  if (sent) connection.ours = FileDescriptor();
  kill(getppid(), SIGCONT);
  return sent;
}

// Answers until the server hangs up.
bool hears_the_end(ControlClient& client) {
  const auto end = steady_clock::now() + std::chrono::seconds(10);
  while (steady_clock::now() < end) {
    pollfd state{client.fd(), POLLIN | POLLRDHUP, 0};
    poll(&state, 1, 10000);
    char record[16];
    const ssize_t got = recv(client.fd(), record, sizeof record, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && !would_block())) return true;
  }
  return false;
}

// More than there is room for: the server does not read on, and what is sent now waits.
void leave_answers_unread(ControlClient& client) {
  for (int i = 0; i < 150; ++i) client.send(kExplain);
  usleep(100'000);
}

Result read_later(ControlClient& client, LingeringConnection& connection) {
  leave_answers_unread(client);
  if (!send_away(client.fd(), kCount, connection)) return kNotSent;
  return hears_the_end(client) ? kServed : kNotThrownOut;
}

// Dropped with the connection, unread.
Result never_read(ControlClient& client, LingeringConnection& connection) {
  leave_answers_unread(client);
  if (!send_away(client.fd(), kCount, connection)) return kNotSent;
  client.take();
  sleep(kLingerSeconds);  // the connection lives on
  return kServed;
}

// One behind the other: each is closed, however long it would wait.
Result many_never_read(ControlClient& client, LingeringConnection&) {
  sockaddr_un server{};
  socklen_t bytes = sizeof server;
  getpeername(client.fd(), reinterpret_cast<sockaddr*>(&server), &bytes);
  std::vector<std::unique_ptr<LingeringConnection>> connections;
  for (int i = 0; i < kMany; ++i) {
    ControlClient next(server.sun_path);
    connections.push_back(std::make_unique<LingeringConnection>());
    if (!send_away(next.fd(), kCount, *connections.back())) return kNotSent;
  }
  sleep(2);
  return kServed;
}

Result beside_a_bell(ControlClient& client, LingeringConnection& connection) {
  client.send(std::string(client::kRingRequest));
  client.receive();
  if (!send_away(client.fd(), "x", connection)) return kNotSent;
  return hears_the_end(client) ? kServed : kNotThrownOut;
}

using Attack = Result (*)(ControlClient&, LingeringConnection&);

Result attack(const std::string& path, Attack how) {
  LingeringConnection connection;
  for (int i = 0; i < 1000; ++i) {
    ControlClient client(path);
    if (client.connected()) return how(client, connection);
    usleep(10'000);  // until the server is there
  }
  return kFailed;
}

size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

// A child that outlived a test that crashed would attack nobody for ever.
pid_t fork_that_dies_with_us() {
  const pid_t child = fork();
  if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  return child;
}

// Serves beside the attack, and asks as another client all the while.
Result serve_beside(Attack how, bool refusing) {
  const std::string path = socket_path("descriptors.sock");
  const pid_t attacker = fork_that_dies_with_us();
  if (attacker == 0) _exit(attack(path, how));
  if (!refusing) forget_the_option();
  steady_clock::duration longest{};
  size_t most_descriptors = 0;
  size_t descriptors = 0;
  int status = -1;
  {
    const RunningControl running(path, {.workers = 1, .capacity = 64});
    ControlClient bystander(path);
    descriptors = open_descriptors();
    const auto ask = [&] {
      ControlClient passing(path);  // and gone again
      most_descriptors = std::max(most_descriptors, open_descriptors());
      const auto start = steady_clock::now();
      if (!bystander.ask(kCount).contains("total")) longest = std::chrono::hours(1);
      longest = std::max(longest, steady_clock::now() - start);
      usleep(1000);
    };
    while (waitpid(attacker, &status, WNOHANG) == 0) ask();
    for (int i = 0; i < 500; ++i) ask();
  }
  if (longest > kStalled) return kStalledOthers;
  if (most_descriptors > descriptors + kFew) return kHeldDescriptors;
  return WIFEXITED(status) ? static_cast<Result>(WEXITSTATUS(status)) : kFailed;
}

Result in_a_process(Attack how, bool refusing) {
  const pid_t server = fork_that_dies_with_us();
  if (server == 0) _exit(serve_beside(how, refusing));
  int status = -1;
  waitpid(server, &status, 0);
  return WIFEXITED(status) ? static_cast<Result>(WEXITSTATUS(status)) : kFailed;
}

bool kernel_can_refuse() {
  const FileDescriptor probe(socket(AF_UNIX, SOCK_SEQPACKET, 0));
  refuse_descriptors(probe.get());
  return kernel_refuses_descriptors(probe.get());
}

TEST(SentDescriptors, AreRefusedByAKernelThatCan) {
  if (!kernel_can_refuse()) GTEST_SKIP() << "Linux 6.16 or later";
  EXPECT_EQ(in_a_process(read_later, true), kNotSent);
  EXPECT_EQ(in_a_process(beside_a_bell, true), kNotSent);
}

TEST(SentDescriptors, CostTheirSenderItsPlaceAndNobodyElseTime) {
  EXPECT_EQ(in_a_process(read_later, false), kServed);
}

TEST(SentDescriptors, CostNobodyTimeWhenTheyAreDroppedUnread) {
  EXPECT_EQ(in_a_process(never_read, false), kServed);
}

TEST(SentDescriptors, OfManyClientsKeepNoOtherDescriptorsOpen) {
  EXPECT_EQ(in_a_process(many_never_read, false), kServed);
}

TEST(SentDescriptors, CostTheirSenderItsRing) {
  EXPECT_EQ(in_a_process(beside_a_bell, false), kServed);
}

}  // namespace
}  // namespace gmesp
