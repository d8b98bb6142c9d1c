#include "checkpoint/opened_checkpoint.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include "cairn/error.hpp"
#include "checkpoint/attempt.hpp"
#include "checkpoint/checkpoint_directory.hpp"

namespace cairn::checkpoint {
namespace fs = std::filesystem;
namespace {

constexpr auto writer_poll_interval = std::chrono::milliseconds(5);

/// Every retry is another save that was committed at just that moment.
constexpr int open_tries_max = 10;

/// What is read of a checkpoint before any data file is opened.
struct Description {
  fs::path data_file;
  std::optional<std::uint64_t> data_bytes;
  std::vector<format::Digest> digests;
};

bool is_plain_safetensors(const fs::path& path) {
  std::error_code ignored;
  return path.extension() == ".safetensors" && fs::is_regular_file(path, ignored);
}

Description describe_checkpoint(const fs::path& path, bool verify, const std::string& operation) {
  Description description;
  if (is_plain_safetensors(path)) {
    description.data_file = path;
    return description;
  }
  const CheckpointDirectory checkpoint = read_manifest(path, operation);
  const std::int64_t ranks = checkpoint.manifest.world_size;
  if (ranks != 1) {
    throw Error(Errc::bad_argument, operation + " " + path.string() + ": it was written by " + std::to_string(ranks) +
                                        " ranks, and only checkpoints of one rank can be loaded");
  }
  check_file_sizes(checkpoint);
  const format::FileEntry& data = data_entry(checkpoint, 0);
  description.data_file = checkpoint.file(data.name);
  description.data_bytes = data.bytes;
  if (verify) description.digests = read_sidecar(checkpoint, 0).digests;
  return description;
}

Task<OpenedCheckpoint> open_once(ReadEngine& engine, fs::path path, bool verify, std::string operation) {
  Description description;
  const std::function<void()> describe = [&] { description = describe_checkpoint(path, verify, operation); };
  co_await engine.pool().run(describe);

  const std::string name = description.data_file.string();
  LoadFile file = co_await engine.loader().open(description.data_file, description.data_bytes,
                                                std::move(description.digests), engine.stop_token());
  OpenedCheckpoint opened;
  const std::function<void()> parse = [&] { opened.tree = format::read_tree(file.header, name); };
  co_await engine.pool().run(parse);
  opened.files.push_back(std::move(file));
  co_return opened;
}

}  // namespace

Task<void> wait_for_writer_of(ReadEngine& engine, fs::path path, std::chrono::milliseconds wait_max) {
  const auto deadline = std::chrono::steady_clock::now() + wait_max;
  std::vector<Attempt> waited_for;
  const std::function<void()> list = [&] {
    waited_for = orphaned_writers(path.parent_path());
    std::erase_if(waited_for, [&](const Attempt& attempt) { return attempt.path.filename() != path.filename(); });
  };
  const std::function<void()> look = [&] {
    std::erase_if(waited_for, [](const Attempt& attempt) { return !live_writer(attempt); });
  };
  co_await engine.pool().run(list);
  while (!waited_for.empty()) {
    if (std::chrono::steady_clock::now() >= deadline) {
      throw Error(Errc::timed_out, "load " + path.string() + ": waited " + std::to_string(wait_max.count()) +
                                       " ms for executors that are still writing " + describe(waited_for));
    }
    co_await engine.loop().sleep_until(std::chrono::steady_clock::now() + writer_poll_interval, engine.stop_token());
    co_await engine.pool().run(look);
  }
}

Task<OpenedCheckpoint> open_checkpoint(ReadEngine& engine, fs::path path, bool verify, std::string operation) {
  for (int tries = 1;; ++tries) {
    const DirectoryIdentity before = identity_of(path);
    std::exception_ptr failed;
    try {
      OpenedCheckpoint opened = co_await open_once(engine, path, verify, operation);
      co_return opened;
    } catch (...) {
      failed = std::current_exception();
    }
    if (tries == open_tries_max || identity_of(path) == before) std::rethrow_exception(failed);
  }
}

}  // namespace cairn::checkpoint
