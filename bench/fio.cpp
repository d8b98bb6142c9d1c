#include "fio.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "cairn/error.hpp"
#include "format/json.hpp"

namespace cairn::bench {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t block_bytes = std::uint64_t{4} << 20;

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

/// Runs fio with these arguments, and variables beside our own, its output in a file; answers whether it exited with 0.
bool run_fio(std::vector<std::string> arguments, std::vector<std::string> variables, const fs::path& output,
             const fs::path& errors) {
  arguments.insert(arguments.begin(), "fio");
  std::vector<char*> argv;
  for (std::string& argument : arguments)
    argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<char*> environment;
  for (std::string& variable : variables)
    environment.push_back(variable.data());
  for (char** inherited = environ; *inherited != nullptr; ++inherited)
    environment.push_back(*inherited);
  environment.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, "fio", &actions, nullptr, argv.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw Error::from_errno(failed, "start fio (is it installed? `./dev deps bench`)");
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw Error::from_errno(errno, "wait for fio");
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

Fio::Fio(fs::path directory) : directory_(std::move(directory)) {
  const fs::path output = directory_ / "fio-output";
  const fs::path errors = directory_ / "fio-errors";
  if (!run_fio({"--version"}, {}, output, errors)) {
    throw Error(Errc::bad_argument, "fio --version: " + text_of(errors));
  }
  version_ = text_of(output);
  while (!version_.empty() && version_.back() == '\n')
    version_.pop_back();
}

double Fio::write(const fs::path& file, std::uint64_t bytes, bool huge) const {
  return run("write", file, bytes, huge ? "shmhuge" : "mmapshared");
}

double Fio::read(const fs::path& file, std::uint64_t bytes) const {
  return run("read", file, bytes, "malloc");
}

double Fio::run(const std::string& section, const fs::path& file, std::uint64_t bytes,
                const std::string& memory) const {
  const fs::path output = directory_ / "fio-output";
  const fs::path errors = directory_ / "fio-errors";
  const std::vector<std::string> arguments{"--output-format=json", "--section=" + section, CAIRN_BENCH_FIO_JOBS};
  const std::vector<std::string> variables{"FILE=" + file.string(),
                                           fmt::format("BYTES={}", bytes / block_bytes * block_bytes),
                                           "IOMEM=" + memory, "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"};
  const bool good = run_fio(arguments, variables, output, errors);
  const std::string text = text_of(output);
  const std::size_t begin = text.find('{');  // warnings come before it
  if (!good || begin == std::string::npos) {
    throw Error::from_errno(EIO, fmt::format("run fio to {} {}: {}{}", section, file.string(), text, text_of(errors)));
  }
  const std::string where = "fio's output";
  const format::Json json = format::parse_json(std::string_view(text).substr(begin), 64, where);
  const format::Json& job = json.member("jobs", where).array(where).at(0);
  const format::Json& direction = job.member(section, where);
  const auto transferred = static_cast<double>(direction.member("io_bytes", where).uint64(where));
  const auto milliseconds = static_cast<double>(direction.member("runtime", where).uint64(where));
  return transferred / milliseconds * 1e3;
}

}  // namespace cairn::bench
