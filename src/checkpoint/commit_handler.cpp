#include "checkpoint/commit_handler.hpp"

#include <fcntl.h>
#include <time.h>

#include <array>
#include <exception>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cairn/version.hpp"
#include "checkpoint/leftovers.hpp"
#include "checkpoint/placement.hpp"
#include "checkpoint/save_request.hpp"
#include "executor/image_writer.hpp"
#include "executor/message.hpp"
#include "format/json.hpp"
#include "format/manifest.hpp"
#include "format/sidecar.hpp"
#include "uring/directory.hpp"
#include "uring/file.hpp"

namespace cairn::checkpoint {
namespace fs = std::filesystem;
namespace {

std::string now_iso8601() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace

/// One save on its way: what the writer sees of it.
class CommitHandler::Save final : public WriteJob {
 public:
  Save(CommitHandler& handler, executor::SlotJob& job)
      : handler_(handler), job_(job), request_(SaveRequest::decode(job.request())) {
    commit_.path = request_.path;
    commit_.partial_path = checkpoint::partial_path(request_.path, request_.attempt);
    commit_.attempt = request_.attempt;
    commit_.step = request_.step;
    commit_.metadata = request_.metadata;
    commit_.rank = request_.rank;
  }

  const Commit& commit() const override { return commit_; }
  const SaveRequest& request() const { return request_; }
  executor::SlotJob& job() const { return job_; }
  Attempt attempt() const { return Attempt{commit_.partial_path, commit_.path, commit_.attempt}; }

  bool decided() const override { return renamed; }
  Task<> write_files() override;
  Task<> decide() override;

  std::optional<AttemptLock> lock;
  bool renamed = false;  ///< the rename was done: whatever fails from here on, the attempt must not be taken away

 private:
  Task<> write_manifest();
  bool may_be_committed() const;
  void throw_if_stopped() const {
    if (job_.stop.stop_requested()) throw Error(Errc::cancelled, "save " + commit_.path.string());
  }

