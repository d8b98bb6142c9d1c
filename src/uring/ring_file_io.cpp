#include "uring/ring_file_io.hpp"

#include <algorithm>
#include <cairn/error.hpp>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <exception>

#include "uring/blocking_call.hpp"
#include "uring/ring_operation.hpp"
#include "uring/wake_event.hpp"

// How the ring is driven
//
// submit() writes an SQE and nothing else. poll() hands all SQEs over in one system call, which with DEFER_TASKRUN also
// runs what completed meanwhile; then it reaps all CQEs into done_, gives the CQ back, and only then resumes
// coroutines, which write new SQEs. Thus one round of depth n costs one system call and no queue is held while foreign
// code runs.
//
// Room. in_flight_ never goes past the size of the CQ (but for cancel requests, which the kernel then keeps in its
// overflow list), so that a completion always has a place. What finds no SQE, or no such room, stands in waiting_ and
// comes first.
//
// Sleeping. The loop sleeps on wake_fd_, an eventfd that the kernel writes for completions only while armed_. Between
// arming and sleeping the loop polls once more, and that poll enters the kernel in any case (look_closely). So whatever
// completed before it is seen by it, and whatever completes after it finds the eventfd armed: with DEFER_TASKRUN the
// kernel signals when its list of deferred work goes from empty to not empty, and that poll has just emptied it. Stops
// requested by other threads and the helper threads write the same eventfd.
//
// Cancelling. ASYNC_CANCEL finds the operation by its address. That address cannot belong to a later operation by then:
// the kernel takes SQEs in order, and one that reuses the address comes after the cancel request. Requests to cancel
// carry a user_data of 0, and their answers mean nothing: the operation itself completes either way.

namespace cairn::uring {

std::unique_ptr<RingFileIo> RingFileIo::make(unsigned entries, std::string* reason) {
  std::unique_ptr<RingFileIo> io(new RingFileIo());
  const char* call = "";
  const int error = io->open(entries, &call);
  if (error == 0) return io;
  const Error unavailable = Error::from_errno(-error, call);
  if (!reason) throw unavailable;
  *reason = unavailable.what();
  return nullptr;
}

RingFileIo::RingFileIo() : wake_fd_(make_wake_event()) {}

int RingFileIo::open(unsigned entries, const char** call) noexcept {
  // Newest first; a kernel answers EINVAL to flags that it does not know.
  constexpr unsigned common = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  constexpr std::array<unsigned, 3> flag_sets = {
      common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      common | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      common,
  };
  io_uring* ring = &ring_.ring;
  *call = "io_uring_setup";
  int error = -EINVAL;
  for (const unsigned flags : flag_sets) {
    io_uring_params params = {};
    params.flags = flags;
    params.cq_entries = 2 * entries;
    error = io_uring_queue_init_params(entries, ring, &params);
    if (error != -EINVAL) break;
  }
  if (error < 0) return error;
  ring_.open = true;
  in_flight_max_ = ring->cq.ring_entries;

  *call = "io_uring_register";
  error = io_uring_register_eventfd(ring, wake_fd_.get());
  if (error == 0) error = io_uring_cq_eventfd_toggle(ring, false);
  if (error == 0) error = probe();
  if (error < 0) return error;

  // A filter may let the set-up pass and refuse the rest: see one operation through.
  *call = "io_uring_enter";
  io_uring_prep_nop(io_uring_get_sqe(ring));
  error = io_uring_submit_and_wait(ring, 1);
  if (error < 0) return error;
  io_uring_cqe* cqe = nullptr;
  error = io_uring_peek_cqe(ring, &cqe);
  if (error == 0) io_uring_cqe_seen(ring, cqe);
  return error;
}

int RingFileIo::probe() noexcept {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_.ring);
  if (!probe) return -ENOSYS;
  for (std::size_t kind = 0; kind < supported_.size(); ++kind) {
    const int opcode = ring_opcode(static_cast<OperationKind>(kind));
    supported_[kind] = opcode >= 0 && io_uring_opcode_supported(probe, opcode);
  }
  io_uring_free_probe(probe);
  return 0;
}

RingFileIo::~RingFileIo() {
  if (idle()) return;
  if (std::this_thread::get_id() != thread_) {
    // The kernel takes no request to cancel from here, and the buffers are its own: there is no way out.
    std::fputs("cairn: a FileIo with operations in flight is destroyed on another thread than its loop's\n", stderr);
    std::terminate();
  }
  closing_ = true;
  cancel_everything();
  while (in_flight_ > 0) {
    submit_ring(1);
    reap();
  }
  while (helpers_ && helpers_->in_flight() > 0)
    helpers_->wait_completed(done_);
  resume_done();
}

void RingFileIo::cancel_everything() noexcept {
  OperationList dropped;
  dropped.take(waiting_);
  if (helpers_) helpers_->cancel_all(dropped);
  while (Operation* operation = dropped.pop_front()) {
    operation->result = -ECANCELED;
    done_.push_back(*operation);
  }
  if (in_flight_ == 0) return;
  submit_ring(0);
  if (io_uring_sqe* sqe = io_uring_get_sqe(&ring_.ring)) {
    // Before 5.19 this is EINVAL, and the operations are waited for as they are.
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, 0);
    ++in_flight_;
  }
}

