#include "executor/process_client.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "cairn/version.hpp"
#include "executor/job_queue.hpp"

namespace cairn::executor {

ProcessClient::ProcessClient(loop::Loop& loop, unsigned slots, SpawnedExecutor spawned, Notice notice)
    : loop_(loop),
      supervisor_(spawned.supervisor),
      supervisor_pidfd_(std::move(spawned.supervisor_pidfd)),
      socket_(loop, std::move(spawned.socket)),
      notice_(std::move(notice)),
      results_(slots),
      supervisor_pid_(spawned.supervisor) {}

ProcessClient::~ProcessClient() = default;

Task<> ProcessClient::start(std::chrono::milliseconds timeout) {
  background_.spawn(receive(background_.stop_token()));
  background_.spawn(send_outgoing());
  background_.spawn(watch_supervisor(background_.stop_token()));

  Scope timer;
  timer.spawn(fail_start_at(std::chrono::steady_clock::now() + timeout, timeout, timer.stop_token()));
  co_await said_hello_.wait();
  timer.request_stop();
  co_await timer.join();
  if (!start_failure_) co_return;

  if (init_failed_) co_await supervisor_ends(std::chrono::seconds(1));  // by itself, when it has reaped the worker
  kill_all();
  co_await supervisor_ends(std::chrono::seconds(5));
  co_await end_background();
  throw Error(*start_failure_);
}

Task<> ProcessClient::fail_start_at(std::chrono::steady_clock::time_point deadline, std::chrono::milliseconds timeout,
                                    std::stop_token stop) {
  try {
    co_await loop_.sleep_until(deadline, stop);
  } catch (const Error&) {
    co_return;
  }
  start_failure_ =
      Error(Errc::timed_out, "start the checkpoint process within " + std::to_string(timeout.count()) + " ms");
  said_hello_.set();
}

Task<> ProcessClient::begin(unsigned slot, std::uint64_t generation) {
  results_.expect(slot, generation);
  if (!alive()) {
    const Error error = death("begin a save");
    results_.outcome(slot, generation, &error);
    throw Error(error);
  }
  send(MessageType::begin, slot, generation);
  co_await results_.wait_begun(slot);
}

void ProcessClient::changed(unsigned slot, std::uint64_t generation) {
  send(MessageType::changed, slot, generation);
}

void ProcessClient::abandon(unsigned slot, std::uint64_t generation) {
  abandoned_[slot] = generation;
  send(MessageType::abandon, slot, generation);
}

Task<> ProcessClient::shut_down(std::chrono::milliseconds timeout) {
  send(MessageType::exit, 0, 0);
  bool ended = co_await supervisor_ends(timeout);
  if (!ended) {
    kill_all();
    ended = co_await supervisor_ends(std::chrono::seconds(5));
  }
  co_await end_background();
  results_.fail_all(death("write a save"));  // the end of the connection may not have been seen before
  if (!ended) {
    throw Error(Errc::timed_out, "end the checkpoint process " + std::to_string(supervisor_) +
                                     ": it does not die of SIGKILL and is left alone");
  }
}

Task<> ProcessClient::leave() {
  send(MessageType::leave, 0, 0);
  co_await end_background();
  co_await supervisor_ends(std::chrono::milliseconds(500));
  results_.fail_all(Error(Errc::closed, "wait for a save that was left to the checkpoint process"));
}

Task<> ProcessClient::end_background() {
  sending_done_ = true;
  outgoing_added_.notify_all();
  background_.request_stop();
  co_await background_.join();
}

Task<bool> ProcessClient::supervisor_ends(std::chrono::milliseconds timeout) {
  if (supervisor_ended_.is_set()) co_return true;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const bool ended = co_await loop_.readable(supervisor_pidfd_.get(), deadline);
  if (ended) note_supervisor_end();
  co_return ended;
}

void ProcessClient::kill_all() noexcept {
  if (!alive()) return;
  // The supervisor leads a session of its own, which its workers are in; until it has made one, it is alone.
  if (::kill(-supervisor_, SIGKILL) != 0) ::kill(supervisor_, SIGKILL);
}

Task<> ProcessClient::receive(std::stop_token stop) {
  while (true) {
    loop::Packet packet;
    try {
      packet = co_await socket_.receive(stop);
    } catch (const Error& error) {
      if (error.code() == Errc::cancelled) co_return;
      break;
    }
    if (packet.closed) break;
    try {
      handle(decode(std::string_view(reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size())));
    } catch (const Error& error) {
      if (said_hello_.is_set()) {
        notice_(error);
      } else {
        start_failure_ = error;
        said_hello_.set();
      }
    }
  }
  co_await supervisor_ends(std::chrono::seconds(1));  // whose death is seen a moment later, and says how
  worker_pid_.store(0, std::memory_order_relaxed);
  closed_.set();
  if (!said_hello_.is_set()) {
    start_failure_ = death("start the checkpoint process");
    said_hello_.set();
  }
  results_.fail_all(death("write a save"));
}

void ProcessClient::handle(Message message) {
  const Error* const error = message.error ? &*message.error : nullptr;
  switch (message.type) {
    case MessageType::hello:
      worker_pid_.store(static_cast<pid_t>(message.number), std::memory_order_relaxed);
      io_fallback_ = message.detail;
      // The worker before this one may have died before it obeyed.
      for (const auto& [slot, generation] : abandoned_)
        send(MessageType::abandon, slot, generation);
      if (message.text != version()) {
        start_failure_ = Error(Errc::version_mismatch, "start the checkpoint process: it is cairn " + message.text +
                                                           ", the trainer " + version());
      }
      said_hello_.set();
      break;
    case MessageType::init_failed:
      if (error != nullptr && !said_hello_.is_set()) {
        start_failure_ = *error;
        init_failed_ = true;
      }
      if (error != nullptr) last_words_ = *error;
      said_hello_.set();
      break;
    case MessageType::gave_up:
      if (error != nullptr) last_words_ = *error;
      break;
    case MessageType::begun:
      results_.begun(message.slot, message.generation, error);
      break;
    case MessageType::written:
      results_.written(message.slot, message.generation);
      break;
    case MessageType::outcome:
      results_.outcome(message.slot, message.generation, error);
      break;
    case MessageType::notice:
      if (error != nullptr) notice_(*error);
      break;
    case MessageType::begin:
    case MessageType::changed:
    case MessageType::abandon:
    case MessageType::leave:
    case MessageType::exit:
      break;
  }
}

Task<> ProcessClient::watch_supervisor(std::stop_token stop) {
  try {
    co_await loop_.readable(supervisor_pidfd_.get(), std::nullopt, stop);
  } catch (const Error&) {
    co_return;
  }
  note_supervisor_end();
}

/// Whoever sees the end first: it must be reaped, and only once.
void ProcessClient::note_supervisor_end() {
  if (supervisor_ended_.is_set()) return;
  int status = 0;
  if (::waitpid(supervisor_, &status, WNOHANG) == supervisor_) supervisor_status_ = status;
  supervisor_pid_.store(0, std::memory_order_relaxed);
  supervisor_ended_.set();
}

void ProcessClient::send(MessageType type, unsigned slot, std::uint64_t generation) {
  Message message;
  message.type = type;
  message.slot = slot;
  message.generation = generation;
  outgoing_.push_back(encode(message));
  outgoing_added_.notify_all();
}

Task<> ProcessClient::send_outgoing() {
  bool is_connected = true;
  while (true) {
    while (!outgoing_.empty()) {
      const std::string bytes = std::move(outgoing_.front());
      outgoing_.pop_front();
      if (!is_connected) continue;
      const auto* const data = reinterpret_cast<const std::byte*>(bytes.data());
      std::vector<std::byte> packet(data, data + bytes.size());
      try {
        co_await socket_.send(std::move(packet));
      } catch (const Error&) {
        is_connected = false;  // receive() sees the end, too, and says so
      }
    }
    if (sending_done_) break;
    co_await outgoing_added_.next();
  }
}

Error ProcessClient::death(const std::string& what) const {
  if (last_words_) return *last_words_;
  std::string how;
  if (supervisor_status_) how = " by " + describe_death(*supervisor_status_);
  return Error(Errc::executor_died, what + ": checkpoint process " + std::to_string(supervisor_) + " ended" + how);
}

}  // namespace cairn::executor
