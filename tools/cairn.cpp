#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>

#include "cairn/error.hpp"
#include "cairn/version.hpp"
#include "commands.hpp"

namespace {

namespace fs = std::filesystem;
using namespace cairn::tools;

int run(int (*command)(const fs::path&), const fs::path& path) {
  try {
    return command(path);
  } catch (const cairn::Error& error) {
    fmt::print(stderr, "cairn: {}\n", error.what());
    if (error.code() == cairn::Errc::damaged) return exit_damaged;
    const bool nothing_there = error.code() == cairn::Errc::not_a_checkpoint ||
                               error.code() == std::errc::no_such_file_or_directory ||
                               error.code() == std::errc::not_a_directory;
    return nothing_there ? exit_no_checkpoint : exit_failed;
  } catch (const std::exception& error) {
    fmt::print(stderr, "cairn: {}\n", error.what());
    return exit_failed;
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Looks at checkpoints that were written by cairn.", "cairn");
  app.set_version_flag("--version", fmt::format("cairn {}", cairn::version()));
  app.require_subcommand(1);
  app.footer("Exit status: 0 all is well, 1 damaged, 2 not a checkpoint, 3 any other failure, 64 wrong usage.");

  fs::path path;
  CLI::App* const inspect_command =
      app.add_subcommand("inspect", "Prints what a checkpoint holds: step, time, metadata, and the tree of its values");
  inspect_command->add_option("PATH", path, "A checkpoint's directory, or a safetensors file")->required();

  CLI::App* const verify_command =
      app.add_subcommand("verify", "Reads a whole checkpoint and checks every digest of every file");
  verify_command->add_option("PATH", path, "A checkpoint's directory")->required();
  verify_command->footer("Exit status: 0 whole, 1 damaged (file and block are printed), 2 not a checkpoint.");

  CLI::App* const list_command =
      app.add_subcommand("ls", "Lists the checkpoints of a directory, newest first, then saves that are not committed");
  list_command->add_option("DIR", path, "The directory that checkpoints are saved to")->required();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_whole : exit_usage;
  }
  if (*inspect_command) return run(inspect, path);
  if (*verify_command) return run(verify, path);
  return run(list, path);
}