int RingFileIo::register_buffers(std::span<const iovec> buffers) {
  return io_uring_register_buffers(&ring_.ring, buffers.data(), static_cast<unsigned>(buffers.size()));
}

int RingFileIo::unregister_buffers() {
  return io_uring_unregister_buffers(&ring_.ring);
}

HelperThreads& RingFileIo::helpers() {
  if (!helpers_) helpers_.emplace(wake_fd_.get(), 1);
  return *helpers_;
}

void RingFileIo::submit(Operation& operation) {
  if (closing_) {
    operation.result = operation.kind == OperationKind::close ? blocking_call(operation) : -ECANCELED;
    done_.push_back(operation);
  } else if (!supported_[static_cast<std::size_t>(operation.kind)]) {
    helpers().submit(operation);
  } else if (!waiting_.empty() || !put_in_ring(operation)) {
    waiting_.push_back(operation);
  }
}

bool RingFileIo::put_in_ring(Operation& operation) noexcept {
  if (in_flight_ >= in_flight_max_) return false;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_.ring);
  if (!sqe) return false;
  prepare(*sqe, operation);
  ++in_flight_;
  return true;
}

/// Moves what waits into the ring, as far as there is room; true when anything was moved.
bool RingFileIo::fill_ring() noexcept {
  bool any = false;
  while (Operation* operation = waiting_.front()) {
    if (!put_in_ring(*operation)) break;
    // The ring has it now; nothing is completed before the next submit_ring().
    waiting_.pop_front();
    any = true;
  }
  return any;
}

void RingFileIo::cancel(Operation& operation) {
  operation.cancel_wanted = true;
  if (waiting_.remove(operation) || (helpers_ && helpers_->cancel(operation))) {
    operation.result = -ECANCELED;
    done_.push_back(operation);
    return;
  }
  if (!supported_[static_cast<std::size_t>(operation.kind)]) return;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_.ring);
  if (!sqe) {
    submit_ring(0);
    sqe = io_uring_get_sqe(&ring_.ring);
  }
  if (!sqe) return;  // the kernel is out of memory: then the operation runs to its end
  io_uring_prep_cancel64(sqe, static_cast<__u64>(reinterpret_cast<std::uintptr_t>(&operation)), 0);
  io_uring_sqe_set_data64(sqe, 0);
  ++in_flight_;
}

void RingFileIo::wait_for(Operation& operation) {
  cancel(operation);
  while (!done_.remove(operation)) {
    if (supported_[static_cast<std::size_t>(operation.kind)]) {
      submit_ring(1);
      reap();
    } else {
      helpers().wait_completed(done_);
    }
  }
}

/// Hands the SQEs over, and waits for `wait_for` completions. What cannot be handed over now stays for the next time.
void RingFileIo::submit_ring(unsigned wait_for) {
  const int answer =
      wait_for > 0 ? io_uring_submit_and_wait(&ring_.ring, wait_for) : io_uring_submit_and_get_events(&ring_.ring);
  // EBUSY: completions stand in the kernel's overflow list and must be reaped first. EAGAIN: no memory just now.
  if (answer >= 0 || answer == -EINTR || answer == -EBUSY || answer == -EAGAIN) return;
  throw Error::from_errno(-answer, "io_uring_enter");
}

void RingFileIo::reap() noexcept {
  io_uring* ring = &ring_.ring;
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(ring, head, cqe) {
    ++count;
    auto* operation = reinterpret_cast<Operation*>(static_cast<std::uintptr_t>(cqe->user_data));
    if (!operation) continue;
    operation->result = cqe->res;
    done_.push_back(*operation);
  }
  if (count == 0) return;
  io_uring_cq_advance(ring, count);
  in_flight_ -= count;
}

void RingFileIo::drive(bool look_closely) {
  io_uring* ring = &ring_.ring;
  if (helpers_) helpers_->take_completed(done_);
  fill_ring();
  do {
    const unsigned kernel_flags = IO_URING_READ_ONCE(*ring->sq.kflags);
    const bool kernel_wants_entry = (kernel_flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
    if (look_closely || kernel_wants_entry || io_uring_sq_ready(ring) > 0) submit_ring(0);
    reap();
    look_closely = false;
  } while (fill_ring());
}

bool RingFileIo::poll() {
  take_stops();
  drive(armed_);
  const bool resumed = resume_done();
  // SQEs that the kernel would not take yet are no reason to sleep: no completion would wake the loop for them.
  return resumed || (io_uring_sq_ready(&ring_.ring) > 0);
}

bool RingFileIo::resume_done() {
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

bool RingFileIo::idle() const {
  return in_flight_ == 0 && waiting_.empty() && done_.empty() && (!helpers_ || helpers_->in_flight() == 0);
}

void RingFileIo::before_sleep() {
  armed_ = true;
  io_uring_cq_eventfd_toggle(&ring_.ring, true);
}

void RingFileIo::after_sleep() {
  armed_ = false;
  io_uring_cq_eventfd_toggle(&ring_.ring, false);
  clear_wake_event(wake_fd_.get());
}

}  // namespace cairn::uring
