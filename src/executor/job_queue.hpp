#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "cairn/error.hpp"
#include "cairn/scope.hpp"
#include "cairn/task.hpp"
#include "core/event.hpp"
#include "core/slot.hpp"
#include "executor/slot_job.hpp"

namespace cairn::executor {

/// The writing side: takes saves in slots and has them written one after the other, in the order of their begin().
/// The same in a worker process and inside a SyncCheckpointer. On one loop.
class JobQueue {
 public:
  /// What it tells the trainer's side. `error` null: it went well.
  class Listener {
   public:
    virtual ~Listener() = default;
    /// The attempt is there and locked; or the save has failed, and no outcome follows. Comes again from a worker that
    /// found the save begun by one that died.
    virtual void begun(unsigned slot, std::uint64_t generation, const Error* error) = 0;
    virtual void written(unsigned slot, std::uint64_t generation) = 0;
    virtual void outcome(unsigned slot, std::uint64_t generation, const Error* error) = 0;
    /// See SlotJob::hold.
    virtual Task<> hold(unsigned slot, std::uint64_t generation, int fd) = 0;
    virtual void release(unsigned slot) = 0;
  };

  /// A save during which so many workers died is failed.
  static constexpr unsigned deaths_max = 3;

  JobQueue(const SharedSlots& slots, MappedSlots& mapped, SlotHandler& handler, Listener& listener);
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;
  ~JobQueue();

  /// Writes what is begun, until close(), then what is still there.
  Task<> run();

  /// A second one for the same save does nothing. `inherited_lock`: see SlotJob.
  void begin(unsigned slot, std::uint64_t generation, UniqueFd inherited_lock = UniqueFd());
  void changed(unsigned slot, std::uint64_t generation);
  void abandon(unsigned slot, std::uint64_t generation);

  /// The trainer is gone: saves that are not staged are given up, the others go on.
  void unattend();

  /// No more begin() will come.
  void close();

 private:
  struct Entry;

  Task<> begin_entry(Entry& entry);
  Task<> write_entry(Entry& entry);
  Entry* find(unsigned slot, std::uint64_t generation);

  const SharedSlots& slots_;
  MappedSlots& mapped_;
  SlotHandler& handler_;
  Listener& listener_;
  std::deque<std::unique_ptr<Entry>> entries_;
  Notifier added_;
  Scope begins_;
  bool closed_ = false;
  bool unattended_ = false;
};

/// "exit code 3" or "signal 9 (Killed)", of a wait status.
std::string describe_death(int wait_status);

}  // namespace cairn::executor
