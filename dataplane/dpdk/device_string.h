// SPDX-License-Identifier: BSD-3-Clause
// A device as the configuration names it: a PCI address ("0000:01:00.0"), or a DPDK virtual device
// with arguments ("net_af_packet0,iface=acc0"). Knows no DPDK; the drivers judge their arguments.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace gmesp {

class DeviceString {
 public:
  // A PCI address as EAL writes it: two spellings are one device.
  explicit DeviceString(const std::string& text) : text_(text) {
    if (!is_pci()) return;
    const auto end = text_.begin() + static_cast<std::ptrdiff_t>(name().size());
    std::transform(text_.begin(), end, text_.begin(),
                   [](unsigned char digit) { return static_cast<char>(std::tolower(digit)); });
  }

  const std::string& text() const { return text_; }
  // "0000:01:00.0" or "net_af_packet0": what EAL knows the device by.
  std::string_view name() const { return std::string_view(text_).substr(0, text_.find(',')); }
  bool is_pci() const { return name().find(':') != std::string_view::npos; }
  bool is_af_packet() const { return name().starts_with("net_af_packet"); }
  bool is_tap() const { return name().starts_with("net_tap"); }
  bool is_vhost() const { return name().starts_with("net_vhost"); }
  bool is_ring_link() const { return name().starts_with("net_ring_"); }  // ring_link.h
  bool is_virtio_user() const {  // DPDK knows the driver by both names
    return name().starts_with("virtio_user") || name().starts_with("net_virtio_user");
  }

  // "acc0" of "net_af_packet0,iface=acc0" for key "iface".
  std::optional<std::string_view> argument(std::string_view key) const {
    std::string_view rest = std::string_view(text_).substr(name().size());
    while (!rest.empty()) {
      rest.remove_prefix(1);
      const std::string_view pair = rest.substr(0, rest.find(','));
      rest.remove_prefix(pair.size());
      if (pair.size() > key.size() && pair.starts_with(key) && pair[key.size()] == '=') {
        return pair.substr(key.size() + 1);
      }
    }
    return std::nullopt;
  }
  void add_argument(std::string_view key, size_t value) {
    text_.append(",").append(key).append("=").append(std::to_string(value));
  }

 private:
  std::string text_;
};

// Frame slot of net_af_packet's ring for frames of frame_bytes. The driver's own 2048 is kept while
// it serves; a longer frame would be cut on receive and silently thrown away on transmit.
constexpr size_t af_packet_slot_bytes(size_t frame_bytes) {
  constexpr size_t kDefaultBytes = 2048;
  constexpr size_t kKernelHeaderBytes = 96;  // tpacket2_hdr, sockaddr_ll, alignment (TPACKET_ALIGN)
  constexpr size_t kPageBytes = 4096;
  const size_t needed = frame_bytes + kKernelHeaderBytes;
  if (needed <= kDefaultBytes) return kDefaultBytes;
  return (needed + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace gmesp
