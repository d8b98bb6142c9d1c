#include "format/key_path.hpp"

#include <charconv>
#include <optional>
#include <utility>
#include <vector>

namespace cairn::format {

namespace {

constexpr std::string_view special = ".[]\"";

// ["…"] at the start of `text`: the key, and the length of the whole. Nothing where it is not that.
std::optional<std::pair<std::string, std::size_t>> quoted_key(std::string_view text) {
  if (!text.starts_with("[\"")) return std::nullopt;
  std::string key;
  for (std::size_t at = 2; at < text.size(); ++at) {
    if (text[at] == '"') {
      if (at + 1 < text.size() && text[at + 1] == ']') return std::pair(std::move(key), at + 2);
      return std::nullopt;
    }
    if (text[at] == '\\' && ++at == text.size()) return std::nullopt;
    key += text[at];
  }
  return std::nullopt;
}

// [3] at the start of `text`: the index, and the length of the whole.
std::optional<std::pair<std::size_t, std::size_t>> bracketed_index(std::string_view text) {
  if (!text.starts_with('[')) return std::nullopt;
  std::size_t index = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + 1, end, index);
  if (error != std::errc() || stop == end || *stop != ']') return std::nullopt;
  return std::pair(index, static_cast<std::size_t>(stop - text.data()) + 1);
}

// The tree is searched depth first. A value is reached by one sequence of keys only, and so at one place of the path
// (or two, where a key stands bare as well as quoted): the search takes no more steps than the tree has values.
class Search {
 public:
  const Value* run(const StateDict& state, std::string_view path) {
    keys(state, path, true);
    while (!pending_.empty()) {
      const auto [value, rest] = pending_.back();
      pending_.pop_back();
      if (rest.empty()) return value;
      if (value->is<List>()) {
        if (const auto index = bracketed_index(rest); index && index->first < value->as<List>().size())
          pending_.emplace_back(&value->as<List>()[index->first], rest.substr(index->second));
      } else if (value->is<StateDict>()) {
        keys(value->as<StateDict>(), rest, false);
      }
    }
    return nullptr;
  }

 private:
  // `rest` begins with '.' or '[', except at the beginning of the path. What is to be tried first is added last.
  void keys(const StateDict& dict, std::string_view rest, bool at_start) {
    if (const auto quoted = quoted_key(rest)) add(dict, quoted->first, rest.substr(quoted->second));
    if (!at_start) {
      if (!rest.starts_with('.')) return;
      rest.remove_prefix(1);
    }
    for (std::size_t end = 0; end <= rest.size(); ++end)
      if (end == rest.size() || rest[end] == '.' || rest[end] == '[') add(dict, rest.substr(0, end), rest.substr(end));
  }

  void add(const StateDict& dict, std::string_view key, std::string_view rest) {
    if (dict.contains(key)) pending_.emplace_back(&dict.at(key), rest);
  }

  std::vector<std::pair<const Value*, std::string_view>> pending_;
};

}  // namespace

void append_key(std::string& path, std::string_view key) {
  if (!key.empty() && key.find_first_of(special) == std::string_view::npos) {
    if (!path.empty()) path += '.';
    path += key;
    return;
  }
  path += "[\"";
  for (const char character : key) {
    if (character == '"' || character == '\\') path += '\\';
    path += character;
  }
  path += "\"]";
}

void append_index(std::string& path, std::size_t index) {
  path += '[';
  path += std::to_string(index);
  path += ']';
}

const Value* find_path(const StateDict& state, std::string_view path) {
  return Search().run(state, path);
}

}  // namespace cairn::format
