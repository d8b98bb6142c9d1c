#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cairn/staging.hpp"
#include "core/slot.hpp"
#include "staging/memory_limits.hpp"
#include "staging/memory_window.hpp"

namespace cairn::staging {

using SlotMemory = MemoryWindow;

/// The windows of a checkpointer's slots, as the trainer maps them.
///
/// A window is as large as the largest image so far, rounded up to whole blocks, or as the slot's share of
/// `staging_bytes_max`. It is kept from save to save and never shrinks: getting pages is what a first save is slow
/// with. One thread.
class Arena {
 public:
  /// Throws Error(Errc::bad_argument) when `staging_bytes_max` gives a slot less than two blocks. `slots` must outlive
  /// the arena.
  Arena(const SharedSlots& slots, const StagingConfig& config);
  Arena(const SharedSlots& slots, const StagingConfig& config, MemoryLimits limits);

  /// The window of `slot`, made large enough for an image of `image_bytes` (all of it, or as much as the bound allows).
  /// The slot must be free: nobody else may be using its window. Keeps capacity_bytes, huge and populated of the
  /// SlotHeader true. The reference holds until the next prepare() of the same slot.
  /// Throws Error: too_little_memory, before any page is taken, when the pages that are missing exceed what is
  /// available; EFBIG when RLIMIT_FSIZE does not allow a memfd of that size.
  SlotMemory& prepare(unsigned slot, std::uint64_t image_bytes);

 private:
  struct Window {
    std::unique_ptr<MemoryWindow> memory;  ///< null before the first save
    std::uint64_t wanted_bytes = 0;        ///< by the latest save
  };

  std::uint64_t capacity_for(std::uint64_t image_bytes) const noexcept;
  void replace_window(unsigned slot, std::uint64_t capacity_bytes);
  std::unique_ptr<MemoryWindow> map_huge_pages(unsigned slot, std::uint64_t capacity_bytes);
  void drop_huge_pages(unsigned slot);
  std::uint64_t missing_bytes(unsigned slot, std::uint64_t wanted_bytes) const;
  void require_memory(unsigned slot, std::uint64_t wanted_bytes) const;

  const SharedSlots& slots_;
  MemoryLimits limits_;
  std::uint64_t capacity_bytes_max_ = 0;  ///< of one window; 0: no bound
  bool huge_pages_allowed_ = true;        ///< false once they were promised and then refused
  std::vector<Window> windows_;
};

}  // namespace cairn::staging
