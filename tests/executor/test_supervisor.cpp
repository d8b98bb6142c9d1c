#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "cairn/version.hpp"
#include "core/yield.hpp"
#include "executor/message.hpp"
#include "executor/spawn.hpp"
#include "support/catch.hpp"
#include "support/process_test.hpp"

// The executor by itself, with the test in the trainer's place at the other end of the socket.

using cairn::Errc;
using cairn::Error;
using cairn::SharedSlots;
using cairn::SlotHeader;
using cairn::SlotState;
using cairn::Task;
using cairn::executor::ExecutorStart;
using cairn::executor::Message;
using cairn::executor::MessageType;
using cairn::executor::SlotHandler;
using cairn::executor::SlotJob;
using cairn::test::Gate;
using cairn::test::ProcessTest;
using cairn::test::Shared;

namespace {

/// What the workers did, counted over all of them.
struct Counts {
  std::atomic<int> inits{0};
  std::atomic<int> begins{0};
  std::atomic<int> writes{0};
  std::atomic<int> inherited_locks{0};
  std::atomic<bool> waits_in_write{false};
  std::atomic<bool> fails_in_begin{false};
  std::atomic<ino_t> lock_inode{0};
  Gate gate;
};

class CountingHandler final : public SlotHandler {
 public:
  explicit CountingHandler(Counts* counts) : counts_(counts) {}

  Task<> begin(SlotJob& job) override {
    ++counts_->begins;
    if (counts_->fails_in_begin) throw Error(Errc::busy, "make the attempt");
    struct stat info{};
    if (job.inherited_lock) {
      const bool is_same = ::fstat(job.inherited_lock.get(), &info) == 0 && info.st_ino == counts_->lock_inode;
      if (is_same) ++counts_->inherited_locks;
      co_return;
    }
    const cairn::UniqueFd lock(::memfd_create("lock", MFD_CLOEXEC));
    ::fstat(lock.get(), &info);
    counts_->lock_inode = info.st_ino;
    co_await job.hold(lock.get());
  }
  Task<> write(SlotJob& job) override {
    ++counts_->writes;
    if (counts_->waits_in_write) counts_->gate.pass();
    co_await cairn::yield();
    if (job.request() == "fail") throw Error(Errc::damaged, "write it");
  }
  Task<> abandon(SlotJob&) override { co_return; }

 private:
  Counts* counts_;
};

class CountingProgram final : public cairn::executor::WorkerProgram {
 public:
  explicit CountingProgram(Counts* counts) : counts_(counts) {}
  void init() override { ++counts_->inits; }
  std::unique_ptr<SlotHandler> make_handler(cairn::loop::Loop&, cairn::uring::FileIo&, const ExecutorStart&,
                                            std::function<void(const Error&)>) override {
    return std::make_unique<CountingHandler>(counts_);
  }

 private:
  Counts* counts_;
};

/// The trainer's end.
class RawTrainer {
 public:
  RawTrainer(const ProcessTest& t, Counts* counts) : program_(counts) {
    ExecutorStart start{slots.duplicate()};
    start.log_file = t.config.process.log_file;
    spawned_ = cairn::executor::fork_executor(std::move(start), program_);
  }

  void send(MessageType type, unsigned slot = 0, std::uint64_t generation = 0) {
    Message message;
    message.type = type;
    message.slot = slot;
    message.generation = generation;
    send_bytes(encode(message));
  }

