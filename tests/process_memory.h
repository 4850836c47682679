// SPDX-License-Identifier: BSD-3-Clause
// Looks for bytes in everything that another process can write: heap, stacks, tables, what it
// shares. Takes CAP_SYS_PTRACE (gmespd cannot be traced by its own user).
#pragma once

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/file_descriptor.h"

namespace gmesp {

// What is looked for. A secret counts as found when eight of its bytes lie in a row anywhere
// (of text: twelve), at any alignment: also half a key is a find. So do three 32-bit words of it at
// the distance at which a SIMD lane keeps its neighbours.
class Secrets {
 public:
  void add(const std::string& name, std::span<const uint8_t> bytes) {
    for (size_t at = 0; at + kWindow <= bytes.size(); at += kWindow) add_window(name, bytes, at);
    if (bytes.size() % kWindow != 0 && bytes.size() > kWindow) {
      add_window(name, bytes, bytes.size() - kWindow);
    }
    if (bytes.size() >= 12 && varied(bytes.first(12))) {
      lanes_[word(bytes.data())].push_back({name, word(bytes.data() + 4), word(bytes.data() + 8)});
      filter_.set(filter_place(word(bytes.data())));
    }
  }
  void add_text(const std::string& name, std::string_view text) {
    for (size_t at = 0; at + kTextWindow <= text.size(); at += 4) {
      windows_[first_eight(text.data() + at)].push_back(
          {name, std::string(text.substr(at, kTextWindow))});
      filter_.set(filter_place(first_eight(text.data() + at)));
    }
  }

  // name -> where it was first found.
  using Found = std::map<std::string, std::string>;
  void find_in(std::string_view memory, const std::string& place, Found& found) const {
    for (size_t at = 0; at + kWindow <= memory.size(); ++at) {
      const uint64_t eight = first_eight(memory.data() + at);
      if (eight == 0) continue;
      if (filter_[filter_place(eight)]) look(eight, memory.substr(at), place, at, found);
      if (at % 4 == 0) look_for_lanes(memory, place, at, found);
    }
  }

 private:
  static constexpr size_t kWindow = 8;
  static constexpr size_t kTextWindow = 12;
  struct Window {
    std::string name;
    std::string bytes;
  };
  struct Lane {
    std::string name;
    uint32_t second, third;
  };

  static uint64_t first_eight(const char* bytes) {
    uint64_t eight;
    std::memcpy(&eight, bytes, sizeof eight);
    return eight;
  }
  static uint32_t word(const void* bytes) {
    uint32_t word;
    std::memcpy(&word, bytes, sizeof word);
    return word;
  }
  static size_t filter_place(uint64_t eight) { return eight * 0x9e3779b97f4a7c15u >> 44; }
  // Padding and counters are no secret.
  static bool varied(std::span<const uint8_t> bytes) {
    return std::set<uint8_t>(bytes.begin(), bytes.end()).size() >= 5;
  }
  void add_window(const std::string& name, std::span<const uint8_t> bytes, size_t at) {
    if (!varied(bytes.subspan(at, kWindow))) return;
    const auto* text = reinterpret_cast<const char*>(bytes.data()) + at;
    windows_[first_eight(text)].push_back({name, std::string(text, kWindow)});
    filter_.set(filter_place(first_eight(text)));
  }
  static void note(const std::string& name, const std::string& place, size_t at, Found& found) {
    char text[32];
    std::snprintf(text, sizeof text, " + 0x%zx", at);
    found.emplace(name, place + text);
  }
  void look(uint64_t eight, std::string_view memory, const std::string& place, size_t at,
            Found& found) const {
    const auto entry = windows_.find(eight);
    if (entry == windows_.end()) return;
    for (const Window& window : entry->second) {
      if (memory.starts_with(window.bytes)) note(window.name, place, at, found);
    }
  }
  void look_for_lanes(std::string_view memory, const std::string& place, size_t at,
                      Found& found) const {
    if (!filter_[filter_place(word(memory.data() + at))]) return;
    const auto entry = lanes_.find(word(memory.data() + at));
    if (entry == lanes_.end()) return;
    for (const size_t lanes : {size_t{4}, size_t{8}, size_t{16}}) {
      if (at + 8 * lanes + 4 > memory.size()) continue;
      for (const Lane& lane : entry->second) {
        if (word(memory.data() + at + 4 * lanes) == lane.second &&
            word(memory.data() + at + 8 * lanes) == lane.third) {
          note(lane.name + " in a lane", place, at, found);
        }
      }
    }
  }

  std::unordered_map<uint64_t, std::vector<Window>> windows_;
  std::unordered_map<uint32_t, std::vector<Lane>> lanes_;
  std::bitset<1 << 20> filter_;
};

// Calls `visit` with every run of pages that are there and that the process may write.
inline void for_each_writable_part(
    pid_t process, const std::function<void(std::string_view, const std::string&)>& visit) {
  constexpr size_t kPage = 4096;
  constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;
  const std::string folder = "/proc/" + std::to_string(process);
  // No streams: the kernel gives whole entries of a page map, or none.
  const FileDescriptor pages(open((folder + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC));
  const FileDescriptor memory(open((folder + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  std::ifstream maps(folder + "/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long from = 0, to = 0;
    char mode[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &from, &to, mode) != 3 || mode[1] != 'w') continue;
    std::vector<uint64_t> entries((to - from) / kPage);
    const size_t bytes = entries.size() * sizeof(uint64_t);
    const auto where = static_cast<off_t>(from / kPage * sizeof(uint64_t));
    if (pread(pages.get(), entries.data(), bytes, where) != static_cast<ssize_t>(bytes)) continue;
    const auto is_there = [&](size_t page) { return (entries[page] & kPresentOrSwapped) != 0; };
    for (size_t first = 0; first < entries.size(); ++first) {
      if (!is_there(first)) continue;
      size_t end = first;
      while (end < entries.size() && is_there(end)) ++end;
      std::string part((end - first) * kPage, '\0');
      const ssize_t got =
          pread(memory.get(), part.data(), part.size(), static_cast<off_t>(from + first * kPage));
      char at[32];
      std::snprintf(at, sizeof at, " at 0x%lx", from + first * kPage);
      if (got > 0) visit({part.data(), static_cast<size_t>(got)}, line + at);
      first = end;
    }
  }
}

}  // namespace gmesp
