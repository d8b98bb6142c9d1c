#include <cairn/reader.hpp>

#include "checkpoint/support/states.hpp"
#include "checkpoint/support/write_checkpoint.hpp"
#include "format/digest.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"
#include "support/temp_dir.hpp"

using namespace cairn;
using namespace cairn::test;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t block_bytes = 1 << 20;

/// 3.5 blocks of one tensor, and a few small ones.
StateDict large_state() {
  StateDict state;
  state["big"] = counted<std::uint32_t>({7 << 17});
  state["small"] = counted<float>({10});
  state["step"] = 3;
  return state;
}

Error load_error(const fs::path& path, const LoadOptions& options = LoadOptions()) {
  CheckpointReader reader;
  return error_of([&] { reader.load(path, options).get(); });
}

/// Damaged, and the text names all of these.
void check_damaged(const Error& error, const std::vector<std::string>& named) {
  INFO(error.what());
  CHECK(error.code() == Errc::damaged);
  for (const std::string& name : named)
    CHECK(contains(error.what(), name));
}

}  // namespace

TEST_CASE("A changed byte of the data is found and named by file and block") {
  TempDir dir;
  write_checkpoint(dir / "a", large_state());
  const fs::path file = dir / "a" / data_file_name;
  flip_byte(file, 2 * block_bytes + 12345);
  check_damaged(load_error(dir / "a"), {data_file_name, "block 2", "2097152 to 3145728"});

  CheckpointReader reader;
  const StateDict unverified = reader.load(dir / "a", LoadOptions().verify(false)).get();
  CHECK_FALSE(unverified == large_state());
}

TEST_CASE("Any changed byte of any file is found") {
  TempDir dir;
  write_checkpoint(dir / "a", large_state());
  std::uint64_t random = seed();
  for (const char* name : {data_file_name, sidecar_file_name, "manifest.json"}) {
    const fs::path file = dir / "a" / name;
    const std::uint64_t size = fs::file_size(file);
    for (int round = 0; round < 10; ++round) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const std::uint64_t at = round == 0 ? 0 : round == 1 ? size - 1 : (random >> 20) % size;
      flip_byte(file, at);
      INFO(name << " at " << at);
      const Error error = load_error(dir / "a");
      INFO(error.what());
      CHECK(error.code() == Errc::damaged);
      CHECK(contains(error.what(), name));
      flip_byte(file, at);
    }
  }
  CheckpointReader reader;
  CHECK(reader.load(dir / "a").get() == large_state());
}

TEST_CASE("A partial load does not look at blocks that it does not need") {
  TempDir dir;
  write_checkpoint(dir / "a", large_state());
  flip_byte(dir / "a" / data_file_name, 1 * block_bytes + 5);
  CheckpointReader reader;
  LoadOptions options;
  options.keys({"step"});
  CHECK(reader.load(dir / "a", options).get().at("step").as<std::int64_t>() == 3);
  options.keys({"big"});
  CHECK(error_of([&] { reader.load(dir / "a", options).get(); }).code() == Errc::damaged);
}

TEST_CASE("Damage that was found after targets were touched says so") {
  TempDir dir;
  write_checkpoint(dir / "a", large_state());
  flip_byte(dir / "a" / data_file_name, 3 * block_bytes + 5);
  StateDict target;
  target["big"] = blank_like(large_state().at("big").tensor());
  target["step"] = 0;
  CheckpointReader reader;
  const Error error = error_of([&] { reader.load_into(dir / "a", target).get(); });
  check_damaged(error, {"block 3", "unspecified"});
  CHECK(target.at("step").as<std::int64_t>() == 0);
}

TEST_CASE("Files that are cut, longer or missing are damage that names them") {
  TempDir dir;
  write_checkpoint(dir / "a", large_state());
  const std::string name = GENERATE(std::string(data_file_name), std::string(sidecar_file_name));
  const fs::path file = dir / "a" / name;
  SECTION("cut by one byte") {
    fs::resize_file(file, fs::file_size(file) - 1);
  }
  SECTION("one byte more") {
    fs::resize_file(file, fs::file_size(file) + 1);
  }
  SECTION("empty") {
    fs::resize_file(file, 0);
  }
  SECTION("missing") {
    fs::remove(file);
  }
  SECTION("a directory") {
    fs::remove(file);
    fs::create_directory(file);
  }
  check_damaged(load_error(dir / "a"), {file.string()});
  check_damaged(load_error(dir / "a", LoadOptions().verify(false)), {file.string()});
}

