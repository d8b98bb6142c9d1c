#include "cairn/reader.hpp"

#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "cairn/error.hpp"
#include "cairn/promise.hpp"
#include "checkpoint/load_plan.hpp"
#include "checkpoint/opened_checkpoint.hpp"
#include "checkpoint/read_engine.hpp"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using checkpoint::LoadPlan;
using checkpoint::LoadRequest;
using checkpoint::OpenedCheckpoint;
using checkpoint::ReadEngine;

/// As long as a save waits for them.
constexpr auto writer_wait_max = std::chrono::seconds(600);

/// The work goes on while the caller may change its directory. Without a slash at the end: names are built from it.
fs::path path_of_load(const fs::path& path) {
  fs::path whole = fs::absolute(path);
  while (!whole.has_filename() && whole.has_relative_path())
    whole = whole.parent_path();
  return whole;
}

LoadRequest request_of(const fs::path& path, const LoadOptions& options) {
  LoadRequest request;
  request.operation = "load " + path.string();
  request.keys = options.keys();
  request.strict = options.strict();
  if (options.map_location() && !options.map_location()->is_host()) {
    throw Error(Errc::bad_argument, request.operation + " to " + to_string(*options.map_location()));
  }
  return request;
}

/// The error of a load that had begun to fill the target.
std::exception_ptr with_unspecified_targets(std::exception_ptr failed) {
  try {
    std::rethrow_exception(failed);
  } catch (const Error& error) {
    return std::make_exception_ptr(
        Error(error.code(), error.context() + " (what the tensors of the target hold is unspecified now)"));
  } catch (...) {
    return std::current_exception();
  }
}

/// What a load answers when its reader is destroyed.
std::exception_ptr with_reason(std::exception_ptr failed, bool closing, const LoadRequest& request) {
  try {
    std::rethrow_exception(failed);
  } catch (const Error& error) {
    if (closing && error.code() == Errc::cancelled) {
      return std::make_exception_ptr(Error(Errc::closed, request.operation + ": its reader was destroyed"));
    }
  } catch (...) {
  }
  return failed;
}

using MakePlan = std::function<LoadPlan(const OpenedCheckpoint&)>;

/// Opens, plans, reads, and puts everything into the tree.
Task<LoadReport> carry_out(ReadEngine& engine, fs::path path, bool verify, bool into_target, MakePlan make_plan) {
  co_await checkpoint::wait_for_writer_of(engine, path, writer_wait_max);
  OpenedCheckpoint opened = co_await checkpoint::open_checkpoint(engine, path, verify, "load");

  LoadPlan plan;
  const std::function<void()> planning = [&] { plan = make_plan(opened); };
  co_await engine.pool().run(planning);

  std::exception_ptr failed;
  try {
    co_await engine.loader().execute(opened.files, plan.transfers, engine.stop_token());
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed) std::rethrow_exception(into_target ? with_unspecified_targets(failed) : failed);
  plan.apply();
  co_return std::move(plan.report);
}

Task<void> run_load(ReadEngine& engine, fs::path path, LoadRequest request, bool verify, Promise<StateDict> promise) {
  std::exception_ptr failed;
  try {
    StateDict result;
    const MakePlan make_plan = [&](const OpenedCheckpoint& opened) {
      return plan_load(opened.tree, opened.files[0].header, 0, result, request);
    };
    co_await carry_out(engine, path, verify, false, make_plan);
    promise.set_value(std::move(result));
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed) promise.set_exception(with_reason(failed, engine.stop_token().stop_requested(), request));
}

Task<void> run_load_into(ReadEngine& engine, fs::path path, LoadRequest request, bool verify, StateDict& target,
                         Promise<LoadReport> promise) {
  std::exception_ptr failed;
  try {
    const MakePlan make_plan = [&](const OpenedCheckpoint& opened) {
      return plan_load_into(opened.tree, opened.files[0].header, 0, target, request);
    };
    LoadReport report = co_await carry_out(engine, path, verify, true, make_plan);
    promise.set_value(std::move(report));
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed) promise.set_exception(with_reason(failed, engine.stop_token().stop_requested(), request));
}

}  // namespace

/// Made with the reader, but starts its threads with the first read: a process may still fork until then.
class CheckpointReader::Threads {
 public:
  Threads(IoBackend backend, bool direct_io) : backend_(backend), direct_io_(direct_io) {}

  ReadEngine& engine() {
    if (!engine_) engine_.emplace(backend_, direct_io_);
    return *engine_;
  }

 private:
  IoBackend backend_;
  bool direct_io_;
  std::optional<ReadEngine> engine_;
};

CheckpointReader::CheckpointReader(IoBackend backend, bool direct_io)
    : threads_(std::make_unique<Threads>(backend, direct_io)) {}

CheckpointReader::~CheckpointReader() = default;

Future<StateDict> CheckpointReader::load(const fs::path& path, const LoadOptions& options) {
  try {
    const fs::path whole = path_of_load(path);
    LoadRequest request = request_of(whole, options);
    ReadEngine& engine = threads_->engine();
    Promise<StateDict> promise;
    Future<StateDict> future = promise.future();
    engine.start(run_load(engine, whole, std::move(request), options.verify(), std::move(promise)));
    return future;
  } catch (...) {
    return failed_future<StateDict>(std::current_exception());
  }
}

Future<LoadReport> CheckpointReader::load_into(const fs::path& path, StateDict& target, const LoadOptions& options) {
  try {
    const fs::path whole = path_of_load(path);
    LoadRequest request = request_of(whole, options);
    ReadEngine& engine = threads_->engine();
    Promise<LoadReport> promise;
    Future<LoadReport> future = promise.future();
    engine.start(run_load_into(engine, whole, std::move(request), options.verify(), target, std::move(promise)));
    return future;
  } catch (...) {
    return failed_future<LoadReport>(std::current_exception());
  }
}

}  // namespace cairn
