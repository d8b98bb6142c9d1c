#include "save_report.hpp"

#include <fmt/format.h>

#include <utility>

namespace example {

namespace {

double milliseconds(SaveReport::Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

void print(const SaveReport::Save& save) {
  const double committed_after_ms = milliseconds(SaveReport::Clock::now() - save.begun);
  const double megabytes = static_cast<double>(save.saving.progress().bytes_written) / 1e6;
  fmt::print("  {:>8}  {:>7.4f}  {:>9.1f} ms  {:>12.1f}  {:>14.0f} ms  {:>6.0f}\n", save.step, save.loss,
             milliseconds(save.training_waited), megabytes, committed_after_ms, megabytes / (committed_after_ms / 1e3));
}

}  // namespace

void SaveReport::add(Save save) {
  if (!thread_.joinable()) {
    fmt::print("  {:>8}  {:>7}  {:>12}  {:>12}  {:>17}  {:>6}\n", "step", "loss", "loop waited", "written MB",
               "committed after", "MB/s");
    thread_ = std::thread([this] { run(); });
  }
  const std::lock_guard lock(mutex_);
  saves_.push_back(std::move(save));
  changed_.notify_one();
}

void SaveReport::finish() {
  wait_for_all();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void SaveReport::wait_for_all() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
    changed_.notify_one();
  }
  thread_.join();
}

void SaveReport::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return finishing_ || !saves_.empty(); });
    if (saves_.empty()) return;
    const Save save = std::move(saves_.front());
    saves_.pop_front();
    lock.unlock();
    try {
      save.saving.get();
      print(save);
    } catch (...) {
      if (!error_) error_ = std::current_exception();
    }
  }
}

}  // namespace example
