#pragma once

#include <cstdint>
#include <string>

#include "cairn/state.hpp"
#include "memory.hpp"

namespace cairn::bench {

/// A trainer's state of a given size: layers with weights and Adam's two moments, as float32, of very different sizes.
/// It exists twice: the source that is saved, and a target of the same form that a checkpoint is loaded into.
class TrainingState {
 public:
  static constexpr unsigned tensors_per_layer = 15;

  /// `tensors` is a multiple of tensors_per_layer; the tensors' bytes add up to nearly `bytes` and never more.
  TrainingState(std::uint64_t bytes, unsigned tensors);

  const StateDict& source() const noexcept { return source_; }
  StateDict& target() noexcept { return target_; }

  const Memory& source_memory() const noexcept { return source_memory_; }
  const Memory& target_memory() const noexcept { return target_memory_; }

  /// Bytes of all tensors.
  std::uint64_t tensor_bytes() const noexcept { return tensor_bytes_; }

  /// Makes every page of the source another than it ever was.
  void train();

  /// Overwrites all of the target, so that only a load can make it equal to the source.
  void forget_target();

  /// Throws damaged, naming `what`, unless the target's tensors are the source's.
  void require_equal(const std::string& what) const;

 private:
  Memory source_memory_;
  Memory target_memory_;
  std::uint64_t tensor_bytes_ = 0;
  std::uint64_t step_ = 0;
  StateDict source_;
  StateDict target_;
};

}  // namespace cairn::bench
