// SPDX-License-Identifier: BSD-3-Clause
// The control socket under good, bad, slow and dead clients: a control thread and workers on their
// own threads, and clients over real sockets.
#include "control/control_socket.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "control/listener.h"
#include "tests/control_client.h"
#include "tests/served_by_hand.h"

namespace gmesp {
namespace {

const std::string kCount = R"({"command":"sa count"})";
const std::string kExplain = R"({"command":"drops","explain":true})";

std::string add(uint32_t spi) {
  return R"({"command":"sa add","dir":"in","spi":)" + std::to_string(spi) +
         R"(,"src":"198.51.100.7","dst":"192.0.2.1","proto":"any","alg":"hmac-md5-96",)" +
         R"("auth-key":"000102030405060708090a0b0c0d0e0f","ealg":"null"})";
}

class ControlSocketTest : public testing::Test {
 protected:
  std::string path_ = socket_path("control.sock");
  RunningControl running_{path_, {.workers = 2, .capacity = 4096}};
};

TEST_F(ControlSocketTest, AnswersWhatIsSentWithoutWaitingInOrder) {
  ControlClient client(path_);
  constexpr uint32_t kSas = 1000;
  std::thread sender([&] {
    for (uint32_t i = 0; i < kSas; ++i) ASSERT_TRUE(client.send(add(256 + i)));
  });
  for (uint32_t i = 0; i < kSas; ++i) {
    const auto answer = nlohmann::json::parse(client.receive());
    EXPECT_EQ(answer.value("done", ""), "added") << answer;
    EXPECT_EQ(std::stoul(answer.value("spi", "0"), nullptr, 16), 256 + i);
  }
  sender.join();
  EXPECT_EQ(client.ask(kCount)["in"], kSas);
}

TEST_F(ControlSocketTest, RefusesBadRecordsAndServesOn) {
  ControlClient client(path_);
  const std::string oversize = "{\"command\":\"" + std::string(kMaxRecordBytes, 'x') + "\"}";
  const std::string longest = std::string(kMaxRecordBytes - kCount.size(), ' ') + kCount;
  EXPECT_EQ(client.ask("").value("code", ""), "not_json");
  EXPECT_EQ(client.ask("status").value("code", ""), "not_json");
  EXPECT_EQ(client.ask(std::string(1000, '\0')).value("code", ""), "not_json");
  EXPECT_EQ(client.ask(oversize).value("code", ""), "too_long");
  EXPECT_EQ(client.ask(longest + " ").value("code", ""), "too_long");
  EXPECT_EQ(client.ask(longest).value("total", 99), 0);
  EXPECT_EQ(client.ask(kCount).value("total", 99), 0);
}

TEST_F(ControlSocketTest, OutlivesRandomBytes) {
  std::mt19937 random(7);
  ControlClient client(path_);
  ControlClient bystander(path_);
  for (int i = 0; i < 3000; ++i) {
    std::string record = i % 2 == 0 ? add(256) : std::string(random() % 300, '\0');
    const size_t changes = 1 + random() % 20;
    for (size_t k = 0; k < changes && !record.empty(); ++k) {
      record[random() % record.size()] = static_cast<char>(random());
    }
    const auto answer = client.ask(record);
    ASSERT_TRUE(answer.is_object());
    if (i % 100 != 0) continue;
    EXPECT_TRUE(bystander.ask(kCount).contains("total"));
  }
}

TEST_F(ControlSocketTest, ServesOthersWhileOneDoesNotRead) {
  ControlClient silent(path_);
  ControlClient slow(path_);
  fcntl(slow.fd(), F_SETFL, O_NONBLOCK);
  // Until both buffers are full: its answers fill the way back, its requests the way there.
  size_t sent = 0;
  for (int idle = 0; idle < 50;) {
    if (slow.send(kExplain)) {
      ++sent;
      idle = 0;
    } else {
      ++idle;
      usleep(1000);
    }
  }
  ControlClient other(path_);
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(other.ask(add(256 + i)).value("done", ""), "added");
  // When it reads at last, it has lost nothing.
  for (size_t i = 0; i < sent; ++i) ASSERT_NE(slow.receive().find("\"total\""), std::string::npos);
  EXPECT_EQ(slow.ask(kCount)["in"], 100);
}

TEST_F(ControlSocketTest, LosesNothingOverClientsThatDie) {
  for (uint32_t i = 0; i < 300; ++i) {
    ControlClient dying(path_);
    ASSERT_TRUE(dying.send(add(256 + i)));
    ASSERT_TRUE(dying.send(kExplain));
    if (i % 3 == 0) dying.receive();
  }
  ControlClient client(path_);
  uint64_t total = 0;
  for (int i = 0; i < 2000 && total < 300; ++i) {
    total = client.ask(kCount).value("in", uint64_t{0});
    usleep(1000);
  }
  EXPECT_EQ(total, 300u);
}

TEST_F(ControlSocketTest, AnswersAClientThatHasEndedItsRequests) {
  ControlClient client(path_);
  ASSERT_TRUE(client.send(add(256)));
  ASSERT_TRUE(client.send(kCount));
  shutdown(client.fd(), SHUT_WR);
  EXPECT_NE(client.receive().find("added"), std::string::npos);
  EXPECT_NE(client.receive().find("\"total\":1"), std::string::npos);
  EXPECT_EQ(client.receive(), "");
}

TEST_F(ControlSocketTest, RefusesMoreClientsThanItMayHave) {
  std::vector<std::unique_ptr<ControlClient>> clients;
  for (size_t i = 0; i < ControlSocket::kMaxConnections; ++i) {
    clients.push_back(std::make_unique<ControlClient>(path_));
    ASSERT_TRUE(clients.back()->ask(kCount).contains("total")) << i;
  }
  // One by one that may have taken longer than kIdle; now nobody has been idle for so long.
  for (const auto& client : clients) ASSERT_TRUE(client->send(kCount));
  ControlClient refused(path_);
  EXPECT_NE(refused.receive().find("too_many_connections"), std::string::npos);
  EXPECT_EQ(refused.receive(), "");
  clients.pop_back();
  bool served = false;
  for (int i = 0; i < 1000 && !served; ++i) {
    ControlClient next(path_);
    served = next.send(kCount, MSG_DONTWAIT) && next.receive().find("total") != std::string::npos;
  }
  EXPECT_TRUE(served);
}

TEST_F(ControlSocketTest, LetsOwnerAndGroupIn) {
  struct stat file {};
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0660u);
}

TEST_F(ControlSocketTest, DoesNotTakeOverALivingSocket) {
  EXPECT_THROW(listen_on(path_, ""), std::runtime_error);
  ControlClient client(path_);
  EXPECT_TRUE(client.ask(kCount).contains("total"));
}

TEST(Listener, ReplacesASocketNobodyListensOn) {
  const std::string path = socket_path("stale.sock");
  { const FileDescriptor gone = listen_on(path, ""); }
  ASSERT_EQ(access(path.c_str(), F_OK), 0);
  EXPECT_TRUE(listen_on(path, ""));
  unlink(path.c_str());
}

TEST(Listener, LeavesOtherFilesAlone) {
  const std::string path = socket_path("notes.txt");
  std::ofstream(path) << "mine";
  EXPECT_THROW(listen_on(path, ""), std::runtime_error);
  std::string text;
  std::ifstream(path) >> text;
  EXPECT_EQ(text, "mine");
  unlink(path.c_str());
}

TEST(Listener, SaysWhatMendsIt) {
  const auto message = [](const std::string& path, const std::string& group) -> std::string {
    try {
      listen_on(path, group);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message(socket_path("a"), "no-such-group").find("groupadd"), std::string::npos);
  EXPECT_NE(message("/proc/gmesp.sock", "").find("choose"), std::string::npos);
  EXPECT_NE(message("/proc/gmesp/a", "").find("install -d -m 0750"), std::string::npos);
  EXPECT_NE(message("/tmp/" + std::string(200, 'x'), "").find("107"), std::string::npos);
}

TEST(Listener, MakesTheFolderForTheGroup) {
  const std::string folder = socket_path("run");
  const std::string path = folder + "/gmespd.sock";
  const group* own = getgrgid(getegid());
  ASSERT_NE(own, nullptr);
  const FileDescriptor fd = listen_on(path, own->gr_name);
  struct stat made {};
  ASSERT_EQ(stat(folder.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 07777, 0750u);
  EXPECT_EQ(made.st_gid, getegid());
  unlink(path.c_str());
  rmdir(folder.c_str());
}

TEST(Listener, SetsTheGroup) {
  const std::string path = socket_path("group.sock");
  const group* own = getgrgid(getegid());
  ASSERT_NE(own, nullptr);
  const FileDescriptor fd = listen_on(path, own->gr_name);
  struct stat file {};
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_gid, getegid());
  unlink(path.c_str());
}

// Time is an argument here, so that nobody waits ten seconds.
TEST_F(ServedByHand, DisconnectsAClientThatNeverReads) {
  ControlClient& client = connect();
  ControlClient& reader = connect();
  fcntl(client.fd(), F_SETFL, O_NONBLOCK);
  for (int i = 0; i < 3000; ++i) {
    client.send(kExplain);
    serve();
  }
  ASSERT_EQ(socket_->connections(), 2u);
  const auto now = std::chrono::steady_clock::now();
  socket_->disconnect_stalled(now);
  EXPECT_EQ(socket_->connections(), 2u);
  socket_->disconnect_stalled(now + ControlSocket::kPatience);
  EXPECT_EQ(socket_->connections(), 1u);
  EXPECT_TRUE(is_served(reader));
}

TEST_F(ServedByHand, GivesThePlaceOfTheClientIdleLongestToANewOne) {
  fill();
  std::this_thread::sleep_for(ControlSocket::kIdle);
  ASSERT_TRUE(is_served(*clients_[0]));
  ControlClient& next = connect();
  // Asked, but not served before the new client.
  ASSERT_TRUE(clients_[1]->send(kCount));
  serve();
  EXPECT_EQ(socket_->connections(), ControlSocket::kMaxConnections);
  EXPECT_NE(clients_[1]->receive(0).find("total"), std::string::npos);
  EXPECT_NE(clients_[2]->receive(0).find("too_many_connections"), std::string::npos);
  EXPECT_FALSE(clients_[2]->send(kCount));
  EXPECT_TRUE(is_served(next));
  for (const size_t kept : {0u, 1u, 3u, 255u}) EXPECT_TRUE(is_served(*clients_[kept])) << kept;
}

TEST_F(ServedByHand, RefusesANewClientWhileNoneIsIdle) {
  fill();
  std::this_thread::sleep_for(ControlSocket::kIdle);
  for (const auto& client : clients_) ASSERT_TRUE(is_served(*client));
  ControlClient& refused = connect();
  serve();
  EXPECT_NE(refused.receive(0).find("too_many_connections"), std::string::npos);
  EXPECT_FALSE(refused.send(kCount));
  EXPECT_TRUE(is_served(*clients_[0]));
}

TEST_F(ServedByHand, RemovesItsOwnFile) {
  ASSERT_EQ(access(path_.c_str(), F_OK), 0);
  socket_.reset();
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(ServedByHand, LeavesTheSocketOfItsSuccessor) {
  unlink(path_.c_str());
  const FileDescriptor successor = listen_on(path_, "");
  socket_.reset();
  EXPECT_TRUE(ControlClient(path_).connected());
  unlink(path_.c_str());
}

}  // namespace
}  // namespace gmesp
