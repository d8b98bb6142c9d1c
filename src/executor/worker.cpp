#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "cairn/scope.hpp"
#include "cairn/version.hpp"
#include "core/event.hpp"
#include "executor/executor_start.hpp"
#include "executor/job_queue.hpp"
#include "executor/mapped_slots.hpp"
#include "executor/message.hpp"
#include "loop/packet_socket.hpp"

namespace cairn::executor {
namespace {

template <class Bytes>
std::vector<std::byte> as_packet(const Bytes& from) {
  const auto* const data = reinterpret_cast<const std::byte*>(from.data());
  return std::vector<std::byte>(data, data + from.size());
}

std::vector<std::byte> as_packet(const HoldMessage& message) {
  std::vector<std::byte> bytes(sizeof message);
  std::memcpy(bytes.data(), &message, sizeof message);
  return bytes;
}

class Worker final : public JobQueue::Listener {
 public:
  Worker(ExecutorStart& start, WorkerProgram& program, loop::Loop& loop, uring::FileIo& io, UniqueFd supervisor,
         HeldLocks locks)
      : start_(start),
        loop_(loop),
        io_(io),
        socket_(loop, UniqueFd(::fcntl(start.socket.get(), F_DUPFD_CLOEXEC, 0))),
        supervisor_(loop, std::move(supervisor)),
        locks_(std::move(locks)),
        mapped_(start.slots, io),
        handler_(program.make_handler(loop, io, start, [this](const Error& error) { notice(error); })),
        queue_(start.slots, mapped_, *handler_, *this) {}

  /// Lives until there is nothing left to do.
  Task<> run() {
    Message hello;
    hello.type = MessageType::hello;
    hello.number = ::getpid();
    hello.text = version();
    hello.detail = io_.backend_reason();
    send(std::move(hello));

    Scope background;
    background.spawn(send_outgoing());
    background.spawn(listen(background.stop_token()));
    background.spawn(watch_trainer(background.stop_token()));
    background.spawn(watch_supervisor(background.stop_token()));
    tell_supervisor(HoldMessage::Type::ready, 0, 0);
    take_up_slots();

    co_await queue_.run();

    sending_done_ = true;
    outgoing_added_.notify_all();
    background.request_stop();
    co_await background.join();
  }

  void begun(unsigned slot, std::uint64_t generation, const Error* error) override {
    Message message = about(MessageType::begun, slot, generation, error);
    if (error != nullptr) keep_answer(message);
    send(std::move(message));
  }
  void written(unsigned slot, std::uint64_t generation) override {
    send(about(MessageType::written, slot, generation, nullptr));
  }
  void outcome(unsigned slot, std::uint64_t generation, const Error* error) override {
    Message message = about(MessageType::outcome, slot, generation, error);
    keep_answer(message);
    send(std::move(message));
  }

  Task<> hold(unsigned slot, std::uint64_t generation, int fd) override {
    if (supervisor_gone_) co_return;
    HoldMessage message;
    message.type = HoldMessage::Type::hold;
    message.slot = slot;
    message.generation = generation;
    std::vector<int> descriptors(1, fd);
    try {
      co_await supervisor_.send(as_packet(message), std::move(descriptors));
    } catch (const Error&) {
      co_return;  // it is dead; watch_supervisor sees that too
    }
    while (!supervisor_gone_ && !is_held(slot, generation))
      co_await held_changed_.next();
  }

  void release(unsigned slot) override {
    held_.erase(slot);
    tell_supervisor(HoldMessage::Type::release, slot, 0);
  }

 private:
  static Message about(MessageType type, unsigned slot, std::uint64_t generation, const Error* error) {
    Message message;
    message.type = type;
    message.slot = slot;
    message.generation = generation;
    if (error != nullptr) message.error = *error;
    return message;
  }

  /// What a worker before this one left undone, and what the trainer began while there was none.
  void take_up_slots() {
    std::vector<std::pair<std::uint64_t, unsigned>> found;
    for (unsigned slot = 0; slot < start_.slots.size(); ++slot) {
      const SlotHeader& header = start_.slots.header(slot);
      if (header.state.load(std::memory_order_acquire) == SlotState::free) continue;
      found.emplace_back(header.generation.load(std::memory_order_acquire), slot);
    }
    std::sort(found.begin(), found.end());
    for (const auto& [generation, slot] : found) {
      UniqueFd lock;
      if (is_answered(slot, generation)) {
        repeat_answer(slot, generation);
        continue;
      }
      const auto at = locks_.find(slot);
      if (at != locks_.end() && at->second.generation == generation) {
        lock = std::move(at->second.fd);
        held_[slot] = generation;
      }
      queue_.begin(slot, generation, std::move(lock));
    }
    locks_.clear();
  }

  /// The answer outlives this worker: whoever comes next must not do the save again, because the trainer may have heard
  /// and be about to use the slot for another one.
  void keep_answer(const Message& message) {
    try {
      start_.slots.write_request(message.slot, encode(message));
    } catch (const Error& error) {
      return notice(error);
    }
    start_.slots.header(message.slot).answered.store(message.generation, std::memory_order_release);
  }

  bool is_answered(unsigned slot, std::uint64_t generation) const {
    return start_.slots.header(slot).answered.load(std::memory_order_acquire) == generation;
  }

  /// The worker that answered may have died before it was heard.
  void repeat_answer(unsigned slot, std::uint64_t generation) {
    release(slot);
    try {
      Message message = decode(start_.slots.read_request(slot));
      if (message.slot == slot && message.generation == generation) send(std::move(message));
    } catch (const Error&) {  // it was heard: the slot has the next save's request by now
    }
  }

