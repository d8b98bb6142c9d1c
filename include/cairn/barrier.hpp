#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cairn/rank_info.hpp"
#include "cairn/task.hpp"

namespace cairn {

class BarrierConfig {
 public:
  BarrierConfig() = default;

  /// "none" or empty: one rank, which waits for nobody. Any other must have been registered.
  std::string barrier_type;
  std::map<std::string, std::string> barrier_args;
};

/// One meeting of all ranks.
class BarrierMeeting {
 public:
  BarrierMeeting(std::string meeting_name, std::string what_failed, std::chrono::milliseconds longest_wait)
      : name(std::move(meeting_name)), failure(std::move(what_failed)), timeout(longest_wait) {}

  std::string name;     ///< the same on every rank: attempt and phase
  std::string failure;  ///< empty: this rank is ready; otherwise what went wrong here
  std::chrono::milliseconds timeout;
};

/// Where all ranks of a job meet. A barrier is made and used in the executor, on its one loop.
class Barrier {
 public:
  virtual ~Barrier() = default;

  /// Done when every rank is here. When any of them came with a failure, every rank gets Errc::barrier_failed with its
  /// text; after the timeout, Errc::timed_out naming the ranks that did not come.
  virtual Task<> meet(BarrierMeeting meeting) = 0;
};

using BarrierFactory = std::function<std::shared_ptr<Barrier>(const BarrierConfig&, const RankInfo&)>;

/// Makes a barrier type known by name, process-wide; a second registration replaces the first. To be called before the
/// checkpointer is made, and before `executor_main` where there is one. Any thread.
void register_barrier(std::string type, BarrierFactory factory);

/// Null for "none" and "". Throws Errc::bad_argument for an unknown type, listing the known ones, and for "none" with
/// more than one rank.
std::shared_ptr<Barrier> make_barrier(const BarrierConfig& config, const RankInfo& rank);

}  // namespace cairn
