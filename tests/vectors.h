// SPDX-License-Identifier: BSD-3-Clause
// The known answers of vectors/esp_vectors.json; all values in it are hex, network byte order.
#pragma once

#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "crypto/algorithm.h"

namespace gmesp {

inline const nlohmann::json& vectors() {
  static const nlohmann::json all = nlohmann::json::parse(std::ifstream(GMESP_VECTORS_FILE));
  return all;
}

inline std::vector<uint8_t> from_hex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

inline std::vector<uint8_t> from_hex(const nlohmann::json& row, const char* field) {
  return from_hex(row.at(field).get<std::string>());
}

inline Suite suite_of(const nlohmann::json& row) {
  return find_suite(*parse_integrity_algorithm(row.at("alg").get<std::string>()),
                    *parse_encryption_algorithm(row.at("ealg").get<std::string>()))
      .value();
}

}  // namespace gmesp
