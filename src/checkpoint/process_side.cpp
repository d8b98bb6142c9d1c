#include "checkpoint/process_side.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "checkpoint/find_executor.hpp"

namespace cairn::checkpoint {

ProcessSide::ProcessSide(const CheckpointerConfig& config, CheckpointerParts parts, RankInfo rank,
                         std::function<void(const Error&)> notice)
    : WritingSide(std::make_shared<const SharedSlots>(SharedSlots::create(config.max_in_flight)), rank),
      config_(config),
      program_(config.writer, config.barrier, rank, std::move(parts)),
      notice_(std::move(notice)),
      spawned_(spawn()) {}

ProcessSide::~ProcessSide() {
  if (!spawned_.socket) return;  // handed to a client
  ::kill(spawned_.supervisor, SIGKILL);
  ::waitpid(spawned_.supervisor, nullptr, 0);
}

executor::SpawnedExecutor ProcessSide::spawn() {
  executor::ExecutorStart start{slots()->duplicate()};
  start.identity = WriterIdentity::of_process(::getpid()).text();
  start.log_file = config_.process.log_file;
  start.nice = config_.process.nice;
  start.backend = to_backend(config_.writer.io_backend);
  start.program = program_.encode();

  const std::string hazard = executor::fork_hazard();
  if (hazard.empty()) return executor::fork_executor(std::move(start), program_);
  if (!program_.closures().empty()) {
    throw Error(
        Errc::unsafe_fork,
        "start the checkpoint process with " + program_.closures() + ": " + hazard +
            ". Either make the checkpointer before that, or register them by name (register_hook, register_init, "
            "register_writer), begin main with `if (auto code = cairn::executor_main(argc, argv)) return *code;` "
            "and name them in CheckpointerParts");
  }
  return executor::exec_executor(std::move(start), find_executor(config_.process.executor));
}

Task<> ProcessSide::start(loop::Loop& loop) {
  loop_ = &loop;
  auto client = std::make_unique<executor::ProcessClient>(loop, slots()->size(), std::move(spawned_), notice_);
  executor::ProcessClient& started = *client;
  clients_.push_back(std::move(client));
  client_.store(&started, std::memory_order_release);
  try {
    co_await started.start(config_.process.subprocess_init_timeout);
  } catch (...) {
    client_.store(nullptr, std::memory_order_release);
    throw;
  }
}

Task<executor::SlotClient*> ProcessSide::find(std::function<Task<>()> all_free) {
  executor::ProcessClient* client = client_.load(std::memory_order_relaxed);
  if (client != nullptr && client->alive()) co_return client;
  if (client != nullptr) {
    co_await client->finished();
    co_await all_free();
    client_.store(nullptr, std::memory_order_release);
    co_await client->shut_down(std::chrono::milliseconds(0));
  }
  spawned_ = spawn();
  co_await start(*loop_);
  co_return client_.load(std::memory_order_relaxed);
}

Task<> ProcessSide::shut_down() {
  executor::ProcessClient* const client = client_.exchange(nullptr, std::memory_order_acq_rel);
  if (client != nullptr) co_await client->shut_down(config_.process.subprocess_shutdown_timeout);
}

Task<> ProcessSide::leave() {
  executor::ProcessClient* const client = client_.exchange(nullptr, std::memory_order_acq_rel);
  if (client != nullptr) co_await client->leave();
}

std::string ProcessSide::io_fallback() const {
  const executor::ProcessClient* const client = client_.load(std::memory_order_relaxed);
  return client == nullptr ? std::string() : client->io_fallback();
}

void ProcessSide::reset() {
  clients_.clear();
}

pid_t ProcessSide::supervisor_pid() const noexcept {
  const executor::ProcessClient* const client = client_.load(std::memory_order_acquire);
  return client == nullptr ? 0 : client->supervisor_pid();
}

pid_t ProcessSide::worker_pid() const noexcept {
  const executor::ProcessClient* const client = client_.load(std::memory_order_acquire);
  return client == nullptr ? 0 : client->worker_pid();
}

}  // namespace cairn::checkpoint
