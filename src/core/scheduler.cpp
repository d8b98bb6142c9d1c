#include "cairn/scheduler.hpp"

#include <utility>

namespace cairn {
namespace {

thread_local Scheduler* current_scheduler = nullptr;

}  // namespace

Scheduler* Scheduler::current() noexcept {
  return current_scheduler;
}

void Scheduler::forget_current() noexcept {
  current_scheduler = nullptr;
}

Scheduler::Running::Running(Scheduler& scheduler) noexcept : previous_(std::exchange(current_scheduler, &scheduler)) {}

Scheduler::Running::~Running() {
  current_scheduler = previous_;
}

}  // namespace cairn
