#include "checkpoint/read_buffers.hpp"

#include <sys/mman.h>

#include <cstdint>

#include "cairn/error.hpp"

namespace cairn::checkpoint {

ReadBuffers::ReadBuffers(uring::FileIo& io, unsigned count) : io_(io), count_(count) {
  const std::size_t bytes = count_ * buffer_bytes;
  void* const mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED)
    throw Error(Errc::too_little_memory, "map " + std::to_string(bytes) + " bytes to read into");
  memory_ = static_cast<std::byte*>(mapped);
  // Huge pages make registration and direct I/O cheaper; without them everything works.
  static_cast<void>(::madvise(mapped, bytes, MADV_HUGEPAGE));
  free_.reserve(count_);
  std::vector<iovec> parts;
  for (unsigned index = 0; index < count_; ++index) {
    // The last one given back is the first one taken: few loads touch few buffers.
    free_.push_back(count_ - 1 - index);
    parts.push_back(iovec{buffer(index).data(), buffer_bytes});
  }
  registered_ = io_.register_buffers(parts) == 0;
}

ReadBuffers::~ReadBuffers() {
  if (registered_) static_cast<void>(io_.unregister_buffers());
  ::munmap(memory_, count_ * buffer_bytes);
}

Task<ReadBuffers::Lease> ReadBuffers::acquire() {
  while (free_.empty())
    co_await freed_.next();
  const unsigned index = free_.back();
  free_.pop_back();
  co_return Lease(*this, index);
}

void ReadBuffers::give_back(unsigned index) noexcept {
  free_.push_back(index);  // never allocates: reserved
  freed_.notify_all();
}

}  // namespace cairn::checkpoint
