#pragma once

#include <memory>

#include "cairn/scope.hpp"
#include "core/slot.hpp"
#include "executor/job_queue.hpp"
#include "executor/mapped_slots.hpp"
#include "executor/slot_client.hpp"
#include "uring/file_io.hpp"

namespace cairn::executor {

/// Writes slots on the trainer's own I/O loop: what a SyncCheckpointer has instead of a process.
class LocalClient final : public SlotClient, private JobQueue::Listener {
 public:
  LocalClient(const SharedSlots& slots, uring::FileIo& io, std::unique_ptr<SlotHandler> handler);

  /// Starts the queue, on the loop.
  void start();

  /// Waits for what is begun. Nothing may be begun afterwards.
  Task<> stop();

  Task<> begin(unsigned slot, std::uint64_t generation) override;
  void changed(unsigned slot, std::uint64_t generation) override;
  void abandon(unsigned slot, std::uint64_t generation) override;
  void fail(unsigned slot, const Error& error) override { results_.fail(slot, error); }
  bool decided(unsigned slot) const override { return results_.decided(slot); }
  bool answered(unsigned slot) const override { return results_.answered(slot); }
  Task<> progress(unsigned slot) override { return results_.wait_progress(slot); }
  Task<> outcome(unsigned slot) override { return results_.wait_outcome(slot); }
  Task<> answer(unsigned slot) override { return results_.wait_answered(slot); }

 private:
  void begun(unsigned slot, std::uint64_t generation, const Error* error) override;
  void written(unsigned slot, std::uint64_t generation) override;
  void outcome(unsigned slot, std::uint64_t generation, const Error* error) override;
  Task<> hold(unsigned slot, std::uint64_t generation, int fd) override;
  void release(unsigned slot) override;

  MappedSlots mapped_;
  std::unique_ptr<SlotHandler> handler_;
  SlotResults results_;
  JobQueue queue_;
  Scope running_;
};

}  // namespace cairn::executor
