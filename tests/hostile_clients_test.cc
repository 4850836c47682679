// SPDX-License-Identifier: BSD-3-Clause
// The control socket between processes: those that want every place, those of users that it is not
// for, a thousand connections, records of a megabyte.
#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/control_client.h"
#include "tests/ring_client.h"

namespace gmesp {
namespace {

const std::string kCount = R"({"command":"sa count"})";
constexpr gid_t kGroup = 54321;
constexpr uid_t kStranger = 65534;

// A process of its own: made before there are threads, let go when the socket is there.
class Process {
 public:
  explicit Process(std::function<int()> body) {
    int ends[2];
    if (pipe(ends) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // some bodies have no end of their own
      close(ends[1]);
      char start;
      if (read(ends[0], &start, 1) != 1) _exit(99);
      _exit(body());
    }
    close(ends[0]);
    start_ = FileDescriptor(ends[1]);
  }
  ~Process() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void start() { EXPECT_EQ(write(start_.get(), "x", 1), 1); }
  int result() {
    int status = -1;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  FileDescriptor start_;
  pid_t pid_ = -1;
};

class HostileClientsTest : public testing::Test {
 protected:
  void serve() { running_.emplace(path_, RigConfig{.workers = 1, .capacity = 64}); }
  // As many as there are places, each with a question in flight, and again where one is lost.
  int want_all() const {
    std::vector<std::unique_ptr<ControlClient>> clients(ControlSocket::kMaxConnections);
    while (true) {
      for (auto& client : clients) {
        if (!client || !client->send(kCount)) {
          client = std::make_unique<ControlClient>(path_);
          client->send(kCount);
        }
      }
      for (auto& client : clients) client->receive(0);
    }
  }

  std::unique_ptr<RingClient> connect_ring() const {
    SocketClient client(path_);
    client.send(std::string(client::kRingRequest));
    return std::make_unique<RingClient>(client.take());
  }
  // As many rings as there are, each anew where it was turned away or taken.
  int want_all_rings() const {
    std::vector<std::unique_ptr<RingClient>> rings(RingServer::kMaxRings);
    while (true) {
      for (auto& ring : rings) {
        if (!ring || !ring->connected() || !ring->bells()) ring = connect_ring();
      }
    }
  }
  // Whether gmespd answers a command of it.
  static bool is_served(RingClient& ring, uint32_t ue) {
    if (!ring.connected() || !ring.put(register_record(ue, ue))) return false;
    ring.ring();
    for (int i = 0; i < 20000; ++i) {
      if (const auto answer = ring.get()) return answer->head.token == ue;
      usleep(1000);
    }
    return false;
  }
  nlohmann::json ring_counts() const {
    return ControlClient(path_).ask(R"({"command":"status"})")["rings"];
  }

