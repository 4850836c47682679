// SPDX-License-Identifier: BSD-3-Clause
// libgmesp between processes: engines that start again, servers that fork, are many or are killed.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "control/client_socket.h"
#include "control/listener.h"
#include "tests/client_lab.h"

namespace gmesp {
namespace {

class GmespProcessesTest : public GmespClientTest {};

// Lets a traced process, which has stopped, go on until it has made this system call.
bool run_until_made(pid_t process, uint64_t call) {
  uint64_t begun = 0;
  int status = 0;
  if (waitpid(process, &status, 0) != process || !WIFSTOPPED(status)) return false;
  ptrace(PTRACE_SETOPTIONS, process, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  while (ptrace(PTRACE_SYSCALL, process, nullptr, nullptr) == 0 &&
         waitpid(process, &status, 0) == process && WIFSTOPPED(status)) {
    __ptrace_syscall_info now{};
    ptrace(PTRACE_GET_SYSCALL_INFO, process, sizeof now, &now);
    if (now.op == PTRACE_SYSCALL_INFO_ENTRY) begun = now.entry.nr;
    if (now.op == PTRACE_SYSCALL_INFO_EXIT && begun == call && now.exit.is_error == 0) return true;
  }
  return false;
}

// What gmesp_connect() says when gmespd wants no such client: it answers and hangs up, and reads
// nothing. The client is held behind its system call `call` for so long: no race decides.
int refused_behind(uint64_t call, Refusal why) {
  const std::string path = socket_path("refusing.sock");
  const FileDescriptor listener = listen_on(path, "");
  const pid_t client = fork();
  if (client == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    _exit(-Client(path).error);
  }
  EXPECT_TRUE(run_until_made(client, call));
  send_refusal(FileDescriptor(accept(listener.get(), nullptr, nullptr)).get(), why);
  ptrace(PTRACE_DETACH, client, nullptr, nullptr);
  int status = -1;
  waitpid(client, &status, 0);
  unlink(path.c_str());
  return WIFEXITED(status) ? -WEXITSTATUS(status) : 1;
}

TEST(GmespRefused, SaysWhyWhoeverIsFaster) {
  for (const uint64_t call : {uint64_t{SYS_connect}, uint64_t{SYS_sendto}}) {
    EXPECT_EQ(refused_behind(call, Refusal::too_many_connections), GMESP_ETOO_MANY) << call;
    EXPECT_EQ(refused_behind(call, Refusal::not_permitted), GMESP_EPERMISSION) << call;
  }
}

// R16
TEST_F(GmespProcessesTest, SaysThatTheEngineHasStartedAgain) {
  Client client(path_, GMESP_EVENT_BIT(GMESP_EVENT_AUTHENTICATION_TIMEOUT));
  const uint64_t handle = client.temporary(1);
  stop();
  uint64_t token = 0;
  EXPECT_EQ(gmesp_submit_refresh(client.get(), handle, 1, &token), 0) << "not known yet";
  Report report;
  int got = gmesp_poll(client.get(), &report);
  while (got == 1) got = gmesp_poll(client.get(), &report);
  EXPECT_EQ(error_code(got), "disconnected");
  EXPECT_EQ(error_code(gmesp_submit_refresh(client.get(), handle, 1, nullptr)), "disconnected");
  EXPECT_EQ(error_code(gmesp_refresh(client.get(), 1, 1, kWaitMs, nullptr)), "disconnected");
  EXPECT_EQ(error_code(gmesp_reconnect(client.get(), 100)), "no_engine");
  start();
  ASSERT_EQ(error_code(gmesp_reconnect(client.get(), kWaitMs)), "ok");
  ASSERT_EQ(gmesp_poll(client.get(), &report), 1);
  EXPECT_EQ(report.kind, static_cast<uint32_t>(GMESP_COMPLETION));
  EXPECT_EQ(report.token, token);
  EXPECT_EQ(error_code(report.error), "disconnected");
  ASSERT_EQ(gmesp_poll(client.get(), &report), 1);
  EXPECT_EQ(report.kind, static_cast<uint32_t>(GMESP_EVENT_ENGINE_RESTARTED));

  const uint64_t there = client.temporary(2);
  const uint64_t orphan = client.temporary(3);
  const uint64_t believed[] = {handle + 1000, there};
  ASSERT_EQ(gmesp_reconcile(client.get(), 0, believed, 2, kWaitMs, &report), 0);
  ASSERT_EQ(report.count, 1u);
  EXPECT_EQ(report.missing[0], handle + 1000);
  ASSERT_EQ(gmesp_finish_reconcile(client.get(), report.session, 1, kWaitMs, &report), 0);
  EXPECT_EQ(report.count, 1u) << "the orphan";
  ASSERT_EQ(gmesp_wait(client.get(), kWaitMs, &report), 1) << "subscribed again by reconnect";
  EXPECT_EQ(report.handle, orphan);
}

TEST_F(GmespProcessesTest, MarksEventsLostWhileItStaysConnected) {
  Client client(path_);
  ASSERT_EQ(gmesp_reconnect(client.get(), kWaitMs), 0);
  Report report;
  ASSERT_EQ(gmesp_poll(client.get(), &report), 1);
  EXPECT_EQ(report.kind, static_cast<uint32_t>(GMESP_EVENT_OVERFLOW)) << "the same gmespd";
}

TEST_F(GmespProcessesTest, DoesNotServeAChildOfItsProcess) {
  Client client(path_, GMESP_ALL_EVENTS);
  client.temporary(1);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Report report;
    bool right = gmesp_poll(client.get(), &report) == GMESP_EFORKED;
    right &= gmesp_submit_refresh(client.get(), 1, 1, nullptr) == GMESP_EFORKED;
    right &= gmesp_wait(client.get(), 0, &report) == GMESP_EFORKED;
    right &= gmesp_reconnect(client.get(), 0) == GMESP_EFORKED;
    right &= gmesp_refresh(client.get(), 1, 1, 0, nullptr) == GMESP_EFORKED;
    gmesp_close(client.get());
    Client own(path_);
    right &= own.error == 0 && own.registered(7) != 0;
    _exit(right ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  client.temporary(2);
}

// A child of the fork has the descriptor too, and closes it when it likes.
TEST_F(GmespProcessesTest, GivesItsRingBackWhileAChildLives) {
  auto client = std::make_unique<Client>(path_);
  int end[2];
  ASSERT_EQ(pipe(end), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(end[1]);
    char byte;
    _exit(static_cast<int>(read(end[0], &byte, 1)));
  }
  ControlClient operators(path_);
  const auto rings = [&] {
    return operators.ask(R"({"command":"status"})")["rings"].value("connected", -1);
  };
  EXPECT_EQ(rings(), 1);
  client.reset();
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (rings() != 0 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  EXPECT_EQ(rings(), 0);
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "it still lives";
  close(end[1]);
  waitpid(child, nullptr, 0);
  close(end[0]);
}

TEST_F(GmespProcessesTest, ServesManyConnectionsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Client client(path_);
      for (uint32_t i = 0; i < 100; ++i) {
        done += client.established(t * 1000 + i) != 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 400);
}

// SIP servers that die at any instruction: the engine serves on and their sets are there.
TEST_F(GmespProcessesTest, OutlivesClientsThatAreKilled) {
  std::mt19937 random(11);
  for (uint32_t life = 0; life < 40; ++life) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      Client client(path_, GMESP_ALL_EVENTS);
      for (uint32_t ue = life * 100;; ++ue) {
        const Keys keys(ue);
        Report report;
        gmesp_register(client.get(), &client.call(ue), kWaitMs, &report);
        gmesp_submit_challenge(client.get(), report.handle, keys.ck, keys.ik, nullptr, nullptr);
        if (ue % 4 == 0) {
          while (gmesp_poll(client.get(), &report) == 1) {
          }
        }
        if (ue == life * 100 + 4) ue = life * 100;  // few: no speed fills the engine
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 6000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  Client client(path_);
  ASSERT_EQ(error_code(client.error), "ok");
  EXPECT_NE(client.established(1u << 20), 0u);
  Report report;
  ASSERT_EQ(gmesp_reconcile(client.get(), 0, nullptr, 0, kWaitMs, &report), 0);
  ASSERT_EQ(gmesp_finish_reconcile(client.get(), report.session, 100000, kWaitMs, &report), 0);
  EXPECT_GT(report.count, 1u) << "sets of the dead";
}

}  // namespace
}  // namespace gmesp
