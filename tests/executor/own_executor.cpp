// A trainer's own program as the checkpoint process: what it registers is there after an exec.

#include <unistd.h>

#include <fstream>
#include <memory>
#include <stdexcept>

#include "cairn/cairn.hpp"

namespace {

/// Leaves a file beside each checkpoint, saying who was there.
class MarkingHook final : public cairn::WriterHook {
 public:
  cairn::Task<> pre_commit(cairn::Commit commit) override {
    std::ofstream(commit.partial_path / "marked-by-hook") << ::getpid();
    co_return;
  }
};

class MarkingWriter final : public cairn::CheckpointWriter {
 public:
  using CheckpointWriter::CheckpointWriter;
  cairn::Task<> write(cairn::WriteJob& job) override {
    std::ofstream(job.commit().partial_path / "marked-by-writer") << ::getpid();
    co_await CheckpointWriter::write(job);
  }
};

bool was_initialized = false;

}  // namespace

int main(int argc, char** argv) {
  cairn::register_hook("marking", [] { return std::make_shared<MarkingHook>(); });
  cairn::register_writer("marking", [](const cairn::WriterParts& parts) -> std::unique_ptr<cairn::CheckpointWriter> {
    if (!was_initialized) throw std::runtime_error("the writer was made before the init function ran");
    return std::make_unique<MarkingWriter>(parts.config, parts.rank, parts.barrier, parts.hook);
  });
  cairn::register_init("good", [] { was_initialized = true; });
  cairn::register_init("bad", [] { throw std::runtime_error("no license in the exec'ed process"); });
  if (const auto code = cairn::executor_main(argc, argv)) return *code;
  return 2;
}
