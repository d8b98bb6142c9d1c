#include <fmt/format.h>

#include <unordered_map>

#include "cairn/state.hpp"
#include "checkpoint/checkpoint_directory.hpp"
#include "commands.hpp"
#include "format/tree.hpp"
#include "text.hpp"

namespace cairn::tools {
namespace {

namespace fs = std::filesystem;

/// Prints a tree with the lines that terminals know from `tree`.
class TreePrinter {
 public:
  TreePrinter(const format::ParsedTree& tree, const format::Header& header) {
    for (const format::TreeLeaf& leaf : tree.leaves) {
      const format::Entry& entry = header.entries[leaf.entry];
      bytes_.emplace(leaf.value, entry.end - entry.begin);
    }
  }

  void print_dict(const StateDict& dict, const std::string& indent) {
    std::size_t left = dict.size();
    for (const auto& [key, value] : dict)
      print_value(key.empty() ? "\"\"" : printable(key), value, indent, --left == 0);
  }

 private:
  void print_value(const std::string& name, const Value& value, const std::string& indent, bool last) {
    fmt::print("{}{} {}", indent, last ? "└──" : "├──", name);
    const std::string inner = indent + (last ? "    " : "│   ");
    switch (value.kind()) {
      case Kind::dict:
        fmt::print("{}\n", value.as<StateDict>().empty() ? " = {}" : "");
        return print_dict(value.as<StateDict>(), inner);
      case Kind::list: {
        const List& items = value.as<List>();
        fmt::print("{}\n", items.empty() ? " = []" : "");
        for (std::size_t at = 0; at < items.size(); ++at) {
          print_value(fmt::format("[{}]", at), items[at], inner, at + 1 == items.size());
        }
        return;
      }
      case Kind::tensor: {
        const TensorView view = value.tensor();
        fmt::print("  {} {}  {}\n", to_string(view.dtype()), shape_text(view), size_text(bytes_.at(&value)));
        return;
      }
      case Kind::bytes:
        fmt::print("  bytes  {}\n", size_text(bytes_.at(&value)));
        return;
      default:
        fmt::print(" = {}\n", scalar_text(value));
    }
  }

  static std::string shape_text(const TensorView& view) {
    return fmt::format("[{}]", fmt::join(view.shape().begin(), view.shape().end(), ", "));
  }

  static std::string scalar_text(const Value& value) {
    switch (value.kind()) {
      case Kind::boolean:
        return value.as<bool>() ? "true" : "false";
      case Kind::int64:
        return fmt::format("{}", value.as<std::int64_t>());
      case Kind::uint64:
        return fmt::format("{}", value.as<std::uint64_t>());
      case Kind::real:
        return fmt::format("{}", value.as<double>());
      case Kind::string:
        return quoted_text(value.as<std::string>());
      default:
        return "null";
    }
  }

  std::unordered_map<const Value*, std::uint64_t> bytes_;
};

void print_file(const fs::path& file) {
  const format::Header header = checkpoint::read_header(file);
  const format::ParsedTree tree = format::read_tree(header, file.string());
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
  for (const format::Entry& entry : header.entries) {
    bytes += entry.end - entry.begin;
    elements += (entry.end - entry.begin) * 8 / bits_per_element(entry.dtype);
  }
  fmt::print("{}\n", printable(file.filename().string()));
  TreePrinter(tree, header).print_dict(tree.state, "");
  fmt::print("{} stored tensors, {} elements, {}\n", header.entries.size(), elements, size_text(bytes));
}

void print_summary(const checkpoint::CheckpointDirectory& found) {
  const format::Manifest& manifest = found.manifest;
  std::uint64_t bytes = 0;
  for (const format::FileEntry& file : manifest.files)
    bytes += file.bytes;
  fmt::print("{}\n", found.directory.string());
  fmt::print("  step      {}\n", manifest.step ? std::to_string(*manifest.step) : "-");
  fmt::print("  created   {}\n", printable(manifest.created));
  fmt::print("  written   by cairn {}, format {}\n", printable(manifest.library_version), manifest.format_version);
  fmt::print("  ranks     {}\n", manifest.world_size);
  fmt::print("  size      {} in {} files\n", size_text(bytes), manifest.files.size());
  fmt::print("  attempt   {}\n", printable(manifest.attempt));
  for (const auto& [key, value] : manifest.metadata)
    fmt::print("  metadata  {} = {}\n", printable(key), quoted_text(value));
}

}  // namespace

int inspect(const fs::path& path) {
  if (path.extension() == ".safetensors" && fs::is_regular_file(path)) {
    print_file(path);
    return exit_whole;
  }
  const checkpoint::CheckpointDirectory found = checkpoint::read_manifest(path, "inspect");
  checkpoint::check_file_sizes(found);
  print_summary(found);
  for (std::int64_t rank = 0; rank < found.manifest.world_size; ++rank) {
    fmt::print("\n");
    print_file(found.file(checkpoint::data_entry(found, rank).name));
  }
  return exit_whole;
}

}  // namespace cairn::tools
