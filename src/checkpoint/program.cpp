#include "checkpoint/program.hpp"

#include <chrono>
#include <utility>

#include "checkpoint/registry.hpp"
#include "executor/wire.hpp"

namespace cairn::checkpoint {

CheckpointProgram::CheckpointProgram(CheckpointWriterConfig writer, BarrierConfig barrier, RankInfo rank,
                                     CheckpointerParts parts)
    : writer_config_(writer), barrier_config_(std::move(barrier)), rank_(rank), parts_(std::move(parts)) {}

void CheckpointProgram::init() {
  if (parts_.subprocess_init_fn) parts_.subprocess_init_fn();
  if (!parts_.subprocess_init_name.empty()) registered_init(parts_.subprocess_init_name)();
}

std::unique_ptr<executor::SlotHandler> CheckpointProgram::make_handler(loop::Loop& loop, uring::FileIo& io,
                                                                       const executor::ExecutorStart& start,
                                                                       std::function<void(const Error&)> notice) {
  return make_commit_handler(loop, io, WriterIdentity::parse(start.identity), std::move(notice));
}

std::unique_ptr<CommitHandler> CheckpointProgram::make_commit_handler(loop::Loop& loop, uring::FileIo& io,
                                                                      WriterIdentity trainer,
                                                                      std::function<void(const Error&)> notice) {
  WriterParts parts;
  parts.config = writer_config_;
  parts.rank = rank_;
  parts.barrier = make_barrier(barrier_config_, rank_);
  parts.hook = parts_.commit_hook;
  if (!parts_.commit_hook_name.empty()) parts.hook = make_registered_hook(parts_.commit_hook_name);

  WriterFactory factory = parts_.checkpoint_writer_init_fn;
  if (!parts_.checkpoint_writer_name.empty()) factory = registered_writer(parts_.checkpoint_writer_name);
  auto writer = factory ? factory(parts)
                        : std::make_unique<CheckpointWriter>(parts.config, parts.rank, parts.barrier, parts.hook);
  if (!writer) throw Error(Errc::init_failed, "make the checkpoint writer: its factory gave none");
  return std::make_unique<CommitHandler>(loop, io, writer_config_, std::move(writer), std::move(trainer),
                                         std::move(notice));
}

std::string CheckpointProgram::closures() const {
  std::string found;
  const auto add = [&](bool is_there, const char* name) {
    if (is_there) found += (found.empty() ? "" : ", ") + std::string(name);
  };
  add(parts_.commit_hook != nullptr, "commit_hook");
  add(static_cast<bool>(parts_.subprocess_init_fn), "subprocess_init_fn");
  add(static_cast<bool>(parts_.checkpoint_writer_init_fn), "checkpoint_writer_init_fn");
  return found;
}

std::string CheckpointProgram::encode() const {
  executor::WireWriter out;
  out.i64(writer_config_.write_barrier_timeout.count()).i64(writer_config_.write_stall_timeout.count());
  out.i64(writer_config_.live_writer_timeout.count());
  out.u32(static_cast<std::uint32_t>(writer_config_.io_backend)).u32(writer_config_.direct_io ? 1 : 0);
  out.text(barrier_config_.barrier_type).map(barrier_config_.barrier_args);
  out.i64(rank_.global_rank).i64(rank_.global_world_size);
  out.text(parts_.commit_hook_name).text(parts_.subprocess_init_name).text(parts_.checkpoint_writer_name);
  return out.take();
}

CheckpointProgram CheckpointProgram::decode(std::string_view text) {
  executor::WireReader in(text);
  CheckpointWriterConfig writer;
  writer.write_barrier_timeout = std::chrono::milliseconds(in.i64());
  writer.write_stall_timeout = std::chrono::milliseconds(in.i64());
  writer.live_writer_timeout = std::chrono::milliseconds(in.i64());
  writer.io_backend = static_cast<IoBackend>(in.u32());
  writer.direct_io = in.u32() != 0;
  BarrierConfig barrier;
  barrier.barrier_type = in.text();
  barrier.barrier_args = in.map();
  RankInfo rank;
  rank.global_rank = static_cast<int>(in.i64());
  rank.global_world_size = static_cast<int>(in.i64());
  CheckpointerParts parts;
  parts.commit_hook_name = in.text();
  parts.subprocess_init_name = in.text();
  parts.checkpoint_writer_name = in.text();
  return CheckpointProgram(writer, std::move(barrier), rank, std::move(parts));
}

uring::Backend to_backend(IoBackend backend) noexcept {
  switch (backend) {
    case IoBackend::uring:
      return uring::Backend::uring;
    case IoBackend::threads:
      return uring::Backend::threads;
    case IoBackend::automatic:
      break;
  }
  return uring::Backend::automatic;
}

}  // namespace cairn::checkpoint
