#include "checkpoint/save_pipeline.hpp"

#include <chrono>
#include <cstdio>
#include <exception>
#include <utility>

#include "checkpoint/process_side.hpp"
#include "checkpoint/thread_side.hpp"
#include "executor/message.hpp"

namespace cairn {
namespace fs = std::filesystem;
namespace {

/// Saves that may wait for a slot; one more is Errc::busy.
constexpr unsigned waiting_saves_max = 8;

/// Failures that close() looks at: it rethrows only one.
constexpr std::size_t failures_kept_max = 64;

fs::path absolute_path(const fs::path& path) {
  if (path.empty()) throw Error(Errc::bad_argument, "save to an empty path");
  fs::path absolute = fs::absolute(path).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // a trailing slash
  if (!absolute.has_filename()) throw Error(Errc::bad_argument, "save to " + path.string() + ", which has no name");
  if (absolute.extension() == ".replaced" || checkpoint::parse_partial_path(absolute)) {
    throw Error(Errc::bad_argument, "save to " + path.string() + ": cairn uses such names for saves under way");
  }
  return absolute;
}

void tell(const std::function<void(const Error&)>& on_error, const Error& error) {
  try {
    if (on_error) {
      on_error(error);
    } else {
      std::fprintf(stderr, "cairn: %s\n", error.what());
    }
  } catch (...) {  // the user's own; there is nobody left to tell
  }
}

/// A save in this process needs no copy of the whole state: it is held up anyway, so it streams.
CheckpointerConfig adapt(CheckpointerConfig config, SavePipeline::Mode mode) {
  constexpr std::uint64_t streaming_bytes = std::uint64_t{64} << 20;
  if (mode == SavePipeline::Mode::in_process) {
    config.max_in_flight = 1;
    if (config.staging.staging_bytes_max == 0) config.staging.staging_bytes_max = streaming_bytes;
  }
  return config;
}

RankInfo single_rank(const CheckpointerParts& parts) {
  const RankInfo rank = parts.rank_info ? *parts.rank_info : RankInfo::from_environment();
  if (rank.global_world_size != 1 || rank.global_rank != 0) {
    throw Error(Errc::bad_argument, "make a checkpointer for rank " + std::to_string(rank.global_rank) + " of " +
                                        std::to_string(rank.global_world_size) +
                                        ": this version of cairn saves for one rank only");
  }
  return rank;
}

}  // namespace

SavePipeline::SavePipeline(Mode mode, CheckpointerConfig config, CheckpointerParts parts)
    : config_(adapt(std::move(config), mode)), callbacks_(std::make_shared<CallbackThread>()) {
  const RankInfo rank = single_rank(parts);
  const auto notice = [this](const Error& error) { report(error); };
  if (mode == Mode::process) {
    writing_side_ = std::make_unique<checkpoint::ProcessSide>(config_, std::move(parts), rank, notice);
  } else {
    writing_side_ = std::make_unique<checkpoint::ThreadSide>(config_, std::move(parts), rank, notice);
  }
  io_thread_ = std::make_unique<loop::LoopThread>("cairn-io");
  loop::Loop& loop = io_thread_->loop();

  auto started = std::make_shared<Promise<void>>(callbacks_);
  const Future<> ready = started->future();
  try {
    io_thread_->call([&] {
      background_ = std::make_unique<Scope>();
      driver_ = std::make_unique<checkpoint::SaveDriver>(
          loop, writing_side_->slots(), config_, rank,
          [this] { return writing_side_->find([this] { return driver_->all_free(); }); },
          [this](std::shared_ptr<detail::SaveState> save) { note_failure(std::move(save)); });
      background_->spawn(start_writing_side(started));
    });
    ready.get();
  } catch (...) {
    end_io();
    throw;
  }
}

Task<> SavePipeline::start_writing_side(std::shared_ptr<Promise<void>> started) {
  try {
    co_await writing_side_->start(io_thread_->loop());
  } catch (...) {
    started->set_exception(std::current_exception());
    co_return;
  }
  const std::string fallback = writing_side_->io_fallback();
  if (!fallback.empty()) std::fprintf(stderr, "cairn: threads write files here, not io_uring (%s)\n", fallback.c_str());
  started->set_value();
}

SavePipeline::~SavePipeline() {
  if (!is_closed_) {
    auto done = std::make_shared<Promise<void>>(callbacks_);
    const Future<> given_up = done->future();
    io_thread_->loop().post([this, done] { background_->spawn(give_up_all(done)); });
    given_up.wait_for(std::chrono::hours(1));
  } else if (!closing_.ready()) {
    io_thread_->loop().post([this] {
      is_leaving_ = true;
      driver_->give_up(Error(Errc::closed, "wait for a save whose checkpointer was destroyed"));
    });
    closing_.wait_for(std::chrono::hours(1));
  }
  end_io();
}

Saving SavePipeline::save(const fs::path& path, const StateDict& state, const SaveOptions& options) {
  std::shared_ptr<detail::SaveState> save;
  try {
    save = admit(path, options);
    std::optional<format::Snapshot> snapshot;
    if (plan_) snapshot = format::take_if_matches(plan_, state);
    if (!snapshot) {
      plan_ = format::Plan::make(state);
      snapshot.emplace(format::take(plan_, state));
    }
    save->snapshot = std::move(snapshot);
    hand_over(save);
  } catch (...) {
    if (!save) save = std::make_shared<detail::SaveState>(callbacks_, path, options);
    save->fail(std::make_exception_ptr(executor::to_error(std::current_exception())));
    note_failure(save);
  }
  return Saving(save);
}

Saving SavePipeline::save(const fs::path& path, Future<StateDict> state, const SaveOptions& options) {
  std::shared_ptr<detail::SaveState> save;
  try {
    save = admit(path, options);
    save->source = std::move(state);
    hand_over(save);
  } catch (...) {
    if (!save) save = std::make_shared<detail::SaveState>(callbacks_, path, options);
    save->fail(std::make_exception_ptr(executor::to_error(std::current_exception())));
    note_failure(save);
  }
  return Saving(save);
}

std::shared_ptr<detail::SaveState> SavePipeline::admit(const fs::path& path, const SaveOptions& options) {
  if (is_closed_) throw Error(Errc::closed, "save " + path.string());
  fs::path absolute = absolute_path(path);
  if (saves_under_way_.load(std::memory_order_relaxed) >= config_.max_in_flight + waiting_saves_max) {
    throw Error(Errc::busy, "save " + path.string() + ": " + std::to_string(waiting_saves_max) + " saves are waiting");
  }
  return std::make_shared<detail::SaveState>(callbacks_, std::move(absolute), options);
}

void SavePipeline::hand_over(std::shared_ptr<detail::SaveState> save) {
  saves_under_way_.fetch_add(1, std::memory_order_relaxed);
  detail::on_ready(save->committed(), [this] { saves_under_way_.fetch_sub(1, std::memory_order_relaxed); });
  io_thread_->loop().post([this, save = std::move(save)]() mutable { driver_->start(std::move(save)); });
}

Future<> SavePipeline::close() {
  if (is_closed_) return ready_future();
  is_closed_ = true;
  auto closed = std::make_shared<Promise<void>>(callbacks_);
  closing_ = closed->future();
  io_thread_->loop().post([this, closed] { background_->spawn(close_all(closed)); });
  return closing_;
}

Task<> SavePipeline::close_all(std::shared_ptr<Promise<void>> closed) {
  co_await driver_->finished();
  std::exception_ptr failure;
  try {
    if (is_leaving_) co_await writing_side_->leave();
    if (!is_leaving_) co_await writing_side_->shut_down();
  } catch (...) {
    failure = std::current_exception();
  }
  co_await driver_->released();
  {
    const std::lock_guard lock(failures_mutex_);
    for (const auto& save : unobserved_failures_) {
      if (save->failure_observed()) continue;
      failure = detail::error_of(save->committed());
      break;
    }
    unobserved_failures_.clear();
  }
  if (failure) {
    closed->set_exception(failure);
  } else {
    closed->set_value();
  }
}

Task<> SavePipeline::give_up_all(std::shared_ptr<Promise<void>> done) {
  driver_->give_up(Error(Errc::closed, "wait for a save whose checkpointer was destroyed"));
  co_await driver_->finished();
  try {
    co_await writing_side_->leave();
  } catch (const Error& error) {
    report(error);
  }
  co_await driver_->released();
  done->set_value();
}

void SavePipeline::end_io() {
  io_thread_->call([&] {
    driver_.reset();
    writing_side_->reset();
  });
  io_thread_.reset();
  background_.reset();
}

void SavePipeline::note_failure(std::shared_ptr<detail::SaveState> save) {
  {
    const std::lock_guard lock(failures_mutex_);
    std::erase_if(unobserved_failures_, [](const auto& each) { return each->failure_observed(); });
    if (unobserved_failures_.size() < failures_kept_max) unobserved_failures_.push_back(save);
  }
  // Looked at there: whoever made the call that failed may be about to await it.
  callbacks_->post([on_error = config_.on_error, save = std::move(save)] {
    if (!save->failure_observed()) tell(on_error, executor::to_error(detail::error_of(save->committed())));
  });
}

void SavePipeline::report(const Error& error) {
  callbacks_->post([on_error = config_.on_error, error] { tell(on_error, error); });
}

}  // namespace cairn
