#include "checkpoint/thread_side.hpp"

#include <unistd.h>

#include <utility>

namespace cairn::checkpoint {

ThreadSide::ThreadSide(const CheckpointerConfig& config, CheckpointerParts parts, RankInfo rank,
                       std::function<void(const Error&)> notice)
    : WritingSide(std::make_shared<const SharedSlots>(SharedSlots::create(config.max_in_flight)), rank),
      config_(config),
      program_(config.writer, config.barrier, rank, std::move(parts)),
      notice_(std::move(notice)) {}

ThreadSide::~ThreadSide() = default;

Task<> ThreadSide::start(loop::Loop& loop) {
  loop_ = &loop;
  io_ = uring::FileIo::make(loop, to_backend(config_.writer.io_backend));
  loop.attach(io_.get());
  auto handler = program_.make_commit_handler(loop, *io_, WriterIdentity::of_process(::getpid()), notice_);
  client_ = std::make_unique<executor::LocalClient>(*slots(), *io_, std::move(handler));
  client_->start();
  co_return;
}

Task<executor::SlotClient*> ThreadSide::find(std::function<Task<>()>) {
  co_return client_.get();
}

Task<> ThreadSide::shut_down() {
  if (client_) co_await client_->stop();
}

Task<> ThreadSide::leave() {
  return shut_down();
}

std::string ThreadSide::io_fallback() const {
  return io_ ? io_->backend_reason() : std::string();
}

void ThreadSide::reset() {
  client_.reset();
  if (io_) loop_->detach();
  io_.reset();
}

}  // namespace cairn::checkpoint
