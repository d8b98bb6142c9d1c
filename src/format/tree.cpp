#include "format/tree.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>
#include <optional>
#include <unordered_map>

#include "cairn/error.hpp"
#include "format/json.hpp"

namespace cairn::format {

namespace {

// A StateDict is an object. Null, bool, int64 and string are what JSON has for them. Everything else is an array whose
// first item says what it is, so that nothing needs escaping and one level of the state is one level of JSON:
//   ["list", item…]  ["tensor", name]  ["bytes", name]  ["f64", 16 hex digits]  ["u64", number]  ["string", hex digits]

constexpr std::string_view hex_digits = "0123456789abcdef";

class Writer {
 public:
  Writer(std::span<const TreeNode> nodes, std::span<const Scalar> scalars, const std::vector<std::string_view>& names)
      : nodes_(nodes), scalars_(scalars), names_(names) {}

  std::string run() {
    node();
    return std::move(text_);
  }

 private:
  // Recursive: nesting_depth_max has been checked.
  void node() {
    const TreeNode& node = nodes_[next_node_++];
    switch (node.type) {
      case TreeNode::Type::scalar:
        scalar(scalars_[next_scalar_++]);
        break;
      case TreeNode::Type::bytes:
        named("bytes", names_[node.tensor]);
        break;
      case TreeNode::Type::tensor:
        named("tensor", names_[node.tensor]);
        break;
      case TreeNode::Type::list:
        text_ += "[\"list\"";
        for (std::uint32_t child = 0; child < node.children; ++child) {
          text_ += ',';
          this->node();
        }
        text_ += ']';
        break;
      case TreeNode::Type::dict:
        text_ += '{';
        for (std::uint32_t child = 0; child < node.children; ++child) {
          if (child > 0) text_ += ',';
          append_json_string(text_, nodes_[next_node_].key);
          text_ += ':';
          this->node();
        }
        text_ += '}';
        break;
    }
  }

  void named(std::string_view type, std::string_view name) {
    text_ += "[\"";
    text_ += type;
    text_ += "\",";
    append_json_string(text_, name);
    text_ += ']';
  }

  void scalar(const Scalar& value) {
    if (const auto* flag = std::get_if<bool>(&value)) {
      text_ += *flag ? "true" : "false";
    } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      text_ += std::to_string(*integer);
    } else if (const auto* large = std::get_if<std::uint64_t>(&value)) {
      text_ += "[\"u64\"," + std::to_string(*large) + "]";
    } else if (const auto* real = std::get_if<double>(&value)) {
      text_ += "[\"f64\",\"";
      const auto bits = std::bit_cast<std::uint64_t>(*real);
      for (int shift = 60; shift >= 0; shift -= 4)
        text_ += hex_digits[bits >> shift & 15];
      text_ += "\"]";
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      string(*text);
    } else {
      text_ += "null";
    }
  }

  void string(std::string_view text) {
    if (is_utf8(text)) {
      append_json_string(text_, text);
      return;
    }
    text_ += "[\"string\",\"";
    for (const char character : text) {
      text_ += hex_digits[static_cast<unsigned char>(character) >> 4];
      text_ += hex_digits[static_cast<unsigned char>(character) & 15];
    }
    text_ += "\"]";
  }

  std::span<const TreeNode> nodes_;
  std::span<const Scalar> scalars_;
  const std::vector<std::string_view>& names_;
  std::size_t next_node_ = 0;
  std::size_t next_scalar_ = 0;
  std::string text_;
};

std::optional<unsigned> hex_value(char character) {
  const std::size_t digit = hex_digits.find(character);
  return digit == std::string_view::npos ? std::nullopt : std::optional(static_cast<unsigned>(digit));
}

class Reader {
 public:
  Reader(const Header& header, const std::string& file_name)
      : header_(header), where_("read tree of " + file_name), named_(header.entries.size(), false) {
    entries_.reserve(header.entries.size());
    for (std::uint32_t index = 0; index < header.entries.size(); ++index)
      entries_.emplace(header.entries[index].name, index);
  }

