#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cairn/reader.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <set>
#include <sstream>
#include <string>

#include "checkpoint/support/child_program.hpp"
#include "checkpoint/support/uniform_state.hpp"
#include "checkpoint/support/workplace.hpp"
#include "checkpoint/verify.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

// A trainer is killed at random moments and started again at once, while the executor of the killed one may still be
// writing. What must hold each time: the new trainer resumes from nothing older than the last save that it was told was
// staged, and every directory that counts as a checkpoint is whole and holds one save, not parts of two.

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto patience = std::chrono::seconds(120);  // nothing takes that long; a hang is a failure

int kills() {
  const char* const wanted = std::getenv("CAIRN_KILLS");
  return wanted == nullptr ? 50 : std::atoi(wanted);
}

class KillRun {
 public:
  KillRun(std::uint64_t seed, std::int64_t bytes) : random_(seed), bytes_(bytes) {}

  Workplace& place() { return place_; }
  std::mt19937_64& random() { return random_; }

  ChildProgram start(std::int64_t saves) {
    return ChildProgram({CAIRN_KILL_TRAINER, place_.runs().string(), place_.log_file().string(), std::to_string(bytes_),
                         std::to_string(saves)});
  }

  std::chrono::microseconds random_time(std::chrono::microseconds max) {
    return std::chrono::microseconds(std::uniform_int_distribution<std::int64_t>(0, max.count())(random_));
  }

  /// One life of a trainer, from its start to the kill.
  void live_once(bool kill_worker) {
    ChildProgram trainer = start(0);
    const bool kill_early = random_() % 8 == 0;
    auto kill_at = Clock::now() + (kill_early ? random_time(std::chrono::milliseconds(60)) : patience);
    bool resumed = false;
    Clock::time_point kill_worker_at = Clock::time_point::max();
    while (Clock::now() < kill_at) {
      if (Clock::now() >= kill_worker_at) {
        kill_worker_at = Clock::time_point::max();
        if (worker_ > 0 && ::kill(worker_, SIGKILL) == 0) ++workers_killed;
      }
      const auto line = trainer.line(std::min(kill_at, kill_worker_at));
      if (line) {
        take(*line);
        if (!line->starts_with("resumed ")) continue;
        resumed = true;
        // It would save on and on meanwhile, which is to be looked at in its turn.
        trainer.kill(SIGSTOP);
        check_directories(staged_);
        trainer.kill(SIGCONT);
        kill_at = Clock::now() + random_time(std::chrono::milliseconds(250));
        if (kill_worker) kill_worker_at = Clock::now() + random_time(std::chrono::milliseconds(150));
      } else if (trainer.ended()) {
        break;
      }
    }
    const bool ended_by_itself = trainer.ended();
    CHECK_FALSE(ended_by_itself);
    CHECK((resumed || kill_early));
    trainer.kill(SIGKILL);
    trainer.wait();
    while (const auto line = trainer.line(Clock::now() + patience))
      take(*line);
  }

  /// A life that ends by itself, after one save more.
  void finish() {
    ChildProgram trainer = start(1);
    bool closed = false;
    while (const auto line = trainer.line(Clock::now() + patience)) {
      take(*line);
      closed = closed || *line == "closed";
    }
    CHECK(closed);
    CHECK(trainer.wait() == 0);
  }

  void take(const std::string& line) {
    INFO("trainer: " << line);
    std::istringstream in(line);
    std::string what;
    std::int64_t number = 0;
    in >> what >> number;
    if (what == "staged") {
      staged_ = number;
      ++saves_seen;
    } else if (what == "worker") {
      worker_ = static_cast<pid_t>(number);
    } else if (what == "resumed") {
      CHECK(number >= staged_);
      staged_ = number;
    } else {
      CHECK(line == "closed");
    }
  }

  /// Only what the trainer never touches again is looked at: directories of odd steps.
  void check_directories(std::int64_t resumed) {
    for (const fs::directory_entry& entry : fs::directory_iterator(place_.runs())) {
      const std::string name = entry.path().filename().string();
      if (name.find(".partial-") != std::string::npos || name == "rolling") continue;
      INFO("checkpoint " << name);
      REQUIRE(name.starts_with("step-"));
      check_checkpoint(entry.path(), std::atoll(name.c_str() + 5));
      if (std::atoll(name.c_str() + 5) < resumed) fs::remove_all(entry.path());
    }
  }

  void check_checkpoint(const fs::path& path, std::int64_t step) {
    if (!checked_.insert(path.filename().string()).second) return;
    CheckpointReader().load_into(path, model_.state()).get();  // checks every digest
    CHECK(model_.step() == step);
    CHECK(model_.is_uniform());
    ++checkpoints_checked;
  }

  std::int64_t staged() const { return staged_; }

  int workers_killed = 0;
  int checkpoints_checked = 0;
  int saves_seen = 0;

 private:
  std::mt19937_64 random_;
  const std::int64_t bytes_;
  UniformState model_{bytes_};
  Workplace place_;
  std::int64_t staged_ = 0;
  pid_t worker_ = 0;
  std::set<std::string> checked_;
};

void kill_again_and_again(bool kill_worker, std::int64_t bytes, int count, std::uint64_t seed) {
  INFO("seed " << seed << ", " << count << " kills, " << bytes << " bytes");
  KillRun run(seed, bytes);
  for (int kill = 0; kill < count; ++kill) {
    INFO("kill " << kill);
    run.live_once(kill_worker);
  }
  run.finish();

  CHECK(run.place().leftovers() == std::vector<std::string>());
  const auto latest = latest_checkpoint(run.place().runs());
  REQUIRE(latest);
  CHECK(checkpoint::verify_checkpoint(*latest).whole());
  run.check_checkpoint(*latest, run.staged());
  // Otherwise this has tested nothing.
  CHECK(run.saves_seen >= count / 2);
  CHECK(run.checkpoints_checked >= count / 8);
  if (kill_worker) CHECK(run.workers_killed >= count / 4);
}

}  // namespace

TEST_CASE("a trainer killed at random moments resumes from what was staged, and every checkpoint is whole") {
  kill_again_and_again(false, std::int64_t{8} << 20, kills(), seed());
}

TEST_CASE("the same while the worker is killed, too") {
  kill_again_and_again(true, std::int64_t{16} << 20, kills() / 2, seed() + 1);
}

}  // namespace cairn::test
