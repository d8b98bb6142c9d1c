#include "checkpoint/save_driver.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "checkpoint/attempt.hpp"
#include "checkpoint/save_request.hpp"
#include "format/sidecar.hpp"

namespace cairn::checkpoint {
namespace {

unsigned copy_threads(const CheckpointerConfig& config) {
  return config.staging.copy_threads > 0 ? config.staging.copy_threads : staging::default_copy_threads();
}

}  // namespace

/// A save from start() to its end. Stopped by the user's token or by give_up().
struct SaveDriver::Active {
  Active(SaveDriver& driver, std::shared_ptr<detail::SaveState> state) : save(std::move(state)) {
    driver.active_.push_back(this);
  }

  std::shared_ptr<detail::SaveState> save;
  std::stop_source stop;
  executor::SlotClient* client = nullptr;
  unsigned slot = 0;
  staging::SlotMemory* memory = nullptr;
  std::uint64_t generation = 0;
  std::filesystem::path file;  ///< what is being written
  bool has_slot = false;
  bool begun = false;         ///< the writing side was told
  bool acknowledged = false;  ///< it has made the attempt
  bool given_up = false;      ///< by give_up(): the writing side goes on with it, or cleans up, by itself
};

SaveDriver::SaveDriver(loop::Loop& loop, std::shared_ptr<const SharedSlots> slots, const CheckpointerConfig& config,
                       RankInfo rank, FindClient find_client, OnFailure on_failure)
    : loop_(loop),
      slots_(std::move(slots)),
      config_(config),
      rank_(rank),
      find_client_(std::move(find_client)),
      on_failure_(std::move(on_failure)),
      arena_(*slots_, config.staging),
      copy_pool_(copy_threads(config), "cairn-copy"),
      stager_(copy_pool_, copy_threads(config)),
      is_free_(slots_->size(), true) {}

SaveDriver::~SaveDriver() = default;

void SaveDriver::start(std::shared_ptr<detail::SaveState> save) {
  saves_.spawn(drive(std::move(save)));
}

Task<> SaveDriver::finished() {
  co_await saves_.join();
}

Task<> SaveDriver::all_free() {
  while (std::find(is_free_.begin(), is_free_.end(), false) != is_free_.end())
    co_await changed_.next();
}

Task<> SaveDriver::drive(std::shared_ptr<detail::SaveState> save) {
  Active active(*this, std::move(save));
  // The user's token may be triggered on any thread; the save is stopped on this one.
  std::weak_ptr<detail::SaveState> self = active.save;
  const auto stop_later = [this, self] {
    loop_.post([this, self] {
      for (Active* const each : active_) {
        if (each->save == self.lock()) stop(*each);
      }
    });
  };
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
  if (active.save->options.stop_token().stop_possible()) {
    on_stop.emplace(active.save->options.stop_token(), std::function<void()>(stop_later));
    if (active.save->options.stop_token().stop_requested()) stop(active);
  }

  std::exception_ptr failure;
  try {
    co_await drive_in_slot(active);
  } catch (...) {
    failure = std::current_exception();
  }
  on_stop.reset();
  std::erase(active_, &active);
  changed_.notify_all();
  if (failure) {
    active.save->fail(failure);
    on_failure_(active.save);
  } else {
    active.save->complete();
  }
  active.save->snapshot.reset();
}

Task<> SaveDriver::drive_in_slot(Active& active) {
  detail::SaveState& save = *active.save;
  if (save.source.valid()) {
    co_await source_ready(active);
    const StateDict state = co_await save.source;
    save.snapshot.emplace(format::take(format::Plan::make(state), state));
  }
  active.slot = co_await take_slot(active);

  std::exception_ptr failure;
  Scope watch;
  watch.spawn(fail_when_stalled(active, watch.stop_token()));
  try {
    co_await write_out(active);
  } catch (...) {
    failure = std::current_exception();
  }
  save.leave_slot();
  if (!active.given_up) co_await settle(active);
  watch.request_stop();
  co_await watch.join();
  if (failure) std::rethrow_exception(failure);
}

/// Stages the save beside the writing, and waits for the outcome.
Task<> SaveDriver::write_out(Active& active) {
  detail::SaveState& save = *active.save;
  format::Image image = save.snapshot->image();
  active.memory = &arena_.prepare(active.slot, image.bytes);
  prepare_request(active, std::move(image.tensors_json));

  SlotHeader& header = slots_->header(active.slot);
  active.generation = ++last_generation_;
  header.generation.store(active.generation);
  header.image_bytes.store(image.bytes);
  header.ready_bytes.store(0);
  header.written_bytes.store(0);
  header.deaths.store(0);
  save.in_slot(slots_, active.slot, image.bytes);
  header.state.store(SlotState::staging, std::memory_order_release);

  Scope both(active.stop.get_token());
  active.begun = true;
  both.spawn(begin(active));
  both.spawn(stage(active, std::move(image), both.stop_token()));
  co_await both.join();

  header.state.store(SlotState::ready, std::memory_order_release);
  active.client->changed(active.slot, active.generation);
  save.complete_staging();
  co_await active.client->outcome(active.slot);
}

/// Gives the slot back, once the writing side has let go of it. Where it does not, the slot stays out of use.
Task<> SaveDriver::settle(Active& active) {
  if (active.begun && !active.client->answered(active.slot)) {
    active.client->abandon(active.slot, active.generation);
    try {
      co_await active.client->outcome(active.slot);
    } catch (const Error&) {
    }
    if (active.given_up) co_return;
    if (!active.client->answered(active.slot)) {
      stalled_file_ = active.file;
      quarantined_.spawn(free_when_answered(active.slot, active.client));
      changed_.notify_all();
      co_return;
    }
  }
  free_slot(active.slot);
}

/// Waits until the state is made, or the save is stopped: who makes the state may take any time, or never come to it.
Task<> SaveDriver::source_ready(Active& active) {
  struct Waiting {
    std::mutex mutex;
    SaveDriver* driver;  ///< null when it does not wait any more
  };
  const auto waiting = std::make_shared<Waiting>();
  waiting->driver = this;
  detail::on_ready(active.save->source, [waiting] {
    const std::lock_guard lock(waiting->mutex);
    SaveDriver* const driver = waiting->driver;
    if (driver != nullptr) driver->loop_.post([driver] { driver->changed_.notify_all(); });
  });
  while (!active.save->source.ready() && !active.stop.stop_requested())
    co_await changed_.next();
  {
    const std::lock_guard lock(waiting->mutex);
    waiting->driver = nullptr;
  }
  throw_if_stopped(active);
}

/// Slots are given in the order of the calls; a save that has ended meanwhile is not in active_ any more.
bool SaveDriver::is_next(const Active& active) const {
  const auto waits = [](const Active* each) { return !each->has_slot; };
  return *std::find_if(active_.begin(), active_.end(), waits) == &active;
}

void SaveDriver::throw_if_stopped(const Active& active) {
  if (active.stop.stop_requested()) throw Error(Errc::cancelled, "save " + active.save->path.string());
}

Task<unsigned> SaveDriver::take_slot(Active& active) {
  while (true) {
    throw_if_stopped(active);
    const auto free = std::find(is_free_.begin(), is_free_.end(), true);
    if (is_next(active) && free != is_free_.end()) break;
    if (quarantined_.size() == is_free_.size()) {
      throw Error(Errc::timed_out, "save " + active.save->path.string() +
                                       ": no slot is left, all are held by writes that do not end, the last one of " +
                                       stalled_file_.string());
    }
    co_await changed_.next();
  }
  active.client = co_await find_client_();
  const auto free = std::find(is_free_.begin(), is_free_.end(), true);
  *free = false;
  active.has_slot = true;
  changed_.notify_all();
  co_return static_cast<unsigned>(free - is_free_.begin());
}

void SaveDriver::free_slot(unsigned slot) {
  slots_->header(slot).state.store(SlotState::free, std::memory_order_release);
  is_free_[slot] = true;
  changed_.notify_all();
}

Task<> SaveDriver::free_when_answered(unsigned slot, executor::SlotClient* client) {
  co_await client->answer(slot);
  free_slot(slot);
}

void SaveDriver::prepare_request(Active& active, std::string tensors_json) {
  const detail::SaveState& save = *active.save;
  SaveRequest request;
  request.path = save.path;
  request.attempt = make_attempt_id();
  request.rank = rank_;
  request.step = save.options.step();
  if (save.options.keep_last()) request.keep_last = *save.options.keep_last();
  request.metadata = save.options.metadata();
  request.tensors_json = std::move(tensors_json);
  slots_->write_request(active.slot, request.encode());
  active.file = partial_path(request.path, request.attempt) /
                format::rank_file_name(rank_.global_rank, rank_.global_world_size, ".safetensors");
}

Task<> SaveDriver::begin(Active& active) {
  co_await active.client->begin(active.slot, active.generation);
  active.acknowledged = true;
}

Task<> SaveDriver::stage(Active& active, format::Image image, std::stop_token stop) {
  staging::HostStager::OnReady on_ready = [&active](std::uint64_t) {
    active.client->changed(active.slot, active.generation);
  };
  staging::HostStager::WaitWritten wait_for_room = [this, &active](std::uint64_t needed_bytes) {
    return wait_written(active, needed_bytes);
  };
  co_await stager_.stage(std::move(image), *active.memory, slots_->header(active.slot), std::move(on_ready),
                         std::move(wait_for_room), stop);
}

Task<> SaveDriver::wait_written(Active& active, std::uint64_t needed_bytes) {
  const SlotHeader& header = slots_->header(active.slot);
  while (header.written_bytes.load(std::memory_order_acquire) < needed_bytes) {
    if (active.client->decided(active.slot)) {
      co_await active.client->outcome(active.slot);
      throw Error(Errc::cancelled, "stage " + active.save->path.string());
    }
    co_await active.client->progress(active.slot);
  }
}

/// Nothing tells a hung disk from a slow one but time without a byte.
Task<> SaveDriver::fail_when_stalled(Active& active, std::stop_token stop) {
  const auto timeout = config_.writer.write_stall_timeout;
  std::uint64_t seen_bytes = 0;
  bool was_idle = true;
  // To make the attempt may take as long as waiting for other writers may, and no longer.
  const auto begin_deadline = std::chrono::steady_clock::now() + config_.writer.live_writer_timeout + timeout;
  while (true) {
    try {
      co_await loop_.sleep_until(std::chrono::steady_clock::now() + timeout, stop);
    } catch (const Error&) {
      co_return;
    }
    if (active.begun && !active.acknowledged && std::chrono::steady_clock::now() >= begin_deadline) {
      active.client->fail(active.slot, Error(Errc::timed_out, "make " + active.file.parent_path().string()));
      co_return;
    }
    const SlotHeader& header = slots_->header(active.slot);
    const std::uint64_t written_bytes = header.written_bytes.load(std::memory_order_acquire);
    const bool is_idle = !active.acknowledged || (written_bytes == header.ready_bytes.load(std::memory_order_acquire) &&
                                                  written_bytes < header.image_bytes.load());
    if (!was_idle && !is_idle && written_bytes == seen_bytes) {
      active.client->fail(
          active.slot, Error(Errc::timed_out, "write " + active.file.string() + " at " + std::to_string(written_bytes) +
                                                  ": nothing for " + std::to_string(timeout.count()) + " ms"));
      co_return;
    }
    seen_bytes = written_bytes;
    was_idle = is_idle;
  }
}

void SaveDriver::stop(Active& active) {
  active.stop.request_stop();
  if (active.begun) active.client->abandon(active.slot, active.generation);
  changed_.notify_all();
}

void SaveDriver::give_up(const Error& reason) {
  for (Active* const active : active_) {
    active->given_up = true;
    active->stop.request_stop();
    if (active->begun) active->client->fail(active->slot, reason);
  }
  changed_.notify_all();
}

}  // namespace cairn::checkpoint
