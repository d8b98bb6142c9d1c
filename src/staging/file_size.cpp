#include "staging/file_size.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "cairn/error.hpp"

namespace cairn::staging {

void set_file_size(int descriptor, std::uint64_t bytes, const std::string& name) {
  const std::string operation = "size " + name + " to " + std::to_string(bytes) + " bytes";
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur) {
    throw Error::from_errno(EFBIG, operation + " with RLIMIT_FSIZE " + std::to_string(limit.rlim_cur));
  }
  if (::ftruncate(descriptor, static_cast<off_t>(bytes)) != 0) throw Error::from_errno(errno, operation);
}

}  // namespace cairn::staging
