#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "cairn/staging.hpp"
#include "core/unique_fd.hpp"
#include "staging/memory_limits.hpp"
#include "staging/memory_window.hpp"

namespace cairn::staging {

/// Windows for copies that live as long as somebody holds them. A window whose lease has ended is given out again, or
/// goes when a larger one is needed: so copies made one after the other take the memory of one.
class WindowPool {
 public:
  WindowPool(const StagingConfig& config, MemoryLimits limits);

  /// A window held by its user; the memory is valid for as long as the lease, or a copy of it, lives.
  struct Lease {
    MemoryWindow* window = nullptr;
    std::shared_ptr<void> owner;
  };

  /// A window of at least `bytes`. Throws Error: too_little_memory.
  Lease take(std::uint64_t bytes);

 private:
  /// Shared between the pool and a lease, whoever lives longer.
  struct Entry {
    UniqueFd descriptor;
    std::unique_ptr<MemoryWindow> window;
    /// Set false with release by the end of a lease, read with acquire: what its user did comes before the next use.
    std::atomic<bool> leased{false};
  };

  static Lease lease(const std::shared_ptr<Entry>& entry);
  std::shared_ptr<Entry> make_entry(std::uint64_t capacity_bytes);
  void drop_unused();

  const StagingConfig config_;
  const MemoryLimits limits_;
  std::vector<std::shared_ptr<Entry>> entries_;
};

}  // namespace cairn::staging
