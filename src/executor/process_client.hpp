#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "cairn/error.hpp"
#include "cairn/scope.hpp"
#include "core/event.hpp"
#include "core/slot.hpp"
#include "executor/message.hpp"
#include "executor/slot_client.hpp"
#include "executor/spawn.hpp"
#include "loop/loop.hpp"
#include "loop/packet_socket.hpp"

namespace cairn::executor {

/// The checkpoint process, as the trainer's I/O loop talks to it. All of it on that loop, but for the pids.
class ProcessClient final : public SlotClient {
 public:
  using Notice = std::function<void(const Error&)>;

  ProcessClient(loop::Loop& loop, unsigned slots, SpawnedExecutor spawned, Notice notice);
  ~ProcessClient() override;

  /// Returns when a worker has said hello. Otherwise the process is ended, and the reason thrown: timed_out,
  /// init_failed, version_mismatch, executor_died.
  Task<> start(std::chrono::milliseconds timeout);

  /// The supervisor is there: what is begun now will be written, whatever happens to workers.
  bool alive() const noexcept { return supervisor_pid() != 0; }

  /// Any thread; 0 when gone.
  pid_t supervisor_pid() const noexcept { return supervisor_pid_.load(std::memory_order_relaxed); }
  pid_t worker_pid() const noexcept { return worker_pid_.load(std::memory_order_relaxed); }

  /// Why threads write instead of io_uring; empty where io_uring does, or threads were asked for.
  const std::string& io_fallback() const noexcept { return io_fallback_; }

  Task<> begin(unsigned slot, std::uint64_t generation) override;
  void changed(unsigned slot, std::uint64_t generation) override;
  void abandon(unsigned slot, std::uint64_t generation) override;
  void fail(unsigned slot, const Error& error) override { results_.fail(slot, error); }
  bool decided(unsigned slot) const override { return results_.decided(slot); }
  bool answered(unsigned slot) const override { return results_.answered(slot); }
  Task<> progress(unsigned slot) override { return results_.wait_progress(slot); }
  Task<> outcome(unsigned slot) override { return results_.wait_outcome(slot); }
  Task<> answer(unsigned slot) override { return results_.wait_answered(slot); }

  /// After the supervisor's death: waits until the worker that it left has finished what it had. Everything is decided
  /// then. At once when there is none.
  Task<> finished() { return wait(closed_); }

  /// Has the idle process exit; kills it after `timeout`. Nothing of this object may be used afterwards.
  /// Throws timed_out for a process that does not die of SIGKILL: it is left alone.
  Task<> shut_down(std::chrono::milliseconds timeout);

  /// Lets the process finish what is staged, and forgets it. Waits for it half a second: one that is done by then
  /// leaves no zombie.
  Task<> leave();

 private:
  Task<> receive(std::stop_token stop);
  Task<> send_outgoing();
  Task<> watch_supervisor(std::stop_token stop);
  Task<> fail_start_at(std::chrono::steady_clock::time_point deadline, std::chrono::milliseconds timeout,
                       std::stop_token stop);
  static Task<> wait(Event& event) { co_await event.wait(); }

  void handle(Message message);
  void send(MessageType type, unsigned slot, std::uint64_t generation);
  void kill_all() noexcept;
  void note_supervisor_end();
  Task<bool> supervisor_ends(std::chrono::milliseconds timeout);
  Task<> end_background();
  Error death(const std::string& what) const;

  loop::Loop& loop_;
  const pid_t supervisor_;
  UniqueFd supervisor_pidfd_;
  loop::PacketSocket socket_;
  Notice notice_;
  SlotResults results_;
  std::atomic<pid_t> supervisor_pid_;
  std::atomic<pid_t> worker_pid_{0};
  std::string io_fallback_;

  Event said_hello_;  ///< or failed to
  Event supervisor_ended_;
  Event closed_;  ///< nobody holds the other end any more
  std::optional<Error> start_failure_;
  bool init_failed_ = false;
  std::optional<Error> last_words_;
  std::optional<int> supervisor_status_;

  std::map<unsigned, std::uint64_t> abandoned_;  ///< the last generation of each slot that was
  std::deque<std::string> outgoing_;
  Notifier outgoing_added_;
  bool sending_done_ = false;
  Scope background_;
};

}  // namespace cairn::executor
