#pragma once

#include <cstdint>
#include <string>

namespace cairn::staging {

/// Sets the size of a memfd. Throws Error: EFBIG where RLIMIT_FSIZE forbids it, for which the kernel would end the
/// process with SIGXFSZ. `name` is for errors.
void set_file_size(int descriptor, std::uint64_t bytes, const std::string& name);

}  // namespace cairn::staging
