#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/slot.hpp"

namespace cairn::staging {

/// A stretch of memory that is filled in blocks of slot_block_bytes. Its pages are got block by block, by the thread
/// that is about to fill the block, once in the window's life: touching fresh pages costs several times the copy, so it
/// is done in parallel, and a page that cannot be had is an Error and not a SIGBUS.
class MemoryWindow {
 public:
  /// Maps the first `capacity_bytes` of `descriptor` (a memfd of that size at least), shared. `descriptor` -1: private
  /// memory. `name` is for errors. Throws Error: too_little_memory when the address space or the huge pages are short.
  MemoryWindow(int descriptor, std::uint64_t capacity_bytes, bool huge, std::string name);
  ~MemoryWindow();
  MemoryWindow(const MemoryWindow&) = delete;
  MemoryWindow& operator=(const MemoryWindow&) = delete;

  std::byte* data() const noexcept { return data_; }
  std::uint64_t capacity_bytes() const noexcept { return capacity_bytes_; }
  std::uint64_t blocks() const noexcept { return capacity_bytes_ / slot_block_bytes; }
  bool huge() const noexcept { return huge_; }
  SlotWindow window() const noexcept { return SlotWindow{data_, capacity_bytes_}; }

  /// Sees to it that all pages of block `block` of the window are there. Only one thread may be busy with one block;
  /// different blocks may be populated at the same time. Answers whether the whole window is populated now.
  /// Throws Error: too_little_memory.
  bool populate(std::uint64_t block);

  /// Bytes that have not been populated yet.
  std::uint64_t missing_bytes() const noexcept {
    return capacity_bytes_ - blocks_populated_.load(std::memory_order_acquire) * slot_block_bytes;
  }

  bool populated() const noexcept { return blocks_populated_.load(std::memory_order_acquire) == blocks(); }

  /// A page was refused: a window of huge pages is then better replaced by one of ordinary pages.
  bool failed() const noexcept { return failed_.load(std::memory_order_relaxed); }

 private:
  std::byte* data_ = nullptr;
  std::uint64_t capacity_bytes_;
  bool huge_;
  int descriptor_;
  std::string name_;
  std::unique_ptr<std::atomic<bool>[]> is_populated_;  ///< by block
  std::atomic<std::uint64_t> blocks_populated_{0};
  std::atomic<bool> failed_{false};
};

}  // namespace cairn::staging
