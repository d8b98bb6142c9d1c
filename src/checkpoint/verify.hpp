#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cairn/writer.hpp"

namespace cairn::checkpoint {

/// What verify_checkpoint found.
struct VerifyReport {
  /// Each names a file and what of it is not what was written, with block and bytes where it is the data.
  std::vector<std::string> damages;
  std::uint64_t damages_left_out = 0;  ///< beyond damages_max
  std::uint64_t bytes_verified = 0;
  std::uint64_t files_verified = 0;

  bool whole() const noexcept { return damages.empty(); }
};

inline constexpr std::size_t damages_max = 100;

/// Bytes checked so far, and bytes of all files. Called on threads of the check, one call at a time.
using VerifyProgress = std::function<void(std::uint64_t, std::uint64_t)>;

/// Checks a checkpoint: every digest of every file, all sizes, that the files are of one save, and that headers and
/// trees are well formed. Goes on after damage, so that the report has all of it; of a file that cannot be read (EIO)
/// the rest is left out.
///
/// Throws Error where there is nothing to check: ENOENT, not_a_checkpoint (a damaged manifest is in the report); and
/// for what is no fault of the checkpoint, such as EACCES. Blocks; has threads of its own for the time of the call.
VerifyReport verify_checkpoint(const std::filesystem::path& path, VerifyProgress progress = VerifyProgress(),
                               IoBackend backend = IoBackend::automatic);

}  // namespace cairn::checkpoint
