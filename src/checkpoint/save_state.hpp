#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "cairn/error.hpp"
#include "cairn/future.hpp"
#include "cairn/options.hpp"
#include "cairn/promise.hpp"
#include "cairn/saving.hpp"
#include "cairn/state.hpp"
#include "core/slot.hpp"
#include "format/plan.hpp"

namespace cairn::detail {

/// What a Saving and the checkpointer share of one save. Everything but the marked members may be used on any thread.
class SaveState {
 public:
  SaveState(std::shared_ptr<Scheduler> callbacks, std::filesystem::path save_path, SaveOptions save_options)
      : path(std::move(save_path)), options(std::move(save_options)), staged_(callbacks), committed_(callbacks) {}

  const std::filesystem::path path;
  const SaveOptions options;

  // Of the checkpointer, on its I/O thread (set before it has the save):
  std::optional<format::Snapshot> snapshot;
  Future<StateDict> source;  ///< where the state is still being made; else invalid

  Future<> staged() const { return staged_.future(); }
  Future<> committed() const { return committed_.future(); }
  SaveProgress progress() const;

  /// From here on progress() reads the slot's header, which `slots` keeps mapped.
  void in_slot(std::shared_ptr<const SharedSlots> slots, unsigned slot, std::uint64_t bytes);

  /// progress() keeps what the header says now: the next save in the slot begins it anew.
  void leave_slot();

  void complete_staging();
  void complete();
  /// Fails what is not complete yet.
  void fail(const std::exception_ptr& error);

  bool is_staged() const { return staged_.future().ready(); }

  /// Whether somebody waits, or has waited, for a future that has the failure.
  bool failure_observed() const;

 private:
  mutable Promise<void> staged_;
  mutable Promise<void> committed_;
  std::atomic<bool> failed_after_staging_{false};

  mutable std::mutex mutex_;  // of what progress() looks at
  SavePhase phase_ = SavePhase::waiting;
  std::shared_ptr<const SharedSlots> slots_;
  unsigned slot_ = 0;
  SaveProgress last_;
};

}  // namespace cairn::detail
