#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cairn/state.hpp"
#include "format/safetensors.hpp"
#include "format/tree.hpp"

namespace cairn::format {

/// One tensor of the file.
struct StoredTensor {
  Entry entry;
  std::string path;  ///< key path of the first leaf that is stored here, for errors
};

/// A part of the file that comes from one tensor.
struct Piece {
  std::uint64_t file_offset = 0;
  std::uint64_t bytes = 0;  ///< of the packed elements; never 0
  TensorView source;
};

/// The whole file, as it will be: `header`, then the pieces, ordered and without holes up to `bytes`.
struct Image {
  std::string header;       ///< u64 length, JSON, padding; a multiple of 4096
  std::uint64_t bytes = 0;  ///< of the file
  std::vector<Piece> pieces;
  std::string tensors_json;  ///< the sidecar's member "tensors"
};

class Snapshot;

/// The layout of a state's file: which leaves there are, where each tensor goes, and under which name. Made once and
/// used for as long as the structure stays the same: keys and their order, dtypes, shapes, strides, devices, lengths of
/// Bytes, and which leaves view the same memory. Other values may change, numbers, strings and null among each other
/// too.
///
/// Immutable; any thread.
class Plan {
 public:
  /// Throws bad_argument, naming the path, for what cannot be saved: a key with NUL or invalid UTF-8, `__metadata__` at
  /// the top, nesting beyond nesting_depth_max, a tensor without memory, a tensor of a device, a header that is too
  /// long.
  static std::shared_ptr<const Plan> make(const StateDict& state);

  /// Whether `state` has this structure. Allocates nothing for each tensor.
  bool matches(const StateDict& state) const;

  /// In the order of the file.
  std::span<const StoredTensor> tensors() const noexcept { return tensors_; }

  /// Dtype, shape, strides and device of a stored tensor's source, without memory.
  const TensorView& layout(std::size_t tensor) const noexcept { return layouts_[layout_ids_[tensor]]; }

  /// Bytes of all tensors.
  std::uint64_t data_bytes() const noexcept { return data_bytes_; }

 private:
  friend class Snapshot;
  friend class PlanMaker;
  friend class PlanWalk;

  std::vector<TreeNode> nodes_;  ///< depth first, containers before their content
  std::vector<StoredTensor> tensors_;
  std::vector<TensorView> layouts_;        ///< each once: a state has many tensors and few shapes
  std::vector<std::uint32_t> layout_ids_;  ///< for each tensor
  std::vector<const void*> sources_;       ///< where each tensor's memory was when the plan was made; null for Bytes
  std::uint64_t data_bytes_ = 0;
  std::size_t scalar_count_ = 0;
  std::size_t bytes_count_ = 0;
  std::string entries_json_;  ///< the members of the header after `__metadata__`, each after a comma
  std::string tensors_json_;
  std::uint64_t header_bytes_max_ = 0;  ///< bound of the header's JSON, but for what is in strings
};

/// Everything of a state that a save needs, so that the StateDict itself may change or go: pointers to viewed memory
/// (which must stay), shared ownership of Tensors, copies of everything else.
class Snapshot {
 public:
  Snapshot(Snapshot&&) noexcept = default;
  Snapshot& operator=(Snapshot&&) noexcept = default;

  const Plan& plan() const noexcept { return *plan_; }

  /// The source of a stored tensor (an index into plan().tensors()).
  TensorView source(std::size_t tensor) const;

  /// The file. The pieces view memory of this snapshot too, which must outlive them.
  Image image() const;

 private:
  friend class PlanWalk;

  explicit Snapshot(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {}

  std::string header_json() const;
  void check_header() const;

  std::shared_ptr<const Plan> plan_;
  std::vector<const void*> sources_;           ///< for each stored tensor
  std::vector<std::shared_ptr<void>> owners_;  ///< of Tensors
  std::vector<Bytes> bytes_;
  std::vector<Scalar> scalars_;  ///< in the order of the nodes
};

/// A snapshot of `state`, or nothing where it has not the plan's structure. Throws bad_argument when the state's
/// strings make the header too long.
std::optional<Snapshot> take_if_matches(std::shared_ptr<const Plan> plan, const StateDict& state);

/// The same for a state of which it is known that it matches; throws bad_argument where it does not.
Snapshot take(std::shared_ptr<const Plan> plan, const StateDict& state);

}  // namespace cairn::format
