#include "subject.hpp"

#include <unistd.h>

#include <fstream>
#include <utility>

#include "cairn/error.hpp"
#include "cairn/process.hpp"
#include "clock.hpp"
#include "disk.hpp"

namespace cairn::bench {
namespace fs = std::filesystem;

Subject::Subject(const fs::path& directory, TrainingState& state) : directory_(directory / "cairn"), state_(state) {
  fs::create_directories(directory_);
  gate_ = std::make_unique<WriterGate>(directory_);
  CheckpointerParts parts;
  parts.checkpoint_writer_init_fn = gate_->writer();
  checkpointer_ = make_async_checkpointer(CheckpointerConfig(), std::move(parts));
}

Subject::~Subject() {
  checkpointer_.reset();
  fs::remove_all(directory_);
}

SaveTimes Subject::save(bool held) {
  if (!newest_.empty()) fs::remove_all(newest_);
  newest_ = directory_ / ("step-" + std::to_string(++saves_));
  state_.train();
  settle(directory_);

  SaveTimes times;
  if (!held) gate_->open();
  const double trainer_before = cpu_seconds(::getpid());
  const double executor_before = executor_cpu_seconds();
  const Stopwatch total;
  const Saving saving = checkpointer_->save(newest_, state_.source());
  saving.staged().get();
  times.staging_seconds = total.seconds();
  const double trainer_staged = cpu_seconds(::getpid());
  const Stopwatch writing;
  if (held) gate_->open();
  saving.get();
  times.writing_seconds = writing.seconds();
  times.total_seconds = total.seconds();
  const double trainer_committed = cpu_seconds(::getpid());
  times.executor_cpu_seconds = executor_cpu_seconds() - executor_before;
  times.trainer_writing_cpu_seconds = trainer_committed - trainer_staged;
  times.trainer_cpu_seconds = trainer_committed - trainer_before;

  verify();
  return times;
}

double Subject::load() {
  state_.forget_target();
  for (const auto& file : fs::directory_iterator(newest_))
    evict(file.path());
  settle(directory_);
  const Stopwatch watch;
  checkpointer_->load_into(newest_, state_.target()).get();
  const double seconds = watch.seconds();
  state_.require_equal("load " + newest_.string());
  return seconds;
}

/// Reads it back with every digest checked, and compares.
void Subject::verify() {
  static_cast<void>(load());
}

fs::path Subject::data_file() const {
  for (const auto& file : fs::directory_iterator(newest_)) {
    if (file.path().extension() == ".safetensors") return file.path();
  }
  throw Error(Errc::not_a_checkpoint, "find the data file of " + newest_.string());
}

double Subject::executor_cpu_seconds() const {
  const CheckpointProcess& process = checkpointer_->process();
  return cpu_seconds(process.pid()) + cpu_seconds(process.worker_pid());
}

bool Subject::arena_is_huge() {
  std::ifstream maps("/proc/self/smaps");
  bool is_slot = false;
  std::string line;
  while (std::getline(maps, line)) {
    std::uint64_t kilobytes = 0;
    if (line.find("/memfd:cairn-slot-") != std::string::npos) {
      is_slot = line.find("-request") == std::string::npos;
      if (is_slot && line.find("-huge") != std::string::npos) return true;
    } else if (line.find('-') < line.find(' ')) {
      is_slot = false;
    } else if (is_slot && line.starts_with("ShmemPmdMapped:")) {
      kilobytes = std::stoull(line.substr(line.find(':') + 1));
      if (kilobytes > 0) return true;
    }
  }
  return false;
}

}  // namespace cairn::bench
