#include "executor/mapped_slots.hpp"

#include <sys/mman.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "cairn/error.hpp"

namespace cairn::executor {
namespace {

// The kernel refuses one buffer over 1 GiB.
constexpr std::uint64_t buffer_bytes_max = std::uint64_t{512} << 20;
static_assert(buffer_bytes_max % slot_block_bytes == 0);

}  // namespace

MappedSlots::MappedSlots(const SharedSlots& slots, uring::FileIo& io)
    : slots_(slots), io_(io), mappings_(slots.size()) {}

MappedSlots::~MappedSlots() {
  if (registered_) io_.unregister_buffers();
  for (Mapping& mapping : mappings_)
    unmap(mapping);
}

SlotWindow MappedSlots::window(unsigned slot) {
  const SlotHeader& header = slots_.header(slot);
  Mapping& mapping = mappings_[slot];
  const std::uint64_t capacity_bytes = header.capacity_bytes.load(std::memory_order_acquire);
  const bool huge = header.huge.load(std::memory_order_acquire) != 0;
  const bool populated = header.populated.load(std::memory_order_acquire) != 0;

  const bool is_same =
      mapping.window.data != nullptr && mapping.window.capacity_bytes == capacity_bytes && mapping.huge == huge;
  if (is_same && mapping.populated == populated) return mapping.window;

  if (registered_) io_.unregister_buffers();
  registered_ = false;
  if (!is_same) {
    unmap(mapping);
    // Writable, although only read: the kernel pins registered buffers for writing.
    void* const memory =
        ::mmap(nullptr, capacity_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, slots_.data_fd(slot, huge), 0);
    if (memory == MAP_FAILED) throw Error::from_errno(errno, "map slot " + std::to_string(slot));
    mapping.window = SlotWindow{static_cast<std::byte*>(memory), capacity_bytes};
    mapping.huge = huge;
  }
  mapping.populated = populated;
  register_all();
  return mapping.window;
}

int MappedSlots::buffer_index(unsigned slot, std::uint64_t offset) const noexcept {
  const Mapping& mapping = mappings_[slot];
  if (!registered_ || mapping.first_buffer < 0) return -1;
  return mapping.first_buffer + static_cast<int>(offset / buffer_bytes_max);
}

void MappedSlots::unmap(Mapping& mapping) {
  if (mapping.window.data != nullptr) ::munmap(mapping.window.data, mapping.window.capacity_bytes);
  mapping = Mapping{};
}

/// Windows that are not populated are left out: pinning their untouched pages would take as long as the copy. All or
/// nothing: where locked memory is limited, writes go unregistered.
void MappedSlots::register_all() {
  std::vector<iovec> buffers;
  for (Mapping& mapping : mappings_) {
    mapping.first_buffer = -1;
    if (mapping.window.data == nullptr || !mapping.populated) continue;
    mapping.first_buffer = static_cast<int>(buffers.size());
    for (std::uint64_t at = 0; at < mapping.window.capacity_bytes; at += buffer_bytes_max) {
      const std::uint64_t bytes = std::min(buffer_bytes_max, mapping.window.capacity_bytes - at);
      buffers.push_back(iovec{mapping.window.data + at, bytes});
    }
  }
  registered_ = !buffers.empty() && io_.register_buffers(buffers) == 0;
}

}  // namespace cairn::executor
