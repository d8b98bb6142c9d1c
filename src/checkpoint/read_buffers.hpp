#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "cairn/task.hpp"
#include "core/event.hpp"
#include "uring/file_io.hpp"

namespace cairn::checkpoint {

/// A bounded pool of buffers for direct reads: 4 MiB each, on huge pages where they can be had, registered with the
/// ring where it takes them. Bounds the memory of all reads of one CheckpointReader together.
///
/// On the loop's thread only. Must outlive its leases, and be destroyed before `io`.
class ReadBuffers {
 public:
  /// A multiple of the digest block. Direct reads of this size, eight at a time, gave the full speed of the disk.
  static constexpr std::size_t buffer_bytes = std::size_t{4} << 20;

  /// Throws too_little_memory.
  ReadBuffers(uring::FileIo& io, unsigned count);
  ~ReadBuffers();
  ReadBuffers(const ReadBuffers&) = delete;
  ReadBuffers& operator=(const ReadBuffers&) = delete;

  /// One buffer, given back by the destructor.
  class Lease {
   public:
    Lease(ReadBuffers& buffers, unsigned index) noexcept : buffers_(&buffers), index_(index) {}
    Lease(Lease&& other) noexcept : buffers_(std::exchange(other.buffers_, nullptr)), index_(other.index_) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (buffers_) buffers_->give_back(index_);
    }

    std::span<std::byte> bytes() const noexcept { return buffers_->buffer(index_); }

    /// Of the registered buffer; -1 where they are not registered.
    int registered_index() const noexcept { return buffers_->registered_ ? static_cast<int>(index_) : -1; }

   private:
    ReadBuffers* buffers_;
    unsigned index_;
  };

  /// Waits until there is one.
  Task<Lease> acquire();

  unsigned count() const noexcept { return count_; }

 private:
  std::span<std::byte> buffer(unsigned index) const noexcept { return {memory_ + index * buffer_bytes, buffer_bytes}; }
  void give_back(unsigned index) noexcept;

  uring::FileIo& io_;
  unsigned count_;
  std::byte* memory_ = nullptr;
  bool registered_ = false;
  std::vector<unsigned> free_;
  Notifier freed_;
};

}  // namespace cairn::checkpoint
