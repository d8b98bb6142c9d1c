#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace cairn::bench {

/// Runs the jobs of limits.fio.
class Fio {
 public:
  /// `directory` takes its output. Throws Error where fio does not run.
  explicit Fio(std::filesystem::path directory);

  /// "fio-3.33"
  const std::string& version() const noexcept { return version_; }

  /// Bytes per second of writing `bytes` into the new file `file`, fsync included. `huge`: from reserved huge pages,
  /// else from 4 KiB pages of shared memory.
  double write(const std::filesystem::path& file, std::uint64_t bytes, bool huge) const;

  /// The same of reading the first `bytes` of `file`, into private memory with transparent huge pages, where cairn's
  /// read buffers are too.
  double read(const std::filesystem::path& file, std::uint64_t bytes) const;

 private:
  double run(const std::string& section, const std::filesystem::path& file, std::uint64_t bytes,
             const std::string& memory) const;

  std::filesystem::path directory_;
  std::string version_;
};

}  // namespace cairn::bench
