#include "format/json.hpp"

#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "cairn/error.hpp"

namespace cairn::format {

namespace {

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw Error(Errc::damaged, where + ": " + what);
}

// Builds the value from nlohmann's events; its parser keeps its own stack, so nothing here depends on how deep a text
// nests until the bound has been checked. Unlike its DOM, this sees members that come twice.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(unsigned depth_max, const std::string& where) : depth_max_(depth_max), where_(where) {}

  bool null() override { return add(Json()); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(number_integer_t value) override { return add(Json(std::int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override { return add(Json(std::uint64_t{value})); }
  bool number_float(number_float_t value, const string_t&) override { return add(Json(value)); }
  bool string(string_t& value) override { return add(Json(std::move(value))); }
  bool binary(binary_t&) override { return false; }

  bool start_object(std::size_t) override { return open(Json(Json::Object())); }
  bool start_array(std::size_t) override { return open(Json(Json::Array())); }
  bool key(string_t& name) override {
    open_.back().member = std::move(name);
    return true;
  }
  bool end_object() override {
    check_unique(std::get<Json::Object>(open_.back().data));
    return close();
  }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    refuse(where_, "not valid JSON at byte " + std::to_string(position));
  }

  Json result() { return Json(std::move(root_)); }

 private:
  struct Open {
    Json::Data data;
    std::string member;  // name of the member that comes next
  };

  bool open(Json&& container) {
    if (open_.size() == depth_max_) refuse(where_, "JSON nested deeper than " + std::to_string(depth_max_));
    open_.push_back({std::move(container).take(), {}});
    return true;
  }

  bool close() {
    Json container(std::move(open_.back().data));
    open_.pop_back();
    return add(std::move(container));
  }

  // Not inlined: g++ 12 loses track of which alternative is alive, and warns of what cannot be.
  [[gnu::noinline]] bool add(Json&& value) {
    if (open_.empty()) {
      root_ = std::move(value).take();
    } else if (auto* array = std::get_if<Json::Array>(&open_.back().data)) {
      array->push_back(std::move(value));
    } else {
      std::get<Json::Object>(open_.back().data).emplace_back(std::move(open_.back().member), std::move(value));
    }
    return true;
  }

  void check_unique(const Json::Object& object) const {
    std::unordered_set<std::string_view> names;
    names.reserve(object.size());
    for (const auto& [name, value] : object)
      if (!names.insert(name).second) refuse(where_, "member \"" + name + "\" comes twice");
  }

  const unsigned depth_max_;
  const std::string& where_;
  std::vector<Open> open_;
  Json::Data root_;
};

}  // namespace

bool Json::is_int64() const noexcept {
  if (const auto* number = std::get_if<std::uint64_t>(&data_)) return std::in_range<std::int64_t>(*number);
  return std::holds_alternative<std::int64_t>(data_);
}

bool Json::boolean(const std::string& where) const {
  if (const auto* value = std::get_if<bool>(&data_)) return *value;
  refuse(where, "true or false expected");
}

std::int64_t Json::int64(const std::string& where) const {
  if (const auto* number = std::get_if<std::int64_t>(&data_)) return *number;
  if (is_int64()) return static_cast<std::int64_t>(std::get<std::uint64_t>(data_));
  refuse(where, "64-bit integer expected");
}

std::uint64_t Json::uint64(const std::string& where) const {
  if (const auto* number = std::get_if<std::uint64_t>(&data_)) return *number;
  refuse(where, "64-bit integer without a sign expected");
}

const std::string& Json::string(const std::string& where) const {
  if (const auto* text = std::get_if<std::string>(&data_)) return *text;
  refuse(where, "string expected");
}

const Json::Array& Json::array(const std::string& where) const {
  if (const auto* array = std::get_if<Array>(&data_)) return *array;
  refuse(where, "array expected");
}

const Json::Object& Json::object(const std::string& where) const {
  if (const auto* object = std::get_if<Object>(&data_)) return *object;
  refuse(where, "object expected");
}

const Json& Json::member(std::string_view name, const std::string& where) const {
  object(where);
  if (const Json* found = find(name)) return *found;
  refuse(where, "no member \"" + std::string(name) + "\"");
}

const Json* Json::find(std::string_view name) const {
  if (const auto* object = std::get_if<Object>(&data_))
    for (const auto& [member, value] : *object)
      if (member == name) return &value;
  return nullptr;
}

Json parse_json(std::string_view text, unsigned depth_max, const std::string& where) {
  // nlohmann skips a byte order mark; the formats here have none.
  if (text.starts_with("\xEF\xBB\xBF")) refuse(where, "not valid JSON at byte 0");
  Builder builder(depth_max, where);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) refuse(where, "not valid JSON");
  return builder.result();
}

void append_json_string(std::string& json, std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  json += '"';
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      json += '\\';
      json += character;
    } else if (byte < 0x20) {
      json += "\\u00";
      json += digits[byte >> 4];
      json += digits[byte & 15];
    } else {
      json += character;
    }
  }
  json += '"';
}

bool is_utf8(std::string_view text) noexcept {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = at + text.size();
  while (at != end) {
    const unsigned char lead = *at++;
    if (lead < 0x80) continue;
    // Length, and the range of the second byte, which excludes overlong forms, surrogates and what is past U+10FFFF.
    int more = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
      more = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      more = 2;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      more = 3;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    } else {
      return false;
    }
    if (end - at < more || *at < low || *at > high) return false;
    for (++at; --more > 0; ++at)
      if (*at < 0x80 || *at > 0xBF) return false;
  }
  return true;
}

}  // namespace cairn::format
