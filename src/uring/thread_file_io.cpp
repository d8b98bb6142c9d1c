#include "uring/thread_file_io.hpp"

#include <cerrno>

#include "uring/blocking_call.hpp"
#include "uring/wake_event.hpp"

namespace cairn::uring {

namespace {

/// Enough to keep a disk busy with blocks of some MiB (its rate is reached at depth 2).
constexpr std::size_t threads_max = 4;

}  // namespace

ThreadFileIo::ThreadFileIo(std::string reason)
    : reason_(std::move(reason)), wake_fd_(make_wake_event()), helpers_(wake_fd_.get(), threads_max) {}

ThreadFileIo::~ThreadFileIo() {
  closing_ = true;
  OperationList dropped;
  helpers_.cancel_all(dropped);
  while (Operation* operation = dropped.pop_front()) {
    operation->result = -ECANCELED;
    done_.push_back(*operation);
  }
  while (helpers_.in_flight() > 0)
    helpers_.wait_completed(done_);
  resume_done();
}

int ThreadFileIo::register_buffers(std::span<const iovec>) {
  return 0;  // read_fixed and write_fixed are plain calls here
}

void ThreadFileIo::submit(Operation& operation) {
  if (!closing_) return helpers_.submit(operation);
  operation.result = operation.kind == OperationKind::close ? blocking_call(operation) : -ECANCELED;
  done_.push_back(operation);
}

void ThreadFileIo::cancel(Operation& operation) {
  operation.cancel_wanted = true;
  if (!helpers_.cancel(operation)) return;
  operation.result = -ECANCELED;
  done_.push_back(operation);
}

void ThreadFileIo::wait_for(Operation& operation) {
  operation.cancel_wanted = true;
  if (helpers_.cancel(operation)) return;
  while (!done_.remove(operation))
    helpers_.wait_completed(done_);
}

bool ThreadFileIo::poll() {
  take_stops();
  helpers_.take_completed(done_);
  return resume_done();
}

void ThreadFileIo::after_sleep() {
  clear_wake_event(wake_fd_.get());
}

bool ThreadFileIo::resume_done() {
  bool any = false;
  while (Operation* operation = done_.pop_front()) {
    any = true;
    if (wants_retry(*operation, operation->result)) {
      submit(*operation);
      continue;
    }
    complete(*operation, operation->result);
    operation->waiter.resume();
  }
  return any;
}

}  // namespace cairn::uring
