#include "executor/job_queue.hpp"

#include <sys/wait.h>

#include <cstring>
#include <exception>
#include <utility>

#include "executor/message.hpp"

namespace cairn::executor {

std::string describe_death(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return "signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
  }
  return "exit code " + std::to_string(WEXITSTATUS(wait_status));
}

namespace {

[[noreturn]] void throw_died(const SlotJob& job) {
  const SlotHeader& header = job.header();
  throw Error(Errc::executor_died, "write the save in slot " + std::to_string(job.slot()) + ": " +
                                       std::to_string(header.deaths.load()) + " workers died at it, the last one by " +
                                       describe_death(header.death_status.load()));
}

}  // namespace

struct JobQueue::Entry {
  Entry(const SharedSlots& slots, MappedSlots& mapped, unsigned slot, std::uint64_t generation, std::string request)
      : job(slots, mapped, slot, generation, std::move(request)) {}

  SlotJob job;
  Event begun;
  bool begin_failed = false;
};

JobQueue::JobQueue(const SharedSlots& slots, MappedSlots& mapped, SlotHandler& handler, Listener& listener)
    : slots_(slots), mapped_(mapped), handler_(handler), listener_(listener) {}

JobQueue::~JobQueue() = default;

Task<> JobQueue::run() {
  while (true) {
    if (entries_.empty()) {
      if (closed_) break;
      co_await added_.next();
      continue;
    }
    Entry& entry = *entries_.front();
    co_await entry.begun.wait();
    if (!entry.begin_failed) co_await write_entry(entry);
    entries_.pop_front();
  }
  co_await begins_.join();
}

void JobQueue::begin(unsigned slot, std::uint64_t generation, UniqueFd inherited_lock) {
  if (find(slot, generation) != nullptr) return;
  auto entry = std::make_unique<Entry>(slots_, mapped_, slot, generation, slots_.read_request(slot));
  SlotJob& job = entry->job;
  job.inherited_lock = std::move(inherited_lock);
  job.unattended = unattended_;
  job.on_written = [this, slot, generation] { listener_.written(slot, generation); };
  job.hold = [this, slot, generation](int fd) { return listener_.hold(slot, generation, fd); };
  if (unattended_ && !job.staged()) job.stop.request_stop();
  entries_.push_back(std::move(entry));
  begins_.spawn(begin_entry(*entries_.back()));
  added_.notify_all();
}

Task<> JobQueue::begin_entry(Entry& entry) {
  SlotJob& job = entry.job;
  SlotHeader& header = job.header();
  std::exception_ptr failure;
  header.active.store(1, std::memory_order_release);
  try {
    const std::uint32_t deaths = header.deaths.load(std::memory_order_acquire);
    if (deaths == deaths_max) co_await handler_.abandon(job);  // but not when workers die of that, too
    if (deaths >= deaths_max) throw_died(job);
    co_await handler_.begin(job);
  } catch (...) {
    failure = std::current_exception();
  }
  header.active.store(0, std::memory_order_release);
  entry.begin_failed = failure != nullptr;
  if (failure) {
    const Error error = to_error(failure);
    listener_.release(job.slot());
    listener_.begun(job.slot(), job.generation(), &error);
  } else {
    listener_.begun(job.slot(), job.generation(), nullptr);
  }
  entry.begun.set();
}

Task<> JobQueue::write_entry(Entry& entry) {
  SlotJob& job = entry.job;
  std::exception_ptr failure;
  job.header().active.store(1, std::memory_order_release);
  try {
    co_await handler_.write(job);
  } catch (...) {
    failure = std::current_exception();
  }
  job.header().active.store(0, std::memory_order_release);
  if (failure) {
    const Error error = to_error(failure);
    listener_.outcome(job.slot(), job.generation(), &error);
  } else {
    listener_.outcome(job.slot(), job.generation(), nullptr);
  }
  listener_.release(job.slot());  // after the answer is kept: a worker without either would do the save again
}

void JobQueue::changed(unsigned slot, std::uint64_t generation) {
  if (Entry* const entry = find(slot, generation)) entry->job.changed().notify_all();
}

void JobQueue::abandon(unsigned slot, std::uint64_t generation) {
  Entry* const entry = find(slot, generation);
  if (entry == nullptr) return;
  entry->job.stop.request_stop();
  entry->job.changed().notify_all();
}

void JobQueue::unattend() {
  unattended_ = true;
  for (const auto& entry : entries_) {
    entry->job.unattended = true;
    if (entry->job.staged()) continue;
    entry->job.stop.request_stop();
    entry->job.changed().notify_all();
  }
}

void JobQueue::close() {
  closed_ = true;
  added_.notify_all();
}

JobQueue::Entry* JobQueue::find(unsigned slot, std::uint64_t generation) {
  for (const auto& entry : entries_) {
    if (entry->job.slot() == slot && entry->job.generation() == generation) return entry.get();
  }
  return nullptr;
}

}  // namespace cairn::executor
