#include "save_rounds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <utility>

#include "copy_limit.hpp"
#include "disk.hpp"
#include "subject.hpp"

// A round has a checkpointer of its own: its first save is measured by itself, the second one, which registers the
// memory that the first one touched, is not. Then every figure is taken once, in random order: cairn's run and the
// limit's, whichever comes first, one right after the other.

namespace cairn::bench {
namespace fs = std::filesystem;
namespace {

constexpr double bytes_per_megabyte = 1e6;

Goal at_least(double ratio) {
  return Goal{Goal::Of::ratio, Goal::Side::at_least, ratio};
}

Goal at_most(Goal::Of of, double bound) {
  return Goal{of, Goal::Side::at_most, bound};
}

/// What the saves of all rounds have given.
struct Collected {
  std::vector<Pair> persist, save, staging, load, first_save;
  std::vector<double> trainer_writing_cpu, trainer_cpu, executor_cpu, total_cpu;
};

class Round {
 public:
  Round(const fs::path& directory, TrainingState& state, const Fio& fio, const CopyLimit& copy, std::mt19937_64& random,
        Collected& collected)
      : directory_(directory),
        state_(state),
        fio_(fio),
        copy_(copy),
        random_(random),
        collected_(collected),
        subject_(directory, state) {}

  void run() {
    const double first_seconds = subject_.save().total_seconds;
    subject_.save();
    huge_ = Subject::arena_is_huge();

    std::vector<std::function<void()>> figures;
    figures.emplace_back(
        [&] { collected_.persist.push_back(pair([&] { return persist(); }, [&] { return fio_write(); })); });
    figures.emplace_back([&] { collected_.save.push_back(pair([&] { return save(); }, [&] { return fio_write(); })); });
    figures.emplace_back([&] { collected_.staging.push_back(pair([&] { return stage(); }, [&] { return copy(); })); });
    figures.emplace_back([&] { collected_.load.push_back(pair([&] { return load(); }, [&] { return fio_read(); })); });
    std::shuffle(figures.begin(), figures.end(), random_);
    for (const std::function<void()>& figure : figures)
      figure();
    collected_.first_save.push_back(Pair{first_seconds, later_seconds_});
  }

 private:
  Pair pair(const std::function<double()>& cairn, const std::function<double()>& limit) {
    Pair pair;
    if (std::uniform_int_distribution(0, 1)(random_) == 0) {
      pair.value = cairn();
      pair.baseline = limit();
    } else {
      pair.baseline = limit();
      pair.value = cairn();
    }
    return pair;
  }

  double megabytes_in(double seconds) const {
    return static_cast<double>(state_.tensor_bytes()) / bytes_per_megabyte / seconds;
  }

  double per_gibibyte(double seconds) const {
    return seconds / static_cast<double>(state_.tensor_bytes()) * static_cast<double>(1U << 30);
  }

  double persist() {
    const SaveTimes times = subject_.save_held();
    collected_.trainer_writing_cpu.push_back(per_gibibyte(times.trainer_writing_cpu_seconds));
    return megabytes_in(times.writing_seconds);
  }

  double save() {
    const SaveTimes times = subject_.save();
    later_seconds_ = times.total_seconds;
    collected_.trainer_cpu.push_back(per_gibibyte(times.trainer_cpu_seconds));
    collected_.executor_cpu.push_back(per_gibibyte(times.executor_cpu_seconds));
    collected_.total_cpu.push_back(per_gibibyte(times.trainer_cpu_seconds + times.executor_cpu_seconds));
    return megabytes_in(times.total_seconds);
  }

  double stage() { return megabytes_in(subject_.save_held().staging_seconds); }
  double load() { return megabytes_in(subject_.load()); }

  double copy() {
    settle(directory_);
    return copy_.run() / bytes_per_megabyte;
  }

  double fio_write() {
    const fs::path file = directory_ / "fio-file";
    settle(directory_);
    const double speed = fio_.write(file, state_.tensor_bytes(), huge_);
    fs::remove(file);
    return speed / bytes_per_megabyte;
  }

  double fio_read() {
    const fs::path file = subject_.data_file();
    evict(file);
    settle(directory_);
    return fio_.read(file, state_.tensor_bytes()) / bytes_per_megabyte;
  }

  const fs::path& directory_;
  TrainingState& state_;
  const Fio& fio_;
  const CopyLimit& copy_;
  std::mt19937_64& random_;
  Collected& collected_;
  Subject subject_;
  bool huge_ = false;
  double later_seconds_ = 0;
};

Result row(Result result, std::optional<Goal> goal, std::string what) {
  result.goal = goal;
  result.what = std::move(what);
  return result;
}

}  // namespace

SaveRounds::SaveRounds(fs::path directory, std::uint64_t state_bytes, unsigned rounds, std::mt19937_64& random)
    : directory_(std::move(directory)), state_bytes_(state_bytes), rounds_(rounds), random_(random) {}

std::vector<Result> SaveRounds::run() {
  TrainingState state(state_bytes_, tensors);
  const Fio fio(directory_);
  const CopyLimit copy(state.target_memory(), state.source_memory(), state.tensor_bytes(), random_);
  Collected collected;
  for (unsigned round = 1; round <= rounds_; ++round) {
    fmt::print(stderr, "round {} of {}\n", round, rounds_);
    Round(directory_, state, fio, copy, random_, collected).run();
  }

  std::vector<Result> results;
  results.push_back(row(of_pairs("persist", "MB/s", collected.persist), at_least(0.95),
                        "all staged, to durable; baseline: " + fio.version()));
  results.push_back(
      row(of_pairs("save", "MB/s", collected.save), at_least(0.90), "save() to durable; baseline: " + fio.version()));
  results.push_back(row(of_pairs("staging", "MB/s", collected.staging), at_least(0.90),
                        "save() to staged; baseline: " + copy.name()));
  results.push_back(row(of_pairs("load", "MB/s", collected.load), at_least(0.90),
                        "cold, verified, into place; baseline: " + fio.version()));
  results.push_back(row(of_pairs("first_save", "s", collected.first_save), at_most(Goal::Of::ratio, 1.5),
                        "of a checkpointer; baseline: a later one"));
  results.push_back(row(of_samples("trainer_cpu_s_per_gib", "s/GiB", collected.trainer_writing_cpu),
                        at_most(Goal::Of::value, 0.01), "of the trainer, from staged to durable"));
  results.push_back(row(of_samples("trainer_save_cpu_s_per_gib", "s/GiB", collected.trainer_cpu), std::nullopt,
                        "of the trainer, the copy included"));
  results.push_back(row(of_samples("executor_cpu_s_per_gib", "s/GiB", collected.executor_cpu), std::nullopt,
                        "of the checkpoint process, digests included"));
  results.push_back(
      row(of_samples("total_cpu_s_per_gib", "s/GiB", collected.total_cpu), at_most(Goal::Of::value, 0.20), "of both"));
  return results;
}

}  // namespace cairn::bench
