#include "staging/window_pool.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "cairn/error.hpp"
#include "staging/file_size.hpp"

namespace cairn::staging {

WindowPool::WindowPool(const StagingConfig& config, MemoryLimits limits)
    : config_(config), limits_(std::move(limits)) {}

WindowPool::Lease WindowPool::take(std::uint64_t bytes) {
  const std::uint64_t capacity =
      std::max((bytes + slot_block_bytes - 1) / slot_block_bytes * slot_block_bytes, slot_block_bytes);
  std::shared_ptr<Entry> best;
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->leased.load(std::memory_order_acquire) || entry->window->capacity_bytes() < capacity) continue;
    if (best == nullptr || entry->window->capacity_bytes() < best->window->capacity_bytes()) best = entry;
  }
  if (best != nullptr) return lease(best);
  drop_unused();
  entries_.push_back(make_entry(capacity));
  return lease(entries_.back());
}

WindowPool::Lease WindowPool::lease(const std::shared_ptr<Entry>& entry) {
  Lease taken;
  taken.window = entry->window.get();
  entry->leased.store(true, std::memory_order_relaxed);
  taken.owner =
      std::shared_ptr<void>(taken.window, [entry](void*) { entry->leased.store(false, std::memory_order_release); });
  return taken;
}

void WindowPool::drop_unused() {
  std::erase_if(entries_,
                [](const std::shared_ptr<Entry>& entry) { return !entry->leased.load(std::memory_order_acquire); });
}

std::shared_ptr<WindowPool::Entry> WindowPool::make_entry(std::uint64_t capacity_bytes) {
  const std::string name = "a staged copy";
  std::uint64_t held = 0;      // by copies that still live
  std::uint64_t promised = 0;  // of it, pages that a copy under way is still to take
  for (const std::shared_ptr<Entry>& entry : entries_) {
    held += entry->window->capacity_bytes();
    promised += entry->window->missing_bytes();
  }
  if (config_.staging_bytes_max != 0 && held + capacity_bytes > config_.staging_bytes_max) {
    throw Error(Errc::too_little_memory,
                name + " of " + std::to_string(capacity_bytes) + " bytes, with " + std::to_string(held) +
                    " held by earlier ones, exceeds staging_bytes_max " + std::to_string(config_.staging_bytes_max));
  }
  const AvailableMemory available = limits_.available();
  if (available.bytes < capacity_bytes || available.bytes - capacity_bytes < promised) {
    throw Error(Errc::too_little_memory, name + " needs " + std::to_string(capacity_bytes + promised) + " bytes, but " +
                                             std::to_string(available.bytes) + " are available (" +
                                             available.limited_by + ")");
  }
  auto entry = std::make_shared<Entry>();
  if (config_.use_shared_memory) {
    entry->descriptor = UniqueFd(::memfd_create("cairn-staged", MFD_CLOEXEC));
    if (!entry->descriptor) throw Error::from_errno(errno, "memfd_create for " + name);
    set_file_size(entry->descriptor.get(), capacity_bytes, name);
  }
  entry->window = std::make_unique<MemoryWindow>(entry->descriptor.get(), capacity_bytes, false, name);
  return entry;
}

}  // namespace cairn::staging
