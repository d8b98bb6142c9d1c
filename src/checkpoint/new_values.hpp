#pragma once

#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cairn/state.hpp"
#include "checkpoint/load_plan.hpp"

namespace cairn::checkpoint {

/// The tensors of a checkpoint's tree, and where their bytes are in its file.
class StoredLeaves {
 public:
  StoredLeaves(const format::ParsedTree& tree, const format::Header& header, std::size_t file);

  const format::Entry& entry(const Value& leaf) const { return header_.entries[index(leaf)]; }
  std::size_t index(const Value& leaf) const { return indices_.at(&leaf); }

  /// The way of a leaf's bytes into `target`, which has room for exactly them.
  Transfer transfer(const Value& leaf, ScatterView target) const;

 private:
  const format::Header& header_;
  std::size_t file_;
  std::unordered_map<const Value*, std::size_t> indices_;  ///< into header_.entries
};

/// Makes values for what the target does not have: copies of subtrees of the checkpoint with memory of their own, which
/// transfers will fill.
class NewValues {
 public:
  NewValues(const StoredLeaves& leaves, std::vector<Transfer>& transfers) : leaves_(leaves), transfers_(transfers) {}

  Value make(const Value& source);

 private:
  Value make_tensor(const Value& source);
  Value make_bytes(const Value& source);

  const StoredLeaves& leaves_;
  std::vector<Transfer>& transfers_;
  std::unordered_map<std::size_t, Tensor> tensors_;  ///< by entry: leaves that were stored once share memory again
};

}  // namespace cairn::checkpoint
