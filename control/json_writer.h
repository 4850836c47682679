// SPDX-License-Identifier: BSD-3-Clause
// One answer: a JSON object written front to back.
#pragma once

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/refusal.h"

namespace gmesp {

class JsonWriter {
 public:
  JsonWriter() : writer_(buffer_) {
    writer_.SetMaxDecimalPlaces(3);
    writer_.StartObject();
  }

  JsonWriter& field(std::string_view key, std::string_view value) {
    write_key(key);
    writer_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
    return *this;
  }
  JsonWriter& field(std::string_view key, const char* value) {
    return field(key, std::string_view(value));
  }
  JsonWriter& field(std::string_view key, uint64_t value) {
    write_key(key);
    writer_.Uint64(value);
    return *this;
  }
  // At most three decimals: what is measured is not known better.
  JsonWriter& decimal(std::string_view key, double value) {
    write_key(key);
    writer_.Double(value);
    return *this;
  }
  // By its own name: a pointer or a number must not turn into true or false.
  JsonWriter& flag(std::string_view key, bool value) {
    write_key(key);
    writer_.Bool(value);
    return *this;
  }

  void start_array(std::string_view key) {
    write_key(key);
    writer_.StartArray();
  }
  void element(std::string_view value) {  // in an array
    writer_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  }
  void end_array() { writer_.EndArray(); }
  void start_object(std::string_view key) {
    write_key(key);
    writer_.StartObject();
  }
  void start_object() { writer_.StartObject(); }  // in an array
  void end_object() { writer_.EndObject(); }

  size_t size() const { return buffer_.GetSize(); }
  // Ends the object that the constructor began.
  std::string finish() {
    writer_.EndObject();
    return {buffer_.GetString(), buffer_.GetSize()};
  }

 private:
  void write_key(std::string_view key) {
    writer_.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
  }

  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> writer_;
};

inline std::string error_answer(std::string_view sentence, std::string_view code) {
  return JsonWriter().field("error", sentence).field("code", code).finish();
}

inline std::string refusal_answer(const Refused& refused) {
  return error_answer(refused.what(), refusal_info(refused.refusal()).code);
}

}  // namespace gmesp