  void send(Message message) {
    outgoing_.push_back(encode(message));
    outgoing_added_.notify_all();
  }

  void notice(const Error& error) { send(about(MessageType::notice, 0, 0, &error)); }

  Task<> send_outgoing() {
    bool trainer_listens = true;
    while (true) {
      while (!outgoing_.empty()) {
        const std::string bytes = std::move(outgoing_.front());
        outgoing_.pop_front();
        if (!trainer_listens) continue;
        try {
          co_await socket_.send(as_packet(bytes));
        } catch (const Error&) {
          trainer_listens = false;
        }
      }
      if (sending_done_) break;
      co_await outgoing_added_.next();
    }
  }

  Task<> listen(std::stop_token stop) {
    while (true) {
      loop::Packet packet;
      try {
        packet = co_await socket_.receive(stop);
      } catch (const Error& error) {
        if (error.code() == Errc::cancelled) co_return;
        notice(error);
        break;
      }
      if (packet.closed) break;
      bool goes_on = true;
      try {
        goes_on =
            handle(decode(std::string_view(reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size())));
      } catch (const Error& error) {
        notice(error);
      }
      if (!goes_on) co_return;
    }
    leave();
  }

  bool handle(const Message& message) {
    switch (message.type) {
      case MessageType::begin:
        begin(message.slot, message.generation);
        return true;
      case MessageType::changed:
        queue_.changed(message.slot, message.generation);
        return true;
      case MessageType::abandon:
        queue_.abandon(message.slot, message.generation);
        return true;
      case MessageType::leave:
        leave();
        return false;
      case MessageType::exit:
        queue_.close();
        return false;
      default:
        return true;
    }
  }

  /// Also comes for saves that were taken up from their slots, and may be done by now.
  void begin(unsigned slot, std::uint64_t generation) {
    if (slot >= start_.slots.size()) throw Error(Errc::bad_argument, "begin a save in slot " + std::to_string(slot));
    const bool is_there = start_.slots.header(slot).generation.load(std::memory_order_acquire) == generation;
    if (is_there && !is_answered(slot, generation)) queue_.begin(slot, generation);
  }

  Task<> watch_trainer(std::stop_token stop) {
    try {
      co_await loop_.readable(start_.trainer.get(), std::nullopt, stop);
    } catch (const Error&) {
      co_return;
    }
    leave();
  }

  /// Also takes the supervisor's answers. Without it nobody would restart this worker: it finishes what it has.
  Task<> watch_supervisor(std::stop_token stop) {
    while (true) {
      loop::Packet packet;
      try {
        packet = co_await supervisor_.receive(stop);
      } catch (const Error&) {
        co_return;
      }
      if (packet.closed || packet.bytes.size() != sizeof(HoldMessage)) break;
      HoldMessage message;
      std::memcpy(&message, packet.bytes.data(), sizeof message);
      held_[message.slot] = message.generation;
      held_changed_.notify_all();
    }
    supervisor_gone_ = true;
    held_changed_.notify_all();
    queue_.close();
  }

  /// The trainer is dead, or has said that it does not wait. What it had begun it may not have said yet: the slots
  /// tell.
  void leave() {
    take_up_slots();
    queue_.unattend();
    queue_.close();
  }

  bool is_held(unsigned slot, std::uint64_t generation) const {
    const auto at = held_.find(slot);
    return at != held_.end() && at->second == generation;
  }

  void tell_supervisor(HoldMessage::Type type, unsigned slot, std::uint64_t generation) {
    HoldMessage message;
    message.type = type;
    message.slot = slot;
    message.generation = generation;
    [[maybe_unused]] const ssize_t sent = ::send(supervisor_.fd(), &message, sizeof message, MSG_NOSIGNAL);
  }

  ExecutorStart& start_;
  loop::Loop& loop_;
  uring::FileIo& io_;
  loop::PacketSocket socket_;
  loop::PacketSocket supervisor_;
  HeldLocks locks_;
  MappedSlots mapped_;
  std::unique_ptr<SlotHandler> handler_;
  std::deque<std::string> outgoing_;
  Notifier outgoing_added_;
  bool sending_done_ = false;
  std::map<unsigned, std::uint64_t> held_;
  Notifier held_changed_;
  bool supervisor_gone_ = false;
  JobQueue queue_;
};

void report_init_failure(const ExecutorStart& start, const std::exception_ptr& failure) {
  Message message;
  message.type = MessageType::init_failed;
  const Error error = to_error(failure);
  message.error = error.code() == Errc::writer_failed ? Error(Errc::init_failed, error.context()) : error;
  const std::string bytes = encode(message);
  [[maybe_unused]] const ssize_t sent = ::send(start.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

/// A Task that owns the loop's life.
Task<> run_and_stop(Worker& worker, loop::Loop& loop) {
  co_await worker.run();
  loop.stop();
}

}  // namespace

int run_worker(ExecutorStart& start, WorkerProgram& program, UniqueFd supervisor, HeldLocks locks) noexcept {
  try {
    program.init();
    loop::Loop loop;
    const auto io = uring::FileIo::make(loop, start.backend);
    loop.attach(io.get());
    {
      Worker worker(start, program, loop, *io, std::move(supervisor), std::move(locks));
      Scope scope;
      loop.post([&] { scope.spawn(run_and_stop(worker, loop)); });
      loop.run();
    }
    loop.detach();
  } catch (...) {
    report_init_failure(start, std::current_exception());
    return worker_init_failed;
  }
  return worker_done;
}

}  // namespace cairn::executor
