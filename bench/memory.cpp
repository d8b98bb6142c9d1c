#include "memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "cairn/error.hpp"
#include "staging/host_stager.hpp"

namespace cairn::bench {
namespace {

constexpr std::uint64_t page_bytes = 4096;

}  // namespace

unsigned worker_threads() noexcept {
  return staging::default_copy_threads();
}

void in_parts(std::uint64_t bytes, const std::function<void(std::uint64_t, std::uint64_t)>& work) {
  const std::uint64_t pages = (bytes + page_bytes - 1) / page_bytes;
  const std::uint64_t parts = worker_threads();
  const auto boundary = [&](std::uint64_t part) { return std::min(bytes, pages * part / parts * page_bytes); };
  std::vector<std::jthread> threads;
  for (std::uint64_t part = 1; part < parts; ++part)
    threads.emplace_back([&work, begin = boundary(part), end = boundary(part + 1)] { work(begin, end); });
  work(0, boundary(1));
}

Memory::Memory(std::uint64_t bytes) : bytes_(bytes) {
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw Error::from_errno(errno, "map " + std::to_string(bytes) + " bytes");
  data_ = static_cast<std::byte*>(memory);
  in_parts(bytes, [this](std::uint64_t begin, std::uint64_t end) { std::memset(data_ + begin, 0, end - begin); });
}

Memory::~Memory() {
  ::munmap(data_, bytes_);
}

}  // namespace cairn::bench
