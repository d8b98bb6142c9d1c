#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.hpp"

namespace cairn::executor {

// What trainer and executor say to each other: little-endian integers, and texts as a u64 length and the bytes. Both
// ends are the same version of cairn on the same machine, so there is nothing to negotiate; the reader still trusts
// nothing.

class WireWriter {
 public:
  WireWriter& u32(std::uint32_t value) { return raw(&value, sizeof value); }
  WireWriter& u64(std::uint64_t value) { return raw(&value, sizeof value); }
  WireWriter& i64(std::int64_t value) { return raw(&value, sizeof value); }
  WireWriter& text(std::string_view value) {
    u64(value.size());
    return raw(value.data(), value.size());
  }
  WireWriter& optional_i64(std::optional<std::int64_t> value) {
    u32(value ? 1 : 0);
    return i64(value.value_or(0));
  }
  WireWriter& map(const std::map<std::string, std::string>& entries) {
    u64(entries.size());
    for (const auto& [key, value] : entries)
      text(key).text(value);
    return *this;
  }

  std::string take() { return std::move(bytes_); }

 private:
  WireWriter& raw(const void* from, std::size_t bytes) {
    bytes_.append(static_cast<const char*>(from), bytes);
    return *this;
  }

  std::string bytes_;
};

/// Throws Errc::bad_argument when the bytes end too early.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  std::int64_t i64() { return number<std::int64_t>(); }
  std::string text() {
    const std::uint64_t bytes = u64();
    return std::string(take(bytes));
  }
  std::optional<std::int64_t> optional_i64() {
    const bool there = u32() != 0;
    const std::int64_t value = i64();
    return there ? std::optional(value) : std::nullopt;
  }
  std::map<std::string, std::string> map() {
    std::map<std::string, std::string> entries;
    const std::uint64_t count = u64();
    for (std::uint64_t at = 0; at < count; ++at) {
      std::string key = text();
      entries.insert_or_assign(std::move(key), text());
    }
    return entries;
  }

 private:
  std::string_view take(std::uint64_t bytes) {
    if (bytes > rest_.size()) throw Error(Errc::bad_argument, "read a message between trainer and executor: cut short");
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view rest_;
};

}  // namespace cairn::executor
