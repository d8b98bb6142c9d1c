#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "cairn/config.hpp"
#include "cairn/rank_info.hpp"
#include "cairn/scope.hpp"
#include "checkpoint/save_state.hpp"
#include "core/event.hpp"
#include "core/slot.hpp"
#include "core/work_pool.hpp"
#include "executor/slot_client.hpp"
#include "loop/loop.hpp"
#include "staging/arena.hpp"
#include "staging/host_stager.hpp"

namespace cairn::checkpoint {

/// Takes saves through their lives, in the order of the calls: a slot, staging into it while the writing side writes,
/// the outcome. On the checkpointer's I/O loop.
class SaveDriver {
 public:
  /// The writing side; brings up another one where the last is gone. The Task may take a while and may throw.
  using FindClient = std::function<Task<executor::SlotClient*>()>;
  /// A save has failed.
  using OnFailure = std::function<void(std::shared_ptr<detail::SaveState>)>;

  SaveDriver(loop::Loop& loop, std::shared_ptr<const SharedSlots> slots, const CheckpointerConfig& config,
             RankInfo rank, FindClient find_client, OnFailure on_failure);
  SaveDriver(const SaveDriver&) = delete;
  SaveDriver& operator=(const SaveDriver&) = delete;
  ~SaveDriver();

  void start(std::shared_ptr<detail::SaveState> save);

  /// Waits until no save is under way.
  Task<> finished();

  /// After the writing side has ended: waits for the slots that it had not let go of.
  Task<> released() { return join(quarantined_); }

  /// Fails every save that is not decided, without waiting for the writing side: what is staged is left to it.
  void give_up(const Error& reason);

  /// Every slot is free.
  Task<> all_free();

 private:
  struct Active;

  static Task<> join(Scope& scope) { co_await scope.join(); }
  Task<> drive(std::shared_ptr<detail::SaveState> save);
  Task<> drive_in_slot(Active& active);
  Task<> source_ready(Active& active);
  Task<unsigned> take_slot(Active& active);
  bool is_next(const Active& active) const;
  static void throw_if_stopped(const Active& active);
  void free_slot(unsigned slot);
  Task<> stage(Active& active, format::Image image, std::stop_token stop);
  Task<> begin(Active& active);
  Task<> wait_written(Active& active, std::uint64_t needed_bytes);
  Task<> write_out(Active& active);
  Task<> settle(Active& active);
  Task<> fail_when_stalled(Active& active, std::stop_token stop);
  Task<> free_when_answered(unsigned slot, executor::SlotClient* client);
  void prepare_request(Active& active, std::string tensors_json);
  void stop(Active& active);

  loop::Loop& loop_;
  const std::shared_ptr<const SharedSlots> slots_;
  const CheckpointerConfig& config_;
  const RankInfo rank_;
  const FindClient find_client_;
  const OnFailure on_failure_;

  staging::Arena arena_;
  WorkPool copy_pool_;
  staging::HostStager stager_;

  std::vector<bool> is_free_;
  std::uint64_t last_generation_ = 0;
  std::vector<Active*> active_;  ///< in the order of the calls
  Notifier changed_;             ///< a slot became free or was taken, a save was stopped or ended
  Scope saves_;
  std::filesystem::path stalled_file_;  ///< of the last slot that went there:
  Scope quarantined_;                   ///< slots of failed saves that the writing side has not let go of
};

}  // namespace cairn::checkpoint
