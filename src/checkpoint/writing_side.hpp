#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "cairn/error.hpp"
#include "cairn/rank_info.hpp"
#include "cairn/task.hpp"
#include "core/slot.hpp"
#include "executor/slot_client.hpp"
#include "loop/loop.hpp"

namespace cairn::checkpoint {

/// Who writes: brought up, found, and ended. The constructors of its kinds do what must happen before there are
/// threads.
class WritingSide {
 public:
  virtual ~WritingSide() = default;

  const std::shared_ptr<const SharedSlots>& slots() const noexcept { return slots_; }
  const RankInfo& rank() const noexcept { return rank_; }

  // On the I/O loop:

  /// Makes it ready. Throws.
  virtual Task<> start(loop::Loop& loop) = 0;

  /// Whom to give a save to. Where the last one is gone, and once `all_free` returns, another is brought up.
  virtual Task<executor::SlotClient*> find(std::function<Task<>()> all_free) = 0;

  /// Ends it, idle as it is. Throws when it does not end. Nothing runs afterwards.
  virtual Task<> shut_down() = 0;

  /// Leaves it what is staged.
  virtual Task<> leave() = 0;

  /// Once started: why threads move file bytes instead of io_uring; empty where io_uring does, or threads were asked
  /// for.
  virtual std::string io_fallback() const = 0;

  /// Destroys what belongs to the loop's thread.
  virtual void reset() = 0;

  // Any thread; 0: none.
  virtual pid_t supervisor_pid() const noexcept { return 0; }
  virtual pid_t worker_pid() const noexcept { return 0; }

 protected:
  WritingSide(std::shared_ptr<const SharedSlots> slots, RankInfo rank) : slots_(std::move(slots)), rank_(rank) {}

 private:
  std::shared_ptr<const SharedSlots> slots_;
  RankInfo rank_;
};

}  // namespace cairn::checkpoint
