#include "support/temp_dir.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>

namespace cairn::test {
namespace {

std::filesystem::path default_parent() {
  for (const char* name : {"CAIRN_TEST_DIR", "TMPDIR"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "/tmp";
}

}  // namespace

TempDir::TempDir() : TempDir(default_parent()) {}

TempDir::TempDir(const std::filesystem::path& parent) : owner_(::getpid()) {
  std::string name = (std::filesystem::absolute(parent) / "cairn-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
  path_ = name;
}

TempDir::~TempDir() {
  if (::getpid() != owner_) return;
  std::error_code error;
  // An executor that outlives the test may still be adding files: one more try is enough once it is gone.
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::filesystem::remove_all(path_, error);
    if (!error) return;
  }
  std::fprintf(stderr, "could not remove %s: %s\n", path_.c_str(), error.message().c_str());
}

}  // namespace cairn::test
