// The program `bench`: what cairn reaches of what the machine can do. See --help; `./dev bench` builds and starts it.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "cairn/error.hpp"
#include "fio.hpp"
#include "guard.hpp"
#include "loop/loop.hpp"
#include "machine.hpp"
#include "nop.hpp"
#include "report.hpp"
#include "save_call.hpp"
#include "save_rounds.hpp"
#include "uring/file_io.hpp"

namespace {

namespace fs = std::filesystem;
using cairn::Error;
using cairn::bench::Machine;
using cairn::bench::Result;

struct Options {
  fs::path json;
  fs::path directory;
  double size_gib = 2;
  unsigned rounds = 7;
  std::uint64_t seed = std::random_device()();
};

/// The source, the target to load into, and the staging memory; and a checkpoint beside fio's file.
constexpr std::uint64_t memory_copies = 3;
constexpr std::uint64_t disk_copies = 2;
constexpr std::uint64_t margin_bytes = std::uint64_t{256} << 20;

/// Which of cairn's I/O backends works here. Every limit is io_uring's, so without it there is nothing to compare with.
std::string io_backend() {
  cairn::loop::Loop loop;
  const auto io = cairn::uring::FileIo::make(loop, cairn::uring::Backend::automatic);
  if (io->backend() == cairn::uring::Backend::uring) return "uring";
  throw Error(cairn::Errc::bad_argument, "measure without io_uring (" + io->backend_reason() + ")");
}

void append(std::vector<Result>& results, std::vector<Result> more) {
  results.insert(results.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  out.close();
  if (!out) throw Error::from_errno(EIO, "write " + path.string());
}

void measure(const Options& options, const fs::path& directory) {
  const auto state_bytes = static_cast<std::uint64_t>(options.size_gib * (1U << 30));
  cairn::bench::require_room(directory, state_bytes * memory_copies + margin_bytes,
                             state_bytes * disk_copies + margin_bytes);
  Machine machine = cairn::bench::describe_machine(directory);
  machine.emplace_back("io_backend", io_backend());
  machine.emplace_back("fio", cairn::bench::Fio(directory).version());
  machine.emplace_back("size", fmt::format("{} GiB", options.size_gib));
  machine.emplace_back("seed", std::to_string(options.seed));
  for (const auto& [name, value] : machine)
    fmt::print("{}: {}\n", name, value);
  std::fflush(stdout);

  std::mt19937_64 random(options.seed);
  std::vector<Result> results = cairn::bench::SaveRounds(directory, state_bytes, options.rounds, random).run();
  append(results, cairn::bench::measure_save_call(directory));
  append(results, cairn::bench::measure_nop(random));

  fmt::print("\n{}", cairn::bench::as_table(results));
  if (!options.json.empty()) write_file(options.json, cairn::bench::as_json(machine, results));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Measures cairn against the limits of this machine: fio, memcpy and raw liburing.");
  app.add_option("--json", options.json, "Write the figures to this file, too");
  app.add_option("--size", options.size_gib, "GiB of state in 300 tensors")
      ->check(CLI::Range(1.0 / 16, 1024.0))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "Pairs of runs for each figure")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--dir", options.directory, "Where to write, on the disk to be measured (default: build/, or here)")
      ->check(CLI::ExistingDirectory);
  app.add_option("--seed", options.seed, "Of the order of the runs (default: random; it is printed)");
  CLI11_PARSE(app, argc, argv);
  if (options.directory.empty()) options.directory = fs::is_directory("build") ? "build" : ".";
  options.json = options.json.empty() ? fs::path() : fs::absolute(options.json);

  const auto work = [&options](const fs::path& directory) {
    try {
      measure(options, directory);
      return 0;
    } catch (const std::exception& error) {
      std::fflush(stdout);
      fmt::print(stderr, "bench: {}\n", error.what());
      return 1;
    }
  };
  try {
    return cairn::bench::run_guarded(options.directory, work);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench: {}\n", error.what());
    return 1;
  }
}
