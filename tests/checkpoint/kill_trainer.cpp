// The trainer of test_kills: saves in a loop, every tensor of one save filled with its step number, and says on
// standard output what it has seen, in lines that the test reads until it kills this process.
//
//   kill_trainer RUNS LOG BYTES SAVES     SAVES 0: until it is killed
//
// Exit code 3: something was wrong, and the last line says what.

#include <unistd.h>

#include <algorithm>
#include <cairn/cairn.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/support/uniform_state.hpp"

namespace fs = std::filesystem;

namespace {

/// One write, so that a kill never leaves half a line.
void say(const std::string& line) {
  const std::string text = line + "\n";
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) std::_Exit(4);
}

/// Odd steps get a directory of their own, even ones go over the same one again and again.
fs::path path_of(const fs::path& runs, std::int64_t step) {
  return step % 2 == 0 ? runs / "rolling" : runs / ("step-" + std::to_string(step));
}

cairn::CheckpointerConfig config_with(const fs::path& log) {
  cairn::CheckpointerConfig config;
  config.max_in_flight = 2;
  config.process.log_file = log;
  config.on_error = [](const cairn::Error& error) { say(std::string("error ") + error.what()); };
  return config;
}

void train(const fs::path& runs, const fs::path& log, std::int64_t bytes, std::int64_t saves) {
  auto checkpointer = cairn::make_async_checkpointer(config_with(log));
  say("worker " + std::to_string(checkpointer->process().worker_pid()));
  cairn::test::UniformState model(bytes);
  std::int64_t step = 0;
  if (const auto latest = cairn::latest_checkpoint(runs)) {
    checkpointer->load_into(*latest, model.state()).get();
    step = model.step();
    if (!model.is_uniform()) {
      say("torn " + latest->string());
      std::_Exit(3);
    }
  }
  say("resumed " + std::to_string(step));

  std::vector<cairn::Saving> unfinished;
  for (std::int64_t save = 0; saves == 0 || save < saves; ++save) {
    model.fill(++step);
    unfinished.push_back(checkpointer->save(path_of(runs, step), model.state(), cairn::SaveOptions().step(step)));
    unfinished.back().staged().get();
    say("staged " + std::to_string(step));
    say("worker " + std::to_string(checkpointer->process().worker_pid()));
    std::erase_if(unfinished, [](const cairn::Saving& each) {
      if (!each.committed().ready()) return false;
      each.get();
      return true;
    });
  }
  checkpointer->close().get();
  say("closed");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  try {
    train(argv[1], argv[2], std::atoll(argv[3]), std::atoll(argv[4]));
  } catch (const std::exception& error) {
    say(std::string("failed ") + error.what());
    return 3;
  }
  return 0;
}