  std::string path_ = socket_path("hostile.sock");
  std::optional<RunningControl> running_;
};

TEST_F(HostileClientsTest, AProcessThatWantsEveryPlaceKeepsNobodyOut) {
  Process greedy([this] { return want_all(); });
  serve();
  greedy.start();
  usleep(500'000);
  std::vector<std::unique_ptr<ControlClient>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<ControlClient>(path_));
    ASSERT_TRUE(clients.back()->ask(kCount).contains("total")) << i;
  }
  for (auto& client : clients) EXPECT_TRUE(client->ask(kCount).contains("total"));
}

TEST_F(HostileClientsTest, IsForRootOwnerAndGroupWhateverTheFileSays) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user takes root";
  const auto ask_as = [this](std::vector<gid_t> groups) {
    if (setgroups(groups.size(), groups.data()) != 0 || setgid(kStranger) != 0 ||
        setuid(kStranger) != 0) {
      return 98;
    }
    ControlClient client(path_);
    if (!client.connected()) return 97;
    client.send(kCount);
    const std::string answer = client.receive();
    if (answer.find("not_permitted") != std::string::npos) return client.receive().empty() ? 1 : 96;
    return answer.find("total") != std::string::npos ? 0 : 95;
  };
  Process stranger([&] { return ask_as({}); });
  Process other_group([&] { return ask_as({kGroup + 1, kGroup + 2}); });
  Process member([&] { return ask_as({kGroup + 1, kGroup}); });
  serve();
  ASSERT_EQ(chown(path_.c_str(), 0, kGroup), 0);
  ASSERT_EQ(chmod(path_.c_str(), 0666), 0) << "somebody's mistake";
  for (Process* process : {&stranger, &other_group, &member}) process->start();
  EXPECT_EQ(stranger.result(), 1);
  EXPECT_EQ(other_group.result(), 1);
  EXPECT_EQ(member.result(), 0);
  ControlClient root(path_);
  EXPECT_TRUE(root.ask(kCount).contains("total"));
}

TEST_F(HostileClientsTest, AnswersOrTurnsAwayEachOfAThousandConnections) {
  Process many([this] {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    std::vector<std::unique_ptr<ControlClient>> clients;
    size_t served = 0, refused = 0;
    for (int i = 0; i < 1000; ++i) {
      clients.push_back(std::make_unique<ControlClient>(path_));
      if (!clients.back()->connected()) return 97;
      clients.back()->send(kCount);
      const std::string answer = clients.back()->receive();
      served += answer.find("total") != std::string::npos;
      refused += answer.find("too_many_connections") != std::string::npos;
    }
    return served >= ControlSocket::kMaxConnections && served + refused == 1000 ? 0 : 1;
  });
  serve();
  many.start();
  EXPECT_EQ(many.result(), 0);
  ControlClient client(path_);
  EXPECT_TRUE(client.ask(kCount).contains("total"));
}

// Two such processes, that one has all and the other wants them; a third of the rings is ours.
TEST_F(HostileClientsTest, ProcessesThatWantEveryRingKeepNobodyOut) {
  Process greedy([this] { return want_all_rings(); });
  Process other([this] { return want_all_rings(); });
  serve();
  greedy.start();
  for (int i = 0; i < 2000 && ring_counts()["connected"] != RingServer::kMaxRings; ++i) {
    usleep(10'000);
  }
  ASSERT_EQ(ring_counts()["connected"], RingServer::kMaxRings);
  other.start();
  std::vector<std::unique_ptr<RingClient>> rings;
  for (uint32_t ue = 0; ue < RingServer::kMaxRings / 3; ++ue) {
    rings.push_back(connect_ring());
    ASSERT_TRUE(is_served(*rings.back(), ue)) << rings.back()->text();
  }
  usleep(200'000);
  for (uint32_t ue = 0; ue < rings.size(); ++ue) {
    EXPECT_TRUE(rings[ue]->bells()) << ue << " was taken";
    EXPECT_TRUE(is_served(*rings[ue], 1000 + ue)) << ue;
  }
  const nlohmann::json counts = ring_counts();
  EXPECT_EQ(counts["connected"], RingServer::kMaxRings);
  EXPECT_GE(counts["turned_away"], rings.size());
}

TEST_F(HostileClientsTest, AnswersOrTurnsAwayEachOfAThousandRings) {
  Process many([this] {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    std::vector<std::unique_ptr<RingClient>> rings;
    size_t served = 0, refused = 0;
    for (uint32_t ue = 0; ue < 1000; ++ue) {
      rings.push_back(connect_ring());
      served += rings.back()->connected() && is_served(*rings.back(), ue);
      refused += rings.back()->text().find("too_many_connections") != std::string::npos;
    }
    return served == RingServer::kMaxRings && served + refused == 1000 ? 0 : 1;
  });
  serve();
  many.start();
  EXPECT_EQ(many.result(), 0);
  EXPECT_TRUE(is_served(*connect_ring(), 7)) << "of another process";
}

// They ask, and leave the answer where it is.
TEST_F(HostileClientsTest, ProcessesThatTakeNoRingKeepNobodyFromTheirs) {
  std::vector<std::unique_ptr<Process>> greedy;
  for (int i = 0; i < 16; ++i) {
    greedy.push_back(std::make_unique<Process>([this] {
      std::vector<std::unique_ptr<ControlClient>> clients;
      for (int asked = 0; asked < 100; ++asked) {
        clients.push_back(std::make_unique<ControlClient>(path_));
        clients.back()->send(std::string(client::kRingRequest));
      }
      pause();
      return 0;
    }));
  }
  serve();
  for (const auto& process : greedy) process->start();
  for (int i = 0; i < 2000 && ring_counts()["turned_away"] < 100; ++i) usleep(10'000);
  ASSERT_GE(ring_counts()["turned_away"], 100);
  EXPECT_TRUE(is_served(*connect_ring(), 7)) << "of another process of that user";
}

TEST_F(HostileClientsTest, RefusesARecordOfAMegabyte) {
  serve();
  ControlClient client(path_);
  const int megabytes = 4 << 20;
  if (setsockopt(client.fd(), SOL_SOCKET, SO_SNDBUFFORCE, &megabytes, sizeof megabytes) != 0) {
    GTEST_SKIP() << "the kernel lets only root send so much at once";
  }
  for (const char filling : {'x', '\0', '{', '"', '\xff'}) {
    const auto answer = client.ask(std::string(1 << 20, filling));
    EXPECT_EQ(answer.value("code", ""), "too_long");
  }
  EXPECT_TRUE(client.ask(kCount).contains("total"));
}

}  // namespace
}  // namespace gmesp
