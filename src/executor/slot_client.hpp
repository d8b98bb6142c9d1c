#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/task.hpp"
#include "core/event.hpp"

namespace cairn::executor {

/// The trainer's view of whoever writes slots: a process, or a queue on the same loop. On the checkpointer's I/O loop.
class SlotClient {
 public:
  virtual ~SlotClient() = default;

  /// The slot holds a request and is in state staging. Returns when the attempt is there and locked; throws when the
  /// save has failed.
  virtual Task<> begin(unsigned slot, std::uint64_t generation) = 0;

  /// ready_bytes or the state in the slot's header changed.
  virtual void changed(unsigned slot, std::uint64_t generation) = 0;

  /// Gives the save up; its outcome comes all the same.
  virtual void abandon(unsigned slot, std::uint64_t generation) = 0;

  /// Ends the waiting for a save with `error`, without the writing side: what it answers later is not heard.
  virtual void fail(unsigned slot, const Error& error) = 0;

  /// Whether the outcome is there, or fail() was called.
  virtual bool decided(unsigned slot) const = 0;

  /// Whether the writing side is done with the slot.
  virtual bool answered(unsigned slot) const = 0;

  /// Waits for written_bytes to grow (said for images that stream), or until decided.
  virtual Task<> progress(unsigned slot) = 0;

  /// Waits until decided; throws the error if the save failed.
  virtual Task<> outcome(unsigned slot) = 0;

  /// Waits until answered.
  virtual Task<> answer(unsigned slot) = 0;
};

/// What is known of each slot's save; SlotClients keep one of these.
class SlotResults {
 public:
  explicit SlotResults(unsigned slots) : results_(slots) {}

  void expect(unsigned slot, std::uint64_t generation);

  void begun(unsigned slot, std::uint64_t generation, const Error* error);
  void written(unsigned slot, std::uint64_t generation);
  void outcome(unsigned slot, std::uint64_t generation, const Error* error);

  void fail(unsigned slot, const Error& error);

  /// The writing side is gone: fails everything that has no outcome.
  void fail_all(const Error& error);

  bool decided(unsigned slot) const { return results_[slot].decided.is_set(); }
  bool answered(unsigned slot) const { return results_[slot].answered.is_set(); }

  Task<> wait_begun(unsigned slot);
  Task<> wait_progress(unsigned slot);
  Task<> wait_outcome(unsigned slot);
  Task<> wait_answered(unsigned slot);

 private:
  struct Result {
    std::uint64_t generation = 0;
    Event begun;
    Event decided;
    Event answered;
    Notifier progressed;
    std::optional<Error> error;
  };

  bool is_expected(unsigned slot, std::uint64_t generation) const;
  static void decide(Result& result, const Error* error);
  static void answer(Result& result, const Error* error);

  std::vector<Result> results_;
};

}  // namespace cairn::executor