  CommitHandler& handler_;
  executor::SlotJob& job_;
  SaveRequest request_;
  Commit commit_;
  std::vector<format::FileEntry> files_;
};

Task<> CommitHandler::Save::write_files() {
  const std::string data_name =
      format::rank_file_name(request_.rank.global_rank, request_.rank.global_world_size, ".safetensors");
  const std::string sidecar_name =
      format::rank_file_name(request_.rank.global_rank, request_.rank.global_world_size, ".json");

  const int direct = handler_.config_.direct_io ? O_DIRECT : 0;
  uring::File file =
      co_await uring::File::open(handler_.io_, commit_.partial_path / data_name, O_RDWR | O_CREAT | direct);
  std::vector<format::Digest> digests = co_await executor::write_image(file, job_);
  co_await file.sync();

  format::Sidecar sidecar;
  sidecar.attempt = request_.attempt;
  sidecar.rank = request_.rank.global_rank;
  sidecar.world_size = request_.rank.global_world_size;
  sidecar.data_file = data_name;
  sidecar.data_bytes = job_.header().image_bytes.load(std::memory_order_acquire);
  sidecar.digests = std::move(digests);
  sidecar.tensors_json = request_.tensors_json;
  std::string text = format::write_sidecar(sidecar);

  format::FileEntry data_entry;
  data_entry.name = data_name;
  data_entry.bytes = sidecar.data_bytes;
  data_entry.digest = format::digest(std::span<const format::Digest>(sidecar.digests));
  data_entry.kind = format::FileEntry::Kind::data;
  format::FileEntry sidecar_entry;
  sidecar_entry.name = sidecar_name;
  sidecar_entry.bytes = text.size();
  sidecar_entry.digest = format::digest(std::string_view(text));
  sidecar_entry.kind = format::FileEntry::Kind::sidecar;
  files_.clear();
  files_.push_back(std::move(data_entry));
  files_.push_back(std::move(sidecar_entry));

  co_await uring::write_file(handler_.io_, commit_.partial_path / sidecar_name, std::move(text));
  co_await uring::sync_directory(handler_.io_, commit_.partial_path);
}

Task<> CommitHandler::Save::decide() {
  if (request_.rank.global_rank != 0) co_return;
  if (!renamed) {
    co_await write_manifest();
    throw_if_stopped();
    renamed = true;  // or may be, once the call below was made
    try {
      co_await put_in_place(handler_.io_, commit_.partial_path, commit_.path);
    } catch (const Error& error) {
      renamed = may_be_committed();
      if (!renamed) throw;
      throw Error(Errc::commit_unknown, "commit " + commit_.path.string() + ": " + error.what());
    }
  } else {
    co_await uring::sync_directory(handler_.io_, commit_.path.parent_path());
  }
  // The save is durable. What cannot be cleaned up is left to a later save and told, but fails nothing.
  try {
    co_await tidy_after_commit(handler_.io_, commit_.partial_path, commit_.path);
  } catch (const Error& error) {
    handler_.notice_(error);
  }
  if (!request_.keep_last) co_return;
  try {
    co_await delete_older(handler_.io_, commit_.path, static_cast<std::size_t>(*request_.keep_last));
  } catch (const Error& error) {
    handler_.notice_(error);
  }
}

bool CommitHandler::Save::may_be_committed() const {
  try {
    return is_committed(commit_.path, request_.attempt);
  } catch (const Error&) {
    return true;
  }
}

Task<> CommitHandler::Save::write_manifest() {
  format::Manifest manifest;
  manifest.library_version = version();
  manifest.world_size = request_.rank.global_world_size;
  manifest.step = request_.step;
  manifest.attempt = request_.attempt;
  manifest.created = now_iso8601();
  manifest.files = files_;
  manifest.metadata = request_.metadata;
  std::string text = format::write_manifest(manifest);
  co_await uring::write_file(handler_.io_, commit_.partial_path / manifest_file_name, std::move(text));
  co_await uring::sync_directory(handler_.io_, commit_.partial_path);
}

CommitHandler::CommitHandler(loop::Loop& loop, uring::FileIo& io, CheckpointWriterConfig config,
                             std::unique_ptr<CheckpointWriter> writer, WriterIdentity trainer, Notice notice)
    : loop_(loop),
      io_(io),
      config_(std::move(config)),
      writer_(std::move(writer)),
      trainer_(std::move(trainer)),
      notice_(std::move(notice)) {}

CommitHandler::~CommitHandler() = default;

Task<> CommitHandler::begin(executor::SlotJob& job) {
  auto made = std::make_unique<Save>(*this, job);
  Save& save = *made;
  if (job.inherited_lock) {
    save.lock.emplace(std::move(job.inherited_lock));
  }
  save.renamed = is_committed(save.commit().path, save.commit().attempt);
  if (!save.lock && !save.renamed) co_await make_attempt(save);
  saves_.insert_or_assign(job.slot(), std::move(made));
}

Task<> CommitHandler::make_attempt(Save& save) {
  const fs::path path = save.commit().path;
  co_await uring::make_directories(io_, path.parent_path());
  co_await orphans_gone(loop_, path.parent_path(), config_.live_writer_timeout, trainer_, save.job().stop.get_token());
  require_replaceable(path);
  save.lock.emplace(AttemptLock::create(save.attempt(), trainer_));
  if (save.job().hold) co_await save.job().hold(save.lock->fd());
}

Task<> CommitHandler::write(executor::SlotJob& job) {
  const auto node = saves_.extract(job.slot());
  Save& save = *node.mapped();
  std::exception_ptr failure;
  try {
    co_await remove_leftovers(io_, save.commit().path.parent_path(), notice_);
    // Here and not in begin(), which runs beside the two renames of a save before this one.
    if (!save.renamed) co_await finish_replacement(io_, save.commit().path);
    co_await writer_->write(save);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) {
    if (!save.renamed) co_await remove_attempt(save);  // a writer of the user's that puts its files elsewhere
    co_return;
  }
  if (!save.renamed) {
    // The trainer's death may not have been seen yet. Nobody misses what was never staged.
    const bool unheard = job.unattended || !trainer_.trainer_runs();
    if (unheard && job.staged()) {
      write_error_file(save, executor::to_error(failure));
    } else {
      co_await remove_attempt(save);
    }
  }
  std::rethrow_exception(failure);
}

Task<> CommitHandler::abandon(executor::SlotJob& job) {
  auto save = std::make_unique<Save>(*this, job);
  if (job.inherited_lock) {
    save->lock.emplace(std::move(job.inherited_lock));
  } else {
    save->lock = AttemptLock::take_over(save->attempt());
  }
  const bool committed = is_committed(save->commit().path, save->commit().attempt);
  if (save->lock && !committed) co_await remove_attempt(*save);
}

Task<> CommitHandler::remove_attempt(Save& save) {
  try {
    co_await uring::remove_tree(io_, save.commit().partial_path);
  } catch (const Error& error) {
    notice_(error);  // the save's own failure is what its future says; what stays is removed by a later save
  }
}

void CommitHandler::write_error_file(const Save& save, const Error& error) const {
  std::string json = "{\"path\": ";
  format::append_json_string(json, save.commit().path.string());
  json += ", \"error\": ";
  format::append_json_string(json, error.what());
  json += "}\n";
  std::ofstream out(save.commit().partial_path / error_file_name);
  out << json;
}

}  // namespace cairn::checkpoint
