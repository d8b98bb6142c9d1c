// The program `demo`: shows that a trainer that is killed in the middle of a save loses nothing that it need lose.
//
//   demo                    about half a minute, in a temporary directory
//   demo --dir checkpoints  the same, and keeps the checkpoints
//   demo --large            the same with checkpoints of several GiB
//
// It starts the program `train` of its own folder: once undisturbed; then once more in another directory, where it
// kills it with SIGKILL, first while a checkpoint is being copied into shared memory, then while one is being written
// to disk, and starts it again each time. At the end both runs must have had the same losses, bit for bit, and both
// last checkpoints must hold the same bytes. The demo does not use cairn itself: it sees what an operator sees,
// processes and files. Its last line is `demo: ok` or `demo: FAILED` with the reason, and its exit status agrees.

#include <fmt/format.h>
#include <stdlib.h>  // NOLINT: mkdtemp is not in <cstdlib>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "loss_log.hpp"
#include "watched_program.hpp"

namespace {

using example::WatchedProgram;
namespace fs = std::filesystem;

constexpr std::int64_t saves_min = 4;  // some before, between and after the two kills
constexpr std::size_t large_table_rows = std::size_t{1} << 21;

struct Options {
  std::optional<fs::path> directory;
  std::optional<fs::path> text;
  std::int64_t steps = 600;
  std::int64_t steps_between_saves = 50;
  bool large = false;
};

/// The directory of the demo: one that stays, or a temporary one that is removed at the end.
class DemoDirectory {
 public:
  explicit DemoDirectory(const std::optional<fs::path>& kept) : temporary_(!kept) {
    if (kept) {
      path_ = *kept;
      fs::create_directories(path_);
      return;
    }
    std::string name = (fs::temp_directory_path() / "cairn-demo-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
    path_ = name;
  }
  ~DemoDirectory() {
    std::error_code ignored;
    if (temporary_) fs::remove_all(path_, ignored);
  }
  DemoDirectory(const DemoDirectory&) = delete;
  DemoDirectory& operator=(const DemoDirectory&) = delete;

  const fs::path& path() const { return path_; }

  /// A new directory inside; one that is there already would be gone on from.
  fs::path make(const std::string& name) const {
    fs::path made = path_ / name;
    if (!fs::create_directory(made))
      throw std::runtime_error(made.string() + " is there already: remove it, or give another --dir");
    return made;
  }

 private:
  bool temporary_;
  fs::path path_;
};

fs::path checkpoint(const fs::path& directory, std::int64_t step) {
  return directory / fmt::format("step-{:06}", step);
}

/// A kill in the middle of a save: the first from `step` on, while the trainer says that it is at `activity` with it.
struct Strike {
  std::string activity;  // "copying" or "writing"
  std::int64_t step;
};

/// One life of the trainer, as far as it said and the demo saw.
struct Life {
  std::int64_t last_staged = 0;  // the newest save that was out of its hands
  bool killed = false;
  bool killed_in_save = false;  // and what it was saving was not committed at that moment
};

/// Runs the trainer until it ends or `strike` kills it. It must go on from `staged_before` or a later step: a save that
/// a former life saw staged is never lost.
Life run_trainer(const Options& options, const fs::path& directory, std::int64_t staged_before,
                 const std::optional<Strike>& strike) {
  std::vector<std::string> arguments{"--dir",   directory.string(),
                                     "--steps", std::to_string(options.steps),
                                     "--every", std::to_string(options.steps_between_saves)};
  if (options.text) arguments.insert(arguments.end(), {"--text", options.text->string()});
  if (options.large) arguments.insert(arguments.end(), {"--table-rows", std::to_string(large_table_rows)});
  WatchedProgram trainer(fs::read_symlink("/proc/self/exe").parent_path() / "train", arguments);

  Life life;
  life.last_staged = staged_before;
  std::int64_t killed_at = 0;
  while (const auto line = trainer.next_line()) {
    std::istringstream words(*line);
    std::string activity;
    std::int64_t step = 0;
    words >> activity >> step;
    if (activity == "resumed" && step < staged_before)
      throw std::runtime_error(fmt::format(
          "the trainer went on from step {}, though step {} was staged before it was killed", step, staged_before));
    if (activity == "writing") life.last_staged = step;
    if (strike && !life.killed && activity == strike->activity && step >= strike->step) {
      trainer.kill();
      // Asked after the kill: what is not there now was not committed when the trainer died.
      life.killed_in_save = !fs::exists(checkpoint(directory, step));
      life.killed = true;
      killed_at = step;
    }
  }
  const std::string end = trainer.wait();
  if (!life.killed) {
    if (end != "status 0") throw std::runtime_error("train ended with " + end);
    return life;
  }
  const std::string name = checkpoint(directory, killed_at).filename().string();
  if (!life.killed_in_save)
    fmt::print("  SIGKILL, but {} was committed already: once more\n", name);
  else if (life.last_staged < killed_at)
    fmt::print("  SIGKILL while {} was being copied: it is lost, the one before it is not\n", name);
  else
    fmt::print("  SIGKILL while {} was being written: the checkpoint process lives on and commits it\n", name);
  return life;
}

void run_interrupted(const Options& options, const fs::path& directory) {
  const std::int64_t saves = options.steps / options.steps_between_saves;
  std::vector<Strike> strikes{{"copying", (saves + 2) / 3 * options.steps_between_saves},
                              {"writing", (2 * saves + 2) / 3 * options.steps_between_saves}};
  std::int64_t staged = 0;
  for (Strike& strike : strikes) {
    for (bool struck = false; !struck;) {
      const Life life = run_trainer(options, directory, staged, strike);
      if (!life.killed) throw std::runtime_error("no save took long enough to be killed while " + strike.activity);
      struck = life.killed_in_save;
      staged = life.last_staged;
      strike.step = staged + options.steps_between_saves;
    }
  }
  run_trainer(options, directory, staged, std::nullopt);
}

/// Every loss that either run had at a step must be the same text, and each run must have had all of them.
void compare_losses(const Options& options, const fs::path& whole, const fs::path& interrupted) {
  std::map<std::int64_t, std::string> expected;
  for (auto& [step, loss] : example::read_loss_log(whole / "losses.txt"))
    expected.emplace(step, loss);
  if (static_cast<std::int64_t>(expected.size()) != options.steps)
    throw std::runtime_error(fmt::format("the uninterrupted run had {} steps", expected.size()));

  std::map<std::int64_t, int> times;
  for (const auto& [step, loss] : example::read_loss_log(interrupted / "losses.txt")) {
    const auto same = expected.find(step);
    if (same == expected.end() || same->second != loss)
      throw std::runtime_error(fmt::format("step {} had the loss {}, uninterrupted {}", step, loss,
                                           same == expected.end() ? "none" : same->second));
    ++times[step];
  }
  if (times.size() != expected.size())
    throw std::runtime_error(fmt::format("the interrupted run had {} of {} steps", times.size(), expected.size()));
  std::int64_t again = 0;
  for (const auto& [step, count] : times)
    again += count - 1;
  fmt::print("  losses       {} of {} steps the same, bit for bit; {} steps were done again after a kill\n",
             times.size(), expected.size(), again);
}

bool same_bytes(const fs::path& left, const fs::path& right) {
  if (!fs::exists(right) || fs::file_size(left) != fs::file_size(right)) return false;
  std::ifstream left_stream(left, std::ios::binary);
  std::ifstream right_stream(right, std::ios::binary);
  std::vector<char> left_bytes(std::size_t{1} << 20);
  std::vector<char> right_bytes(left_bytes.size());
  while (left_stream.read(left_bytes.data(), static_cast<std::streamsize>(left_bytes.size())),
         left_stream.gcount() > 0) {
    right_stream.read(right_bytes.data(), static_cast<std::streamsize>(right_bytes.size()));
    if (left_stream.gcount() != right_stream.gcount() || left_bytes != right_bytes) return false;
  }
  return true;
}

/// The state in the last checkpoint of each run; the manifest beside it names its own attempt to save, so it differs.
void compare_checkpoints(const Options& options, const fs::path& whole, const fs::path& interrupted) {
  const std::int64_t last_step = options.steps / options.steps_between_saves * options.steps_between_saves;
  std::uintmax_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(checkpoint(whole, last_step))) {
    if (entry.path().extension() != ".safetensors") continue;
    const fs::path other = checkpoint(interrupted, last_step) / entry.path().filename();
    if (!same_bytes(entry.path(), other))
      throw std::runtime_error(other.string() + " differs from the uninterrupted run's");
    bytes += entry.file_size();
  }
  if (bytes == 0) throw std::runtime_error(checkpoint(whole, last_step).string() + " holds no state");
  fmt::print("  checkpoints  {} the same in both runs, {:.1f} MB\n", checkpoint(whole, last_step).filename().string(),
             static_cast<double>(bytes) / 1e6);
}

void run_demo(const Options& options) {
  if (options.steps / options.steps_between_saves < saves_min)
    throw std::runtime_error(fmt::format("--steps and --every leave fewer than {} saves", saves_min));
  const DemoDirectory directory(options.directory);
  const fs::path whole = directory.make("uninterrupted");
  const fs::path interrupted = directory.make("interrupted");

  fmt::print("1. a run that nobody disturbs\n");
  run_trainer(options, whole, 0, std::nullopt);
  fmt::print("\n2. the same run, killed twice in the middle of a save\n");
  run_interrupted(options, interrupted);
  fmt::print("\n3. compared\n");
  compare_losses(options, whole, interrupted);
  compare_checkpoints(options, whole, interrupted);
  if (options.directory) fmt::print("  kept         {}\n", directory.path().string());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a language model, kills it in the middle of a save, and shows that nothing is lost.");
  app.add_option("--dir", options.directory, "keep the checkpoints, here (default: a temporary directory)");
  app.add_option("--text", options.text, "the text to learn (default: the licence texts that every Debian carries)");
  app.add_option("--steps", options.steps, "steps to train")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--every", options.steps_between_saves, "steps between saves")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--large", options.large,
               "checkpoints of 4.8 GB instead of 77 MB; needs 10 GB of memory and 30 GB of disk (see --dir)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    if (status != 0) fmt::print("\ndemo: FAILED {}\n", error.what());
    return status;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // the trainer prints to the same place: keep the lines in order
  // Ctrl-C reaches the trainer as well: let its end be the demo's, which then cleans up. (exec gives it the default
  // back.)
  std::signal(SIGINT, [](int) {});
  try {
    run_demo(options);
    fmt::print("\ndemo: ok\n");
    return 0;
  } catch (const std::exception& error) {
    fmt::print("\ndemo: FAILED {}\n", error.what());
    return 1;
  }
}
