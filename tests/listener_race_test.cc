// SPDX-License-Identifier: BSD-3-Clause
// The owner of the control socket's folder puts something else in the place of what root has just
// made: nothing outside the folder changes its mode or owner. Calls of listen_on() come by here.
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

#include "control/listener.h"

namespace {

std::function<void()> after_bind = [] {};
std::function<void()> after_mkdir = [] {};

}  // namespace

extern "C" int bind(int fd, const sockaddr* address, socklen_t bytes) noexcept {
  const auto result = static_cast<int>(syscall(SYS_bind, fd, address, bytes));
  after_bind();
  return result;
}

extern "C" int mkdir(const char* path, mode_t mode) noexcept {
  const auto result = static_cast<int>(syscall(SYS_mkdir, path, mode));
  after_mkdir();
  return result;
}

namespace gmesp {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kStranger = 65534;

class ListenerRaceTest : public testing::Test {
 protected:
  ListenerRaceTest() {
    char folder[] = "/tmp/listener_race_test_XXXXXX";
    folder_ = mkdtemp(folder);
    socket_ = folder_ + "/gmespd.sock";
    secret_ = folder_ + "/secret";
    std::ofstream(secret_) << "root's";
    EXPECT_EQ(chmod(secret_.c_str(), 0600), 0);
  }
  ~ListenerRaceTest() override {
    after_bind = after_mkdir = [] {};
    fs::remove_all(folder_);
  }
  // As root to another user, else to our own group.
  static FileDescriptor listen_for_another(const std::string& path) {
    const group* own = getgrgid(getegid());
    std::optional<Account> owner;
    if (geteuid() == 0) owner = Account{"stranger", kStranger, kStranger};
    return listen_on(path, own->gr_name, owner);
  }
  static struct stat look(const std::string& file) {
    struct stat found {};
    EXPECT_EQ(stat(file.c_str(), &found), 0);
    return found;
  }
  void expect_untouched(const std::string& file, mode_t mode) const {
    EXPECT_EQ(look(file).st_mode & 07777, mode);
    EXPECT_EQ(look(file).st_uid, geteuid());
  }

  std::string folder_;
  std::string socket_;
  std::string secret_;
};

TEST_F(ListenerRaceTest, FollowsNoLinkInThePlaceOfTheSocket) {
  after_bind = [this] {
    unlink(socket_.c_str());
    EXPECT_EQ(symlink(secret_.c_str(), socket_.c_str()), 0);
  };
  EXPECT_THROW(listen_for_another(socket_), std::runtime_error);
  expect_untouched(secret_, 0600);
}

TEST_F(ListenerRaceTest, GivesNoSocketAwayThatHasAnotherName) {
  if (geteuid() != 0) GTEST_SKIP() << "giving files away takes root";
  const std::string other = folder_ + "/other.sock";
  const FileDescriptor others = listen_on(other, "");
  after_bind = [&] {
    unlink(socket_.c_str());
    EXPECT_EQ(link(other.c_str(), socket_.c_str()), 0);
  };
  EXPECT_THROW(listen_for_another(socket_), std::runtime_error);
  expect_untouched(other, 0660);
}

TEST_F(ListenerRaceTest, FollowsNoLinkInThePlaceOfTheFolder) {
  const std::string run = folder_ + "/run";
  const std::string outside = folder_ + "/outside";
  ASSERT_EQ(syscall(SYS_mkdir, outside.c_str(), 0700), 0);
  after_mkdir = [&] {
    rmdir(run.c_str());
    EXPECT_EQ(symlink(outside.c_str(), run.c_str()), 0);
  };
  EXPECT_THROW(listen_for_another(run + "/gmespd.sock"), std::runtime_error);
  expect_untouched(outside, 0700);
}

TEST_F(ListenerRaceTest, TheFileIsForOwnerAndGroupWhateverTheUmask) {
  for (const mode_t mask : {0000u, 0022u, 0077u}) {
    const mode_t before = umask(mask);
    const FileDescriptor fd = listen_for_another(socket_);
    umask(before);
    EXPECT_EQ(look(socket_).st_mode & 07777, 0660u) << mask;
  }
}

}  // namespace
}  // namespace gmesp
