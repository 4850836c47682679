// SPDX-License-Identifier: BSD-3-Clause
// A user of this machine.
#pragma once

#include <pwd.h>
#include <sys/types.h>

#include <optional>
#include <string>

namespace gmesp {

struct Account {
  std::string name;
  uid_t uid;
  gid_t gid;  // its own group
};

inline std::optional<Account> find_account(const std::string& name) {
  const passwd* found = getpwnam(name.c_str());
  if (found == nullptr) return std::nullopt;
  return Account{name, found->pw_uid, found->pw_gid};
}

}  // namespace gmesp
