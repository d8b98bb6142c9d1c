#include "nop.hpp"

#include <fmt/format.h>
#include <liburing.h>

#include <memory>

#include "cairn/error.hpp"
#include "cairn/scope.hpp"
#include "cairn/task.hpp"
#include "clock.hpp"
#include "loop/loop.hpp"
#include "uring/file_io.hpp"

namespace cairn::bench {
namespace {

constexpr unsigned ring_entries = 256;
constexpr unsigned nops_per_sample = 1U << 17;
constexpr unsigned samples = 15;

/// liburing alone, with the flags of a ring that one thread uses.
class RawRing {
 public:
  RawRing() {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    int failed = ::io_uring_queue_init_params(ring_entries, &ring_, &parameters);
    if (failed == -EINVAL) failed = ::io_uring_queue_init(ring_entries, &ring_, 0);  // older than the flags
    if (failed < 0) throw Error::from_errno(-failed, "make a ring");
  }
  ~RawRing() { ::io_uring_queue_exit(&ring_); }
  RawRing(const RawRing&) = delete;
  RawRing& operator=(const RawRing&) = delete;

  void run(unsigned count, unsigned depth) {
    for (unsigned done = 0; done < count; done += depth) {
      for (unsigned at = 0; at < depth; ++at)
        ::io_uring_prep_nop(::io_uring_get_sqe(&ring_));
      if (const int sent = ::io_uring_submit_and_wait(&ring_, depth); sent < 0)
        throw Error::from_errno(-sent, "submit a NOP");
      unsigned head = 0;
      unsigned seen = 0;
      io_uring_cqe* completion = nullptr;
      io_uring_for_each_cqe(&ring_, head, completion) {
        ++seen;
      }
      ::io_uring_cq_advance(&ring_, seen);
      if (seen != depth) throw Error::from_errno(EIO, "complete NOPs");
    }
  }

 private:
  io_uring ring_{};
};

/// The same through cairn.
class CairnRing {
 public:
  CairnRing() : io_(uring::FileIo::make(loop_, uring::Backend::uring, ring_entries)) { loop_.attach(io_.get()); }
  ~CairnRing() { loop_.detach(); }
  CairnRing(const CairnRing&) = delete;
  CairnRing& operator=(const CairnRing&) = delete;

  void run(unsigned count, unsigned depth) {
    Scope scope;
    loop_.post([&] { scope.spawn(run_all(count, depth)); });
    loop_.run();
  }

 private:
  Task<> run_all(unsigned count, unsigned depth) {
    Scope scope;
    for (unsigned at = 0; at < depth; ++at)
      scope.spawn(run_some(count / depth));
    co_await scope.join();
    loop_.stop();
  }

  Task<> run_some(unsigned count) {
    for (unsigned at = 0; at < count; ++at)
      co_await io_->nop();
  }

  loop::Loop loop_;
  std::unique_ptr<uring::FileIo> io_;
};

template <class Ring>
double nanoseconds_per_nop(Ring& ring, unsigned depth) {
  const Stopwatch watch;
  ring.run(nops_per_sample, depth);
  return watch.seconds() * 1e9 / nops_per_sample;
}

Result measure(const char* name, unsigned depth, CairnRing& cairn, RawRing& raw, std::mt19937_64& random) {
  std::vector<Pair> pairs;
  for (unsigned sample = 0; sample < samples; ++sample) {
    Pair pair;
    const bool raw_first = std::uniform_int_distribution(0, 1)(random) == 1;
    if (raw_first) pair.baseline = nanoseconds_per_nop(raw, depth);
    pair.value = nanoseconds_per_nop(cairn, depth);
    if (!raw_first) pair.baseline = nanoseconds_per_nop(raw, depth);
    pairs.push_back(pair);
  }
  Result result = of_pairs(name, "ns", pairs);
  result.goal = Goal{Goal::Of::ratio, Goal::Side::at_most, 1.25};
  result.what = fmt::format("NOP through a coroutine, {} at once; baseline: raw liburing", depth);
  return result;
}

}  // namespace

std::vector<Result> measure_nop(std::mt19937_64& random) {
  CairnRing cairn;
  RawRing raw;
  std::vector<Result> results;
  results.push_back(measure("nop", 1, cairn, raw, random));
  results.push_back(measure("nop_depth_32", 32, cairn, raw, random));
  return results;
}

}  // namespace cairn::bench
