#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/seed.hpp"
#include "support/temp_dir.hpp"
#include "support/tracked.hpp"

using cairn::test::TempDir;
using cairn::test::Tracked;

TEST_CASE("a temporary folder goes with all it holds") {
  std::filesystem::path path;
  {
    const TempDir directory;
    path = directory.path();
    std::filesystem::create_directories(directory / "a/b");
    std::ofstream(directory / "a/b/file") << "x";
    REQUIRE(std::filesystem::exists(path / "a/b/file"));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a forked child leaves the temporary folder to its parent") {
  const TempDir directory;
  const pid_t child = fork();
  if (child == 0) {
    directory.~TempDir();
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(std::filesystem::exists(directory.path()));
}

TEST_CASE("two temporary folders are not the same") {
  const TempDir one;
  const TempDir other(one.path());
  CHECK(one.path() != other.path());
  CHECK(other.path().parent_path() == one.path());
}

TEST_CASE("the seed stays the same") {
  CHECK(cairn::test::seed() == cairn::test::seed());
}

TEST_CASE("Tracked counts what is made, copied, moved and destroyed") {
  Tracked::reset();
  {
    std::vector<Tracked> objects;
    objects.reserve(3);
    objects.emplace_back(7);
    objects.push_back(objects.front());
    objects.push_back(std::move(objects.front()));
    CHECK(objects[0].value() == Tracked::moved_from);
    CHECK(objects[1].value() == 7);
    CHECK(objects[2].value() == 7);
    CHECK(Tracked::alive() == 3);
  }
  CHECK(Tracked::constructed() == 3);
  CHECK(Tracked::copied() == 1);
  CHECK(Tracked::moved() == 1);
  CHECK(Tracked::destroyed() == 3);
}
