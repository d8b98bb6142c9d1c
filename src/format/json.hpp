#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace cairn::format {

/// A parsed JSON value. Members keep the order of the text and come once.
///
/// Every accessor that finds another type throws Error(damaged) with `where`, so a reader of a format is a plain list
/// of what it expects.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;
  using Data = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object>;

  Json() = default;
  explicit Json(Data data) noexcept : data_(std::move(data)) {}

  /// The content, moved out.
  Data take() && noexcept { return std::move(data_); }

  bool is_null() const noexcept { return std::holds_alternative<std::monostate>(data_); }
  bool is_boolean() const noexcept { return std::holds_alternative<bool>(data_); }
  bool is_string() const noexcept { return std::holds_alternative<std::string>(data_); }
  bool is_array() const noexcept { return std::holds_alternative<Array>(data_); }
  bool is_object() const noexcept { return std::holds_alternative<Object>(data_); }
  /// A number without fraction or exponent that std::int64_t holds.
  bool is_int64() const noexcept;

  bool boolean(const std::string& where) const;
  std::int64_t int64(const std::string& where) const;
  std::uint64_t uint64(const std::string& where) const;
  const std::string& string(const std::string& where) const;
  const Array& array(const std::string& where) const;
  const Object& object(const std::string& where) const;

  /// The member of an object. `member` throws where it is not there, `find` answers null.
  const Json& member(std::string_view name, const std::string& where) const;
  const Json* find(std::string_view name) const;

 private:
  Data data_;  // numbers: uint64 without a sign, int64 with one, double for everything else
};

/// Parses the whole of `text`. Throws Error(damaged), beginning with `where`, when it is not valid JSON in valid UTF-8,
/// nests deeper than `depth_max`, or has a member twice. `where` names the file.
Json parse_json(std::string_view text, unsigned depth_max, const std::string& where);

/// Adds `text` (valid UTF-8) as a JSON string, quotes included.
void append_json_string(std::string& json, std::string_view text);

/// Whether `text` is well-formed UTF-8 (no surrogates, no overlong forms).
bool is_utf8(std::string_view text) noexcept;

}  // namespace cairn::format
