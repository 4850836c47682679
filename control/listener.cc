// SPDX-License-Identifier: BSD-3-Clause
#include "control/listener.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>

#include "control/client_socket.h"

namespace gmesp {
namespace {

constexpr int kBacklog = 128;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw std::runtime_error("control socket " + path + ": " + what);
}

[[noreturn]] void fail(const std::string& path, const char* call, const char* mend) {
  fail(path, std::string(call) + ": " + std::strerror(errno) + "; " + mend);
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) {
    fail(path, "the path has more than " + std::to_string(sizeof address.sun_path - 1) + " bytes");
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

std::optional<gid_t> group_id(const std::string& path, const std::string& name) {
  if (name.empty()) return std::nullopt;
  const group* found = getgrnam(name.c_str());
  if (found == nullptr) fail(path, "there is no group " + name + "; make it with groupadd " + name);
  return found->gr_gid;
}

// None: it stays as it is.
constexpr auto kKeep = static_cast<uid_t>(-1);

struct Ownership {
  uid_t user = kKeep;
  gid_t group = static_cast<gid_t>(-1);
  bool kept() const { return user == kKeep && group == static_cast<gid_t>(-1); }
  // The owner of a folder can put something else there between two calls: what is given away is
  // what was opened, not what has its name by now.
  bool give(const FileDescriptor& file) const {
    return kept() || fchownat(file.get(), "", user, group, AT_EMPTY_PATH) == 0;
  }
};

// /run is empty after a reboot: the socket's folder is made, for us and the socket's group. One
// that is there is somebody's and stays as it is.
void make_folder(const std::string& path, const Ownership& owner) {
  const std::filesystem::path folder = std::filesystem::absolute(path).parent_path();
  if (mkdir(folder.c_str(), 0700) != 0) {
    if (errno == EEXIST) return;
    fail(path, "cannot make the socket's folder: " + std::string(std::strerror(errno)) +
                   "; as root: install -d -m 0750 -o USER " + folder.string() +
                   ", or choose another [control] socket");
  }
  const FileDescriptor made(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!made || !owner.give(made) || fchmod(made.get(), 0750) != 0) {
    fail(path, "cannot give " + folder.string() + " to its owner: " + std::strerror(errno));
  }
}

const sockaddr* as_sockaddr(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

FileDescriptor new_socket(const std::string& path) {
  FileDescriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) fail(path, "socket", "raise the limit on open files (ulimit -n)");
  return fd;
}

// Only a connect tells a living socket from one left behind.
void remove_if_nobody_listens(const std::string& path, const sockaddr_un& address) {
  struct stat file {};
  if (lstat(path.c_str(), &file) != 0) return;
  if (!S_ISSOCK(file.st_mode)) fail(path, "a file that is no socket is in the way; remove it");
  const FileDescriptor probe = new_socket(path);
  if (connect(probe.get(), as_sockaddr(address), sizeof address) == 0 || errno != ECONNREFUSED) {
    fail(path, "another gmespd listens here; stop it or choose another socket in [control]");
  }
  unlink(path.c_str());
}

// No link to anything else that is ours.
void give_socket(const std::string& path, const Ownership& owner) {
  if (owner.kept()) return;
  const FileDescriptor file(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat found {};
  if (!file || fstat(file.get(), &found) != 0 || !S_ISSOCK(found.st_mode) || found.st_nlink != 1) {
    fail(path, "somebody has put another file in its place; see who may write to its folder");
  }
  if (!owner.give(file)) fail(path, "chown", "start as root, or as a member of the group");
}

// The file is born with its mode, which no later call changes by its name.
bool bind_for_owner_and_group(const FileDescriptor& fd, const sockaddr_un& address) {
  const mode_t before = umask(0117);
  const bool bound = bind(fd.get(), as_sockaddr(address), sizeof address) == 0;
  umask(before);
  return bound;
}

}  // namespace

FileDescriptor listen_on(const std::string& path, const std::string& group,
                         const std::optional<Account>& owner) {
  const sockaddr_un address = address_of(path);
  Ownership ownership;
  if (owner) ownership = {owner->uid, owner->gid};
  if (const auto gid = group_id(path, group)) ownership.group = *gid;
  make_folder(path, ownership);
  remove_if_nobody_listens(path, address);
  FileDescriptor fd = new_socket(path);
  refuse_descriptors(fd.get());
  if (!bind_for_owner_and_group(fd, address)) {
    fail(path, "bind", "start as root, or choose a folder that you may write to");
  }
  give_socket(path, ownership);
  // Nobody connects before: the group is set by now.
  if (listen(fd.get(), kBacklog) != 0) fail(path, "listen", "choose another socket in [control]");
  return fd;
}

}  // namespace gmesp