  void send_bytes(const std::string& bytes) {
    REQUIRE(::send(spawned_.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }

  /// The next message, which must be of this type.
  Message receive(MessageType type) {
    pollfd readable{spawned_.socket.get(), POLLIN, 0};
    REQUIRE(::poll(&readable, 1, 60000) == 1);
    std::array<char, 65536> bytes{};
    const ssize_t got = ::recv(spawned_.socket.get(), bytes.data(), bytes.size(), 0);
    REQUIRE(got > 0);
    Message message = cairn::executor::decode(std::string_view(bytes.data(), static_cast<std::size_t>(got)));
    REQUIRE(static_cast<int>(message.type) == static_cast<int>(type));
    return message;
  }

  bool is_silent() {
    pollfd readable{spawned_.socket.get(), POLLIN, 0};
    return ::poll(&readable, 1, 0) == 0;
  }

  void stage(unsigned slot, std::uint64_t generation, const std::string& request) {
    SlotHeader& header = slots.header(slot);
    slots.write_request(slot, request);
    header.generation = generation;
    header.deaths = 0;
    header.state = SlotState::ready;
  }

  pid_t supervisor() const { return spawned_.supervisor; }
  void hang_up() { spawned_.socket.reset(); }

  SharedSlots slots = SharedSlots::create(2);

 private:
  CountingProgram program_;
  cairn::executor::SpawnedExecutor spawned_;
};

}  // namespace

TEST_CASE("a save that was answered is not done again by the next worker; its answer is given once more") {
  ProcessTest t;
  const Shared<Counts> counts;
  RawTrainer trainer(t, counts.get());
  for (const bool fails : {false, true}) {
    INFO("fails " << fails);
    const auto generation = static_cast<std::uint64_t>(fails ? 2 : 1);
    counts->begins = 0;
    counts->writes = 0;
    const Message hello = trainer.receive(MessageType::hello);
    CHECK(hello.text == cairn::version());
    trainer.stage(1, generation, fails ? "fail" : "work");
    trainer.send(MessageType::begin, 1, generation);
    trainer.receive(MessageType::begun);
    CHECK(trainer.receive(MessageType::outcome).error.has_value() == fails);
    CHECK(counts->writes == 1);

    // The slot is not free yet: this trainer is slow to hear.
    REQUIRE(::kill(static_cast<pid_t>(hello.number), SIGKILL) == 0);
    const Message second_hello = trainer.receive(MessageType::hello);
    CHECK(second_hello.number != hello.number);
    const Message again = trainer.receive(MessageType::outcome);
    CHECK(again.slot == 1);
    CHECK(again.generation == generation);
    REQUIRE(again.error.has_value() == fails);
    if (fails) CHECK(again.error->code() == Errc::damaged);
    CHECK(counts->writes == 1);
    CHECK(counts->begins == 1);

    // Nor when the begin comes late, or for a save that the slot no longer holds.
    trainer.send(MessageType::begin, 1, generation);
    trainer.send(MessageType::begin, 1, generation + 100);
    REQUIRE(::kill(static_cast<pid_t>(second_hello.number), SIGKILL) == 0);
    trainer.slots.header(1).state = SlotState::free;
  }
  trainer.receive(MessageType::hello);
  trainer.send(MessageType::exit);
  t.await_all_gone();
  CHECK(counts->begins == 1);
}

TEST_CASE("a trainer that leaves does not have what was answered done again") {
  ProcessTest t;
  const Shared<Counts> counts;
  RawTrainer trainer(t, counts.get());
  trainer.receive(MessageType::hello);
  counts->fails_in_begin = true;
  trainer.stage(0, 1, "work");
  trainer.send(MessageType::begin, 0, 1);
  CHECK(trainer.receive(MessageType::begun).error->code() == Errc::busy);
  counts->fails_in_begin = false;
  trainer.send(MessageType::leave);
  t.await_all_gone();
  CHECK(counts->begins == 1);
  CHECK(counts->writes == 0);
}

TEST_CASE("what is in the slots is written when the trainer hangs up before it said begin") {
  ProcessTest t;
  const Shared<Counts> counts;
  RawTrainer trainer(t, counts.get());
  trainer.receive(MessageType::hello);
  trainer.stage(0, 1, "work");
  trainer.hang_up();
  t.await_all_gone();
  CHECK(counts->writes == 1);
}

TEST_CASE("hostile packets are told and do no harm") {
  ProcessTest t;
  const Shared<Counts> counts;
  RawTrainer trainer(t, counts.get());
  const Message hello = trainer.receive(MessageType::hello);
  for (const std::string& bytes : {std::string("x"), std::string(65536, '\xff'), std::string(8, '\0')}) {
    trainer.send_bytes(bytes);
    CHECK(trainer.receive(MessageType::notice).error.has_value());
  }
  trainer.send(MessageType::begin, 4000000000U, 1);
  CHECK(trainer.receive(MessageType::notice).error->code() == Errc::bad_argument);
  trainer.send(MessageType::changed, 77, 1);
  trainer.send(MessageType::abandon, 77, 1);
  trainer.send(MessageType::hello, 77, 1);
  trainer.stage(0, 5, "work");
  trainer.send(MessageType::begin, 0, 4);  // a stale one
  trainer.send(MessageType::begin, 0, 5);
  trainer.receive(MessageType::begun);
  CHECK_FALSE(trainer.receive(MessageType::outcome).error);
  CHECK(trainer.is_silent());
  CHECK(counts->inits == 1);
  trainer.send(MessageType::exit);
  t.await_all_gone();
}

TEST_CASE("a lock outlives the worker that took it, and reaches the next one") {
  ProcessTest t;
  const Shared<Counts> counts;
  RawTrainer trainer(t, counts.get());
  const Message hello = trainer.receive(MessageType::hello);
  counts->waits_in_write = true;
  trainer.stage(0, 1, "work");
  trainer.send(MessageType::begin, 0, 1);
  trainer.receive(MessageType::begun);
  REQUIRE(counts->gate.was_reached());
  REQUIRE(::kill(static_cast<pid_t>(hello.number), SIGKILL) == 0);
  trainer.receive(MessageType::hello);
  REQUIRE(counts->gate.was_reached());
  CHECK(counts->inherited_locks == 1);
  CHECK(trainer.slots.header(0).deaths == 1);
  counts->gate.open();
  trainer.receive(MessageType::begun);
  CHECK_FALSE(trainer.receive(MessageType::outcome).error);

  // Released: the next save in that slot makes its own.
  counts->waits_in_write = false;
  trainer.stage(0, 2, "work");
  trainer.send(MessageType::begin, 0, 2);
  trainer.receive(MessageType::begun);
  trainer.receive(MessageType::outcome);
  CHECK(counts->inherited_locks == 1);
  trainer.send(MessageType::exit);
  t.await_all_gone();
}
