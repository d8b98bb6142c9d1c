#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cairn/state.hpp"
#include "format/plan.hpp"
#include "staging/memory_window.hpp"

namespace cairn::staging {

/// Where the tensors of a state go in a window. Contiguous tensors whose memory overlaps go to one region, at the same
/// distances, and so keep sharing; equal strided tensors go to one region, packed.
class StagedLayout {
 public:
  /// `state` must outlive the layout and stay as it is but for place(). Throws bad_argument, for a tensor that is not
  /// in host memory.
  explicit StagedLayout(StateDict& state);

  /// Of all regions together.
  std::uint64_t bytes() const noexcept { return bytes_; }

  /// Makes every tensor of the state one that lies in `window` and keeps `owner`. Answers what is to be copied there
  /// from where; Tensors of the state that own that memory are moved to `sources`. `window` may be null where bytes()
  /// is 0.
  format::Image place(MemoryWindow* window, const std::shared_ptr<void>& owner, std::vector<Tensor>& sources);

 private:
  struct Leaf {
    Value* value;
    TensorView view;
    std::uint64_t offset = 0;  ///< of its first element in the window
  };

  void collect(StateDict& state);
  void place_contiguous(std::vector<Leaf*> leaves);
  void place_strided(std::vector<Leaf*> leaves);
  std::uint64_t add_region(const TensorView& source, std::uint64_t misalignment);

  std::vector<Leaf> leaves_;
  std::vector<format::Piece> pieces_;
  std::uint64_t bytes_ = 0;
};

}  // namespace cairn::staging
