#include "disk.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "cairn/error.hpp"
#include "core/unique_fd.hpp"

namespace cairn::bench {
namespace {

UniqueFd open_to_read(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw Error::from_errno(errno, "open " + path.string());
  return fd;
}

/// Pages of the file that are in the page cache.
std::int64_t cached_pages(int fd, std::uint64_t bytes) {
  void* const mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return 0;
  constexpr std::uint64_t page_bytes = 4096;
  std::vector<unsigned char> is_there((bytes + page_bytes - 1) / page_bytes);
  const bool known = ::mincore(mapped, bytes, is_there.data()) == 0;
  ::munmap(mapped, bytes);
  return known ? std::count_if(is_there.begin(), is_there.end(), [](unsigned char page) { return page & 1; }) : 0;
}

}  // namespace

void settle(const std::filesystem::path& directory) {
  const UniqueFd fd = open_to_read(directory);
  if (::syncfs(fd.get()) != 0) throw Error::from_errno(errno, "sync the file system of " + directory.string());
}

void evict(const std::filesystem::path& file) {
  const std::uint64_t bytes = std::filesystem::file_size(file);
  if (bytes == 0) return;
  const UniqueFd fd = open_to_read(file);
  ::fdatasync(fd.get());  // dirty pages stay
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  if (cached_pages(fd.get(), bytes) == 0) return;
  // As root the whole cache can be dropped.
  const UniqueFd drop(::open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC));
  if (drop && ::write(drop.get(), "1", 1) == 1 && cached_pages(fd.get(), bytes) == 0) return;
  throw Error(Errc::bad_argument, "take " + file.string() + " out of the page cache: some of it stays there");
}

}  // namespace cairn::bench
