#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string_view>

namespace cairn::test {

/// A new empty directory, removed with all it holds by the destructor. It lies in `parent`, or else in CAIRN_TEST_DIR,
/// TMPDIR or /tmp, the first that is set. A forked child that runs the destructor removes nothing.
class TempDir {
 public:
  TempDir();
  explicit TempDir(const std::filesystem::path& parent);
  ~TempDir();

  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// A path inside it; nothing is made.
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
  pid_t owner_;
};

}  // namespace cairn::test
