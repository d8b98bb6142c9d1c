#include <unistd.h>

#include <cairn/error.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "fakes/faulty_file_io.hpp"
#include "support/catch.hpp"
#include "support/temp_dir.hpp"
#include "uring/backends.hpp"
#include "uring/directory.hpp"

namespace {

using cairn::Task;
using cairn::test::FaultyFileIo;
using cairn::test::IoLoop;
using cairn::test::TempDir;
using cairn::uring::Backend;
using cairn::uring::FileIo;
using cairn::uring::OperationKind;

std::vector<Backend> backends() {
  std::vector<Backend> all = {Backend::threads};
  if (cairn::test::ring_available()) all.push_back(Backend::uring);
  return all;
}

template <class T>
int errno_of(IoLoop& on, Task<T> task) {
  try {
    on.run(std::move(task));
  } catch (const cairn::Error& error) {
    return error.code().value();
  }
  return 0;
}

}  // namespace

TEST_CASE("directories are made with their parents, once") {
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    const TempDir directory;
    const std::filesystem::path deep = directory / "a/b/c/d";
    on.run(cairn::uring::make_directories(*on.io, deep));
    CHECK(std::filesystem::is_directory(deep));
    on.run(cairn::uring::make_directories(*on.io, deep / ""));
    on.run(cairn::uring::make_directories(*on.io, "/"));
    std::ofstream(directory / "file") << "x";
    CHECK(errno_of(on, cairn::uring::make_directories(*on.io, directory / "file")) == ENOTDIR);
    CHECK(errno_of(on, cairn::uring::make_directories(*on.io, directory / "file/below")) == ENOTDIR);
    on.run(cairn::uring::sync_directory(*on.io, deep));
    CHECK(errno_of(on, cairn::uring::sync_directory(*on.io, directory / "missing")) == ENOENT);
  }
}

TEST_CASE("the names of new directories are made durable: each parent is synced") {
  IoLoop on(
      [](cairn::loop::Loop& loop) { return std::make_unique<FaultyFileIo>(FileIo::make(loop, Backend::automatic)); });
  auto& io = static_cast<FaultyFileIo&>(*on.io);
  const TempDir directory;
  on.run(cairn::uring::make_directories(io, directory / "a/b/c"));
  CHECK(io.count(OperationKind::fsync) == 3);
  on.run(cairn::uring::make_directories(io, directory / "a/b/c"));
  CHECK(io.count(OperationKind::fsync) == 3);
}

TEST_CASE("files are written, read back, renamed and exchanged") {
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    const TempDir directory;
    const std::filesystem::path a = directory / "a";
    const std::filesystem::path b = directory / "b";
    on.run(cairn::uring::write_file(*on.io, a, "first, longer"));
    on.run(cairn::uring::write_file(*on.io, a, "first"));
    on.run(cairn::uring::write_file(*on.io, b, ""));
    CHECK(on.run(cairn::uring::read_file(*on.io, a, 5)) == "first");
    CHECK(on.run(cairn::uring::read_file(*on.io, b, 5)).empty());
    CHECK(errno_of(on, cairn::uring::read_file(*on.io, a, 4)) == EFBIG);
    CHECK(errno_of(on, cairn::uring::read_file(*on.io, directory / "missing", 4)) == ENOENT);
    const bool exchanged = on.run(cairn::uring::exchange(*on.io, a, b));
    REQUIRE(exchanged);
    CHECK(on.run(cairn::uring::read_file(*on.io, b, 5)) == "first");
    on.run(cairn::uring::rename(*on.io, b, a));
    CHECK(on.run(cairn::uring::read_file(*on.io, a, 5)) == "first");
    CHECK_FALSE(std::filesystem::exists(b));
    CHECK(errno_of(on, cairn::uring::rename(*on.io, b, a)) == ENOENT);
    CHECK(errno_of(on, cairn::uring::exchange(*on.io, b, a)) == ENOENT);
  }
}

TEST_CASE("an exchange that the file system does not know is an answer, not an error") {
  IoLoop on(
      [](cairn::loop::Loop& loop) { return std::make_unique<FaultyFileIo>(FileIo::make(loop, Backend::automatic)); });
  static_cast<FaultyFileIo&>(*on.io).fail(OperationKind::renameat, 1, EINVAL);
  CHECK_FALSE(on.run(cairn::uring::exchange(*on.io, "a", "b")));
}

TEST_CASE("a tree is removed whole, links are not followed, and what is missing is no error") {
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    const TempDir directory;
    const TempDir elsewhere;
    std::ofstream(elsewhere / "kept") << "x";
    const std::filesystem::path root = directory / "tree";
    std::filesystem::path deep = root;
    for (int level = 0; level < 60; ++level)
      deep /= std::to_string(level);
    std::filesystem::create_directories(deep);
    for (int file = 0; file < 50; ++file)
      std::ofstream(root / std::to_string(1000 + file)) << "x";
    std::ofstream(deep / "leaf") << "x";
    std::filesystem::create_directory_symlink(elsewhere.path(), root / "link");
    std::filesystem::create_symlink("/nowhere", root / "broken");
    on.run(cairn::uring::remove_tree(*on.io, root));
    CHECK_FALSE(std::filesystem::exists(root));
    CHECK(std::filesystem::exists(elsewhere / "kept"));
    on.run(cairn::uring::remove_tree(*on.io, root));
    std::filesystem::create_directory_symlink(elsewhere.path(), root);
    on.run(cairn::uring::remove_tree(*on.io, root));
    CHECK_FALSE(std::filesystem::exists(std::filesystem::symlink_status(root)));
    CHECK(std::filesystem::exists(elsewhere / "kept"));
  }
}
