#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <utility>

#include "cairn/task.hpp"
#include "core/event.hpp"
#include "core/slot.hpp"
#include "core/unique_fd.hpp"

namespace cairn::executor {

class MappedSlots;

/// One save in a slot, as the writing side sees it. Lives on the writing side's loop.
class SlotJob {
 public:
  SlotJob(const SharedSlots& slots, MappedSlots& mapped, unsigned slot, std::uint64_t generation, std::string request)
      : slots_(slots), mapped_(mapped), slot_(slot), generation_(generation), request_(std::move(request)) {}
  SlotJob(const SlotJob&) = delete;
  SlotJob& operator=(const SlotJob&) = delete;

  unsigned slot() const noexcept { return slot_; }
  std::uint64_t generation() const noexcept { return generation_; }
  const std::string& request() const noexcept { return request_; }
  const SharedSlots& slots() const noexcept { return slots_; }
  SlotHeader& header() const noexcept { return slots_.header(slot_); }
  MappedSlots& mapped() const noexcept { return mapped_; }

  /// Everything is in the window (or has been): the trainer may be gone.
  bool staged() const noexcept { return header().state.load(std::memory_order_acquire) != SlotState::staging; }

  /// Notified when the trainer says that the header changed.
  Notifier& changed() noexcept { return changed_; }

  /// Called by the writer when written_bytes has grown.
  std::function<void()> on_written;

  /// Gives a lock that must outlive this process to the supervisor; returns when it is held there. Empty where nothing
  /// outlives this process.
  std::function<Task<>(int fd)> hold;

  /// A lock that the supervisor held since a worker before this one; -1 for none.
  UniqueFd inherited_lock;

  /// Nobody listens to the outcome any more.
  bool unattended = false;

  std::stop_source stop;

 private:
  const SharedSlots& slots_;
  MappedSlots& mapped_;
  unsigned slot_;
  std::uint64_t generation_;
  std::string request_;
  Notifier changed_;
};

/// What is done with the saves in slots; the checkpoint layer has the one that commits.
class SlotHandler {
 public:
  virtual ~SlotHandler() = default;

  /// Makes the attempt of `job`: after this returns, whoever looks at the directory waits for it. Or throws. Done again
  /// for a save that an earlier worker had begun.
  virtual Task<> begin(SlotJob& job) = 0;

  /// Writes and commits; called in the order of the saves, one at a time. A throw has left nothing behind (but an
  /// error.json, when unattended).
  virtual Task<> write(SlotJob& job) = 0;

  /// Takes away what begin() made, for a save that is not to be written.
  virtual Task<> abandon(SlotJob& job) = 0;
};

}  // namespace cairn::executor
