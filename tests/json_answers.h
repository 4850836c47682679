// SPDX-License-Identifier: BSD-3-Clause
// What the tests of the control socket's answers share.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace gmesp {

// Every key of an answer, at whatever depth.
inline void collect_keys(const nlohmann::json& json, std::set<std::string>& keys) {
  if (json.is_array()) {
    for (const nlohmann::json& element : json) collect_keys(element, keys);
  } else if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      keys.insert(key);
      collect_keys(value, keys);
    }
  }
}

inline nlohmann::json with(nlohmann::json request, const std::string& key,
                           const nlohmann::json& value) {
  request[key] = value;
  return request;
}

inline nlohmann::json without(nlohmann::json request, const std::string& key) {
  request.erase(key);
  return request;
}

}  // namespace gmesp
