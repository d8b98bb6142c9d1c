#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cairn/state.hpp"
#include "format/safetensors.hpp"

namespace cairn::format {

/// Members of `__metadata__` that cairn writes: the version of the format, and the tree.
inline constexpr std::string_view metadata_version_key = "cairn.format_version";
inline constexpr std::string_view metadata_tree_key = "cairn.tree";
inline constexpr std::string_view format_version_text = "1";

/// A leaf that is neither a tensor nor Bytes.
using Scalar = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string>;

/// One value of a tree that is written down depth first, a container before its content.
struct TreeNode {
  enum class Type : std::uint8_t { scalar, bytes, tensor, list, dict };

  Type type = Type::scalar;
  std::string key;             ///< in the StateDict around it; empty for an item of a List
  std::uint32_t children = 0;  ///< of a container
  std::uint32_t tensor = 0;    ///< of a tensor or Bytes: index of the stored tensor
};

/// The text of `cairn.tree`. `nodes` begins with the outermost StateDict; `scalars` are those of the scalar nodes, in
/// order; `name_of(i)` gives the name of stored tensor i.
std::string tree_text(std::span<const TreeNode> nodes, std::span<const Scalar> scalars,
                      const std::vector<std::string_view>& names);

/// A place in a tree that wants the bytes of a stored tensor.
struct TreeLeaf {
  Value* value = nullptr;   ///< in ParsedTree::state; a tensor without memory, or empty Bytes
  std::uint32_t entry = 0;  ///< index into Header::entries
};

/// A tree whose tensors have their dtype and shape but no memory yet, and whose Bytes are empty.
struct ParsedTree {
  StateDict state;
  std::vector<TreeLeaf> leaves;  ///< in the order of the tree; several may name one entry
};

/// The tree of a file. A file that cairn did not write has none: then it is flat, name to tensor. Throws damaged,
/// naming the file, when the tree is malformed, names a tensor that is not there, or leaves one out.
ParsedTree read_tree(const Header& header, const std::string& file_name);

/// Puts the loaded tensors (one for each entry of the header, contiguous, on the host) into the tree: leaves that name
/// one entry share its memory.
StateDict build(ParsedTree tree, std::span<const Tensor> entries);

}  // namespace cairn::format
