#include "gated_writer.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "cairn/error.hpp"
#include "loop/loop.hpp"

namespace cairn::bench {
namespace {

/// For reading and writing, so that neither end waits for the other to open it, and neither ever closes the pipe.
UniqueFd open_pipe(const std::filesystem::path& path) {
  UniqueFd pipe(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!pipe) throw Error::from_errno(errno, "open " + path.string());
  return pipe;
}

class GatedWriter final : public CheckpointWriter {
 public:
  GatedWriter(const WriterParts& parts, UniqueFd pipe)
      : CheckpointWriter(parts.config, parts.rank, parts.barrier, parts.hook), pipe_(std::move(pipe)) {}

  /// Waits on the worker's loop, which goes on taking the trainer's messages meanwhile, as it does while it writes.
  Task<> write(WriteJob& job) override {
    auto& loop = dynamic_cast<loop::Loop&>(*Scheduler::current());
    char pass = 0;
    while (::read(pipe_.get(), &pass, 1) != 1)
      co_await loop.readable(pipe_.get());
    co_await CheckpointWriter::write(job);
  }

 private:
  UniqueFd pipe_;
};

}  // namespace

WriterGate::WriterGate(const std::filesystem::path& directory) : path_(directory / "gate") {
  if (::mkfifo(path_.c_str(), 0600) != 0) throw Error::from_errno(errno, "make the pipe " + path_.string());
  pipe_ = open_pipe(path_);
}

void WriterGate::open() const {
  const char pass = 1;
  if (::write(pipe_.get(), &pass, 1) != 1) throw Error::from_errno(errno, "write " + path_.string());
}

WriterFactory WriterGate::writer() const {
  const auto make = [path = path_](const WriterParts& parts) -> std::unique_ptr<CheckpointWriter> {
    return std::make_unique<GatedWriter>(parts, open_pipe(path));
  };
  return WriterFactory(make);
}

}  // namespace cairn::bench
