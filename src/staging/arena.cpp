#include "staging/arena.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <utility>

#include "cairn/error.hpp"
#include "staging/file_size.hpp"

namespace cairn::staging {
namespace {

constexpr std::uint64_t window_blocks_min = 2;  // one is written while the other is filled

std::uint64_t round_up_to_block(std::uint64_t bytes) {
  return (bytes + slot_block_bytes - 1) / slot_block_bytes * slot_block_bytes;
}

std::string slot_name(unsigned slot) {
  return "staging slot " + std::to_string(slot);
}

/// Pages that the memfd has already, in bytes.
std::uint64_t allocated_bytes(int descriptor) {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

}  // namespace

Arena::Arena(const SharedSlots& slots, const StagingConfig& config) : Arena(slots, config, MemoryLimits()) {}

Arena::Arena(const SharedSlots& slots, const StagingConfig& config, MemoryLimits limits)
    : slots_(slots), limits_(std::move(limits)), windows_(slots.size()) {
  if (config.staging_bytes_max == 0) return;
  capacity_bytes_max_ = config.staging_bytes_max / slots.size() / slot_block_bytes * slot_block_bytes;
  const std::uint64_t least = window_blocks_min * slot_block_bytes;
  if (capacity_bytes_max_ < least) {
    throw Error(Errc::bad_argument, "staging_bytes_max " + std::to_string(config.staging_bytes_max) + " for " +
                                        std::to_string(slots.size()) + " slots: at least " +
                                        std::to_string(least * slots.size()) + " are needed");
  }
}

std::uint64_t Arena::capacity_for(std::uint64_t image_bytes) const noexcept {
  const std::uint64_t whole = std::max(round_up_to_block(image_bytes), slot_block_bytes);
  return capacity_bytes_max_ == 0 ? whole : std::min(whole, capacity_bytes_max_);
}

SlotMemory& Arena::prepare(unsigned slot, std::uint64_t image_bytes) {
  std::unique_ptr<MemoryWindow>& window = windows_[slot].memory;
  if (window != nullptr && window->huge() && window->failed()) {
    huge_pages_allowed_ = false;
    drop_huge_pages(slot);
  }
  const std::uint64_t wanted = capacity_for(image_bytes);
  if (window == nullptr || window->capacity_bytes() < wanted) {
    replace_window(slot, wanted);
  } else if (!window->huge() && !window->populated()) {
    require_memory(slot, wanted);
  }
  windows_[slot].wanted_bytes = wanted;

  SlotHeader& header = slots_.header(slot);
  header.huge.store(window->huge() ? 1 : 0, std::memory_order_relaxed);
  header.populated.store(window->populated() ? 1 : 0, std::memory_order_relaxed);
  header.capacity_bytes.store(window->capacity_bytes(), std::memory_order_release);
  return *window;
}

void Arena::replace_window(unsigned slot, std::uint64_t capacity_bytes) {
  std::unique_ptr<MemoryWindow>& window = windows_[slot].memory;
  if (auto huge = map_huge_pages(slot, capacity_bytes)) {
    window = std::move(huge);
    set_file_size(slots_.data_fd(slot, false), 0, slot_name(slot));  // ordinary pages of an earlier window
    return;
  }
  // Everything that can fail comes before the old window goes: a save that is too large harms no later one.
  require_memory(slot, capacity_bytes);
  set_file_size(slots_.data_fd(slot, false), capacity_bytes, slot_name(slot));
  auto larger = std::make_unique<MemoryWindow>(slots_.data_fd(slot, false), capacity_bytes, false, slot_name(slot));
  if (window != nullptr && window->huge()) drop_huge_pages(slot);
  window = std::move(larger);
}

std::unique_ptr<MemoryWindow> Arena::map_huge_pages(unsigned slot, std::uint64_t capacity_bytes) {
  const int descriptor = slots_.data_fd(slot, true);
  if (!huge_pages_allowed_ || descriptor < 0) return nullptr;
  const std::unique_ptr<MemoryWindow>& window = windows_[slot].memory;
  const std::uint64_t held = window != nullptr && window->huge() ? window->capacity_bytes() : 0;
  const MemoryLimits::HugePages pages = limits_.huge_pages();
  if (pages.page_bytes == 0 || slot_block_bytes % pages.page_bytes != 0) return nullptr;
  if (pages.free_bytes < capacity_bytes - held) return nullptr;
  try {
    set_file_size(descriptor, capacity_bytes, slot_name(slot));
    return std::make_unique<MemoryWindow>(descriptor, capacity_bytes, true, slot_name(slot));
  } catch (const Error&) {
    // Somebody else was faster, or a limit on huge pages forbids it: ordinary pages do as well, only slower. What an
    // earlier window of huge pages holds beyond the resize stays as it was.
    return nullptr;
  }
}

void Arena::drop_huge_pages(unsigned slot) {
  windows_[slot].memory.reset();
  set_file_size(slots_.data_fd(slot, true), 0, slot_name(slot));
}

std::uint64_t Arena::missing_bytes(unsigned slot, std::uint64_t wanted_bytes) const {
  return wanted_bytes - std::min(wanted_bytes, allocated_bytes(slots_.data_fd(slot, false)));
}

void Arena::require_memory(unsigned slot, std::uint64_t wanted_bytes) const {
  const std::uint64_t missing = missing_bytes(slot, wanted_bytes);
  // Other slots' windows whose pages are still to be taken, by a staging that runs right now.
  std::uint64_t promised = 0;
  for (unsigned other = 0; other < windows_.size(); ++other) {
    const Window& window = windows_[other];
    if (other == slot || window.memory == nullptr || window.memory->huge() || window.memory->populated()) continue;
    promised += missing_bytes(other, window.wanted_bytes);
  }
  const AvailableMemory available = limits_.available();
  if (missing <= available.bytes && promised <= available.bytes - missing) return;
  std::string others = promised == 0 ? "" : ", and other slots " + std::to_string(promised);
  throw Error(Errc::too_little_memory, slot_name(slot) + " of " + std::to_string(wanted_bytes) + " bytes needs " +
                                           std::to_string(missing) + " more" + others + ", but " +
                                           std::to_string(available.bytes) + " are available (" + available.limited_by +
                                           ")");
}

}  // namespace cairn::staging
