#pragma once

namespace cairn {

/// Something with completions that a Loop drives without knowing what it is: a ring. Belongs to the loop's thread.
class EventSource {
 public:
  virtual ~EventSource() = default;

  /// Submits, reaps and resumes what there is, without blocking. True when anything was done.
  virtual bool poll() = 0;

  /// Nothing is in flight: no completion will come until something new is started.
  virtual bool idle() const = 0;

  /// An eventfd that is readable when there is something to poll, between before_sleep() and after_sleep(). Owned here.
  virtual int wake_fd() const = 0;

  /// Arms the eventfd. The loop polls once more after it, so that nothing that came in between is slept over.
  virtual void before_sleep() = 0;

  /// Disarms the eventfd and clears it.
  virtual void after_sleep() = 0;
};

}  // namespace cairn
