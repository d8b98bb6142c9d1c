#include "cairn/checkpointer.hpp"

#include <chrono>
#include <utility>

#include "cairn/process.hpp"
#include "cairn/reader.hpp"
#include "checkpoint/save_pipeline.hpp"

namespace cairn {
namespace fs = std::filesystem;
namespace {

std::shared_ptr<CheckpointReader> make_reader(const CheckpointerConfig& config) {
  return std::make_shared<CheckpointReader>(config.writer.io_backend, config.writer.direct_io);
}

}  // namespace

Future<StateDict> Checkpointer::load(const fs::path& path, const LoadOptions& options) {
  return reader_->load(path, options);
}

Future<LoadReport> Checkpointer::load_into(const fs::path& path, StateDict& target, const LoadOptions& options) {
  return reader_->load_into(path, target, options);
}

SyncCheckpointer::SyncCheckpointer(CheckpointerConfig config, CheckpointerParts parts)
    : Checkpointer(make_reader(config)),
      pipeline_(std::make_unique<SavePipeline>(SavePipeline::Mode::in_process, std::move(config), std::move(parts))) {}

SyncCheckpointer::~SyncCheckpointer() = default;

Saving SyncCheckpointer::save(const fs::path& path, const StateDict& state, const SaveOptions& options) {
  Saving saving = pipeline_->save(path, state, options);
  saving.committed().wait_until(std::chrono::steady_clock::time_point::max());
  return saving;
}

Future<> SyncCheckpointer::close() {
  return pipeline_->close();
}

AsyncCheckpointer::AsyncCheckpointer(CheckpointerConfig config, CheckpointerParts parts)
    : Checkpointer(make_reader(config)),
      process_(std::make_unique<CheckpointProcess>(std::move(config), std::move(parts))) {}

AsyncCheckpointer::~AsyncCheckpointer() = default;

Saving AsyncCheckpointer::save(const fs::path& path, const StateDict& state, const SaveOptions& options) {
  return process_->write(path, state, options);
}

Future<> AsyncCheckpointer::close() {
  return process_->close();
}

CheckpointProcess::CheckpointProcess(CheckpointerConfig config, CheckpointerParts parts)
    : pipeline_(std::make_unique<SavePipeline>(SavePipeline::Mode::process, std::move(config), std::move(parts))) {}

CheckpointProcess::~CheckpointProcess() = default;

Saving CheckpointProcess::write(const fs::path& path, const StateDict& state, const SaveOptions& options) {
  return pipeline_->save(path, state, options);
}

Saving CheckpointProcess::write(const fs::path& path, Future<StateDict> state, const SaveOptions& options) {
  return pipeline_->save(path, std::move(state), options);
}

pid_t CheckpointProcess::pid() const noexcept {
  return pipeline_->supervisor_pid();
}

pid_t CheckpointProcess::worker_pid() const noexcept {
  return pipeline_->worker_pid();
}

Future<> CheckpointProcess::close() {
  return pipeline_->close();
}

std::unique_ptr<SyncCheckpointer> make_sync_checkpointer() {
  return make_sync_checkpointer(CheckpointerConfig());
}

std::unique_ptr<SyncCheckpointer> make_sync_checkpointer(CheckpointerConfig config) {
  return make_sync_checkpointer(std::move(config), CheckpointerParts());
}

std::unique_ptr<SyncCheckpointer> make_sync_checkpointer(CheckpointerConfig config, CheckpointerParts parts) {
  return std::make_unique<SyncCheckpointer>(std::move(config), std::move(parts));
}

std::unique_ptr<AsyncCheckpointer> make_async_checkpointer() {
  return make_async_checkpointer(CheckpointerConfig());
}

std::unique_ptr<AsyncCheckpointer> make_async_checkpointer(CheckpointerConfig config) {
  return make_async_checkpointer(std::move(config), CheckpointerParts());
}

std::unique_ptr<AsyncCheckpointer> make_async_checkpointer(CheckpointerConfig config, CheckpointerParts parts) {
  return std::make_unique<AsyncCheckpointer>(std::move(config), std::move(parts));
}

}  // namespace cairn