  ParsedTree run(std::string_view text) {
    const Json json = parse_json(text, nesting_depth_max + 1, where_);
    members(json, tree_.state);
    for (std::size_t index = 0; index < named_.size(); ++index)
      if (!named_[index]) refuse("tensor " + header_.entries[index].name + " is in no place of it");
    return std::move(tree_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const { throw Error(Errc::damaged, where_ + ": " + what); }

  // Recursive: parse_json has bounded the nesting.
  void members(const Json& json, StateDict& dict) {
    for (const auto& [key, member] : json.object(where_))
      fill(dict[key], member);
  }

  void fill(Value& value, const Json& json) {
    if (json.is_null()) return;
    if (json.is_boolean()) {
      value = json.boolean(where_);
    } else if (json.is_string()) {
      value = json.string(where_);
    } else if (json.is_object()) {
      value = StateDict();
      members(json, value.as<StateDict>());
    } else if (json.is_array()) {
      tagged(value, json.array(where_));
    } else {
      value = json.int64(where_);
    }
  }

  void tagged(Value& value, const Json::Array& array) {
    if (array.empty()) refuse("an array that does not say what it is");
    const std::string& type = array[0].string(where_);
    if (type == "list") {
      value = List();
      for (std::size_t index = 1; index < array.size(); ++index)
        fill(value.as<List>().push_back(nullptr), array[index]);
      return;
    }
    if (array.size() != 2) refuse(type + " with " + std::to_string(array.size() - 1) + " items");
    const Json& content = array[1];
    if (type == "tensor" || type == "bytes")
      leaf(value, content.string(where_), type == "bytes");
    else if (type == "f64")
      value = std::bit_cast<double>(real(content.string(where_)));
    else if (type == "u64")
      large(value, content.uint64(where_));
    else if (type == "string")
      value = string(content.string(where_));
    else
      refuse("unknown type " + type);
  }

  void leaf(Value& value, const std::string& name, bool bytes) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) refuse("tensor " + name + " is not in the file");
    const Entry& entry = header_.entries[found->second];
    if (bytes) {
      if (entry.dtype != DType::u8 || entry.shape.size() != 1) refuse("bytes " + name + " are not U8");
      value = Bytes();
    } else {
      value = TensorView(nullptr, false, entry.dtype, entry.shape);
    }
    named_[found->second] = true;
    tree_.leaves.push_back({&value, found->second});
  }

  // A Value made from a small number would be an int64; the kind is to come back as it was.
  static void large(Value& value, std::uint64_t number) {
    value = std::numeric_limits<std::uint64_t>::max();
    value.as<std::uint64_t>() = number;
  }

  std::uint64_t real(const std::string& digits) const {
    if (digits.size() != 16) refuse("a double has 16 digits");
    std::uint64_t bits = 0;
    for (const char character : digits) {
      const auto digit = hex_value(character);
      if (!digit) refuse("a double has hexadecimal digits");
      bits = bits << 4 | *digit;
    }
    return bits;
  }

  std::string string(const std::string& digits) const {
    std::string text;
    if (digits.size() % 2 != 0) refuse("a string has two digits for each byte");
    text.reserve(digits.size() / 2);
    for (std::size_t at = 0; at < digits.size(); at += 2) {
      const auto high = hex_value(digits[at]);
      const auto low = hex_value(digits[at + 1]);
      if (!high || !low) refuse("a string of bytes has hexadecimal digits");
      text += static_cast<char>(*high << 4 | *low);
    }
    return text;
  }

  const Header& header_;
  const std::string where_;
  std::unordered_map<std::string_view, std::uint32_t> entries_;
  std::vector<bool> named_;
  ParsedTree tree_;
};

ParsedTree flat_tree(const Header& header) {
  ParsedTree tree;
  for (std::uint32_t index = 0; index < header.entries.size(); ++index) {
    const Entry& entry = header.entries[index];
    Value& value = tree.state[entry.name];
    value = TensorView(nullptr, false, entry.dtype, entry.shape);
    tree.leaves.push_back({&value, index});
  }
  return tree;
}

}  // namespace

std::string tree_text(std::span<const TreeNode> nodes, std::span<const Scalar> scalars,
                      const std::vector<std::string_view>& names) {
  return Writer(nodes, scalars, names).run();
}

ParsedTree read_tree(const Header& header, const std::string& file_name) {
  const auto text = header.metadata.find(std::string(metadata_tree_key));
  if (text == header.metadata.end()) return flat_tree(header);
  const auto version = header.metadata.find(std::string(metadata_version_key));
  if (version == header.metadata.end() || version->second != format_version_text)
    throw Error(Errc::damaged, "read tree of " + file_name + ": format version " +
                                   (version == header.metadata.end() ? "missing" : version->second) +
                                   ", this library reads " + std::string(format_version_text));
  return Reader(header, file_name).run(text->second);
}

StateDict build(ParsedTree tree, std::span<const Tensor> entries) {
  for (const TreeLeaf& leaf : tree.leaves) {
    const Tensor& tensor = entries[leaf.entry];
    if (leaf.value->is<Bytes>()) {
      const auto* data = static_cast<const std::byte*>(tensor.data());
      leaf.value->as<Bytes>().assign(data, data + tensor.size_bytes());
    } else {
      *leaf.value = tensor;
    }
  }
  return std::move(tree.state);
}

}  // namespace cairn::format
