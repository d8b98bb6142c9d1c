#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace cairn::bench {

/// Threads that copy, fill and compare: as many as cairn copies with.
unsigned worker_threads() noexcept;

/// Calls `work(begin, end)` for `worker_threads()` parts of [0, bytes), cut at pages, at the same time.
void in_parts(std::uint64_t bytes, const std::function<void(std::uint64_t, std::uint64_t)>& work);

/// Memory that is there (every page touched) and that a fork does not copy: a checkpoint process may be forked at any
/// time without the page faults afterwards that private memory would have.
class Memory {
 public:
  /// Throws Error where it cannot be had.
  explicit Memory(std::uint64_t bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::byte* data() const noexcept { return data_; }
  std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::uint64_t bytes_;
};

}  // namespace cairn::bench
