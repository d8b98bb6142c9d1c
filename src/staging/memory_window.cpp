#include "staging/memory_window.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "cairn/error.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; older kernel headers lack the name
#endif

namespace cairn::staging {
namespace {

constexpr std::size_t page_bytes = 4096;

/// A refusal of pages in our own words: ENOMEM, EFAULT (the fault would have been a SIGBUS) and ENOSPC mean the same.
Error refused(int errno_value, const std::string& operation) {
  if (errno_value == ENOMEM || errno_value == EFAULT || errno_value == ENOSPC) {
    return Error(Errc::too_little_memory, operation + " (" + std::strerror(errno_value) + ")");
  }
  return Error::from_errno(errno_value, operation);
}

/// Gets the pages of one block; answers errno. Never faults, so never a SIGBUS.
int get_pages(std::byte* at, std::size_t bytes, int descriptor, off_t offset) {
  // Transient refusals of single pages are the caller's to try again.
  constexpr unsigned tries_max = 100;
  for (unsigned tries = 0; tries < tries_max; ++tries) {
    if (::madvise(at, bytes, MADV_POPULATE_WRITE) == 0) return 0;
    if (errno != EINTR && errno != EAGAIN) break;
  }
  if (errno != EINVAL) return errno;

  // The kernel is older than the request. Allocating in the file answers an error where a fault would be a signal;
  // private memory has no such signal. Then a touch of each page puts it into the page table.
  if (descriptor >= 0) {
    int failed = 0;
    do {
      failed = ::fallocate(descriptor, 0, offset, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
    } while (failed == EINTR);
    if (failed != 0) return failed;
  }
  for (std::size_t page = 0; page < bytes; page += page_bytes) {
    auto* const byte = reinterpret_cast<volatile unsigned char*>(at + page);
    *byte = *byte;
  }
  return 0;
}

}  // namespace

MemoryWindow::MemoryWindow(int descriptor, std::uint64_t capacity_bytes, bool huge, std::string name)
    : capacity_bytes_(capacity_bytes),
      huge_(huge),
      descriptor_(descriptor),
      name_(std::move(name)),
      is_populated_(new std::atomic<bool>[capacity_bytes / slot_block_bytes]()) {
  const int flags = descriptor >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void* const memory = ::mmap(nullptr, capacity_bytes, PROT_READ | PROT_WRITE, flags, descriptor, 0);
  if (memory == MAP_FAILED) {
    throw refused(errno, "map " + std::to_string(capacity_bytes) + " bytes for " + name_);
  }
  data_ = static_cast<std::byte*>(memory);
  // A wish: shared memory follows it only where shmem_enabled is "advise". Huge pages of either kind are touched and
  // registered many times faster.
  if (!huge_) ::madvise(memory, capacity_bytes, MADV_HUGEPAGE);
}

MemoryWindow::~MemoryWindow() {
  ::munmap(data_, capacity_bytes_);
}

bool MemoryWindow::populate(std::uint64_t block) {
  if (is_populated_[block].load(std::memory_order_acquire)) return populated();
  const std::uint64_t offset = block * slot_block_bytes;
  const int error = get_pages(data_ + offset, slot_block_bytes, descriptor_, static_cast<off_t>(offset));
  if (error != 0) {
    failed_.store(true, std::memory_order_relaxed);
    throw refused(error,
                  "get pages of " + name_ + " at " + std::to_string(offset) + " of " + std::to_string(capacity_bytes_));
  }
  is_populated_[block].store(true, std::memory_order_release);
  return blocks_populated_.fetch_add(1, std::memory_order_acq_rel) + 1 == blocks();
}

}  // namespace cairn::staging