TEST_CASE("A manifest that is cut or empty is damage") {
  TempDir dir;
  write_checkpoint(dir / "a", large_state());
  const fs::path file = dir / "a" / "manifest.json";
  const std::uint64_t size = fs::file_size(file);
  fs::resize_file(file, GENERATE(0u, 1u, 100u));
  CHECK(fs::file_size(file) < size);
  check_damaged(load_error(dir / "a"), {file.string()});
}

TEST_CASE("A manifest that names files outside its directory is refused") {
  TempDir dir;
  const CheckpointText text(large_state());
  text.write(dir / "a");
  std::string manifest = text.manifest(text.sidecar());
  const std::string outside = GENERATE(std::string("../x"), std::string("/etc/passwd"), std::string(".."));
  const auto at = manifest.find(data_file_name);
  REQUIRE(at != std::string::npos);
  manifest.replace(at, std::string(data_file_name).size(), outside);
  // With a digest that is right again, so that it is the name that is refused.
  const std::string member = "\"digest\"";  // its last
  const auto last = manifest.rfind(member);
  const auto value = manifest.find('"', last + member.size());
  for (const std::size_t end : {last, last - 1, last - 2, last - 3, last - 4}) {
    std::string tried = manifest;
    tried.replace(value + 1, 32, format::to_hex(format::digest(std::string_view(manifest).substr(0, end))));
    write_text(dir / "a" / "manifest.json", tried);
    check_damaged(load_error(dir / "a"), {"manifest.json"});
  }
}

TEST_CASE("Files of two saves do not make a checkpoint") {
  TempDir dir;
  CheckpointText first(large_state());
  CheckpointText second(large_state());
  second.attempt = "fedcba9876543210fedcba9876543210";
  first.write(dir / "a");
  SECTION("a sidecar of another attempt that the manifest vouches for") {
    const std::string sidecar = second.sidecar();
    write_text(dir / "a" / sidecar_file_name, sidecar);
    write_text(dir / "a" / "manifest.json", first.manifest(sidecar));
    check_damaged(load_error(dir / "a"), {sidecar_file_name, "another save"});
  }
  SECTION("a sidecar that the manifest does not vouch for") {
    write_text(dir / "a" / sidecar_file_name, second.sidecar());
    check_damaged(load_error(dir / "a"), {sidecar_file_name});
  }
  SECTION("a data file of the same size") {
    StateDict other = large_state();
    other["small"] = counted<float>({10}, 1.0f);
    write_text(dir / "a" / data_file_name, CheckpointText(other).data);
    check_damaged(load_error(dir / "a"), {data_file_name, "block"});
  }
}

TEST_CASE("A header out of bounds is refused though all digests are right") {
  TempDir dir;
  CheckpointText text(large_state());
  SECTION("a length beyond the file") {
    text.data[4] = '\x7f';
  }
  SECTION("a length beyond what readers take") {
    text.data[3] = '\x7f';
  }
  SECTION("offsets beyond the file") {
    const auto at = text.data.find("3670016");
    REQUIRE(at != std::string::npos);
    text.data.replace(at, 7, "9999999");
  }
  SECTION("no JSON") {
    text.data[8] = 'x';
  }
  SECTION("not even a length") {
    text.data = "abc";
  }
  SECTION("nothing") {
    text.data.clear();
  }
  text.write(dir / "a");
  check_damaged(load_error(dir / "a"), {data_file_name});
  check_damaged(load_error(dir / "a", LoadOptions().verify(false)), {data_file_name});
}

TEST_CASE("A checkpoint is loaded, or refused, whatever a save puts in its place meanwhile") {
  TempDir dir;
  StateDict old_state;
  old_state["a"] = counted<float>({100000});
  StateDict new_state;
  new_state["b"] = counted<double>({70000});
  CheckpointText old_text(old_state);
  CheckpointText new_text(new_state);
  new_text.attempt = "fedcba9876543210fedcba9876543210";
  old_text.write(dir / "a");
  CheckpointReader reader;
  for (int round = 0; round < 30; ++round) {
    (round % 2 == 0 ? new_text : old_text).write(dir / "next");
    const Future<StateDict> load = reader.load(dir / "a");
    fs::rename(dir / "a", dir / "away");
    fs::rename(dir / "next", dir / "a");
    fs::remove_all(dir / "away");
    try {
      const StateDict loaded = load.get();
      CHECK((loaded == old_state || loaded == new_state));
    } catch (const Error& error) {
      // Two renames are not one exchange: in between there is nothing.
      INFO(error.what());
      CHECK(error.code() == std::errc::no_such_file_or_directory);
    }
  }
}
