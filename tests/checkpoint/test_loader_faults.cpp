#include <cairn/promise.hpp>
#include <cairn/scope.hpp>
#include <functional>
#include <thread>

#include "checkpoint/loader.hpp"
#include "checkpoint/support/states.hpp"
#include "checkpoint/support/write_checkpoint.hpp"
#include "core/work_pool.hpp"
#include "fakes/faulty_file_io.hpp"
#include "format/sidecar.hpp"
#include "loop/loop_thread.hpp"
#include "support/catch.hpp"
#include "support/temp_dir.hpp"

using namespace cairn;
using namespace cairn::test;
using checkpoint::Loader;
using checkpoint::LoadFile;
using checkpoint::ReadBuffers;
using checkpoint::ScatterView;
using checkpoint::Transfer;
using FileOperation = uring::OperationKind;

namespace {

constexpr unsigned buffer_count = 3;

/// A Loader on a thread of its own, over file operations that fail on demand.
class FaultyLoader {
 public:
  explicit FaultyLoader(uring::Backend backend = uring::Backend::automatic) : thread_("loader"), pool_(2, "pool") {
    thread_.call([&] {
      io = std::make_unique<FaultyFileIo>(uring::FileIo::make(thread_.loop(), backend));
      thread_.loop().attach(io.get());
      buffers_ = std::make_unique<ReadBuffers>(*io, buffer_count);
      loader_ = std::make_unique<Loader>(*io, *buffers_, pool_, true);
    });
  }
  ~FaultyLoader() {
    thread_.call([&] {
      loader_.reset();
      buffers_.reset();
      thread_.loop().detach();
      io.reset();
    });
  }

  /// Runs a task on the loader's thread and waits for it.
  void run(const std::function<Task<void>(Loader&)>& make) {
    const Future<void> done = start(make);
    done.get();
    thread_.call([] {});  // behind the step that completed it
  }

  Future<void> start(const std::function<Task<void>(Loader&)>& make) {
    Promise<void> promise;
    Future<void> future = promise.future();
    thread_.call([&] { tasks_.spawn(finish(make(*loader_), std::move(promise))); });
    return future;
  }

  void call(const std::function<void()>& function) { thread_.call(function); }

  /// Until `condition` is true on the loader's thread.
  void wait_until(const std::function<bool()>& condition) {
    for (bool true_now = false; !true_now; std::this_thread::yield())
      call([&] { true_now = condition(); });
  }

  std::unique_ptr<FaultyFileIo> io;

 private:
  static Task<void> finish(Task<void> task, Promise<void> promise) {
    try {
      co_await task;
      promise.set_value();
    } catch (...) {
      promise.set_exception(std::current_exception());
    }
  }

  loop::LoopThread thread_;
  WorkPool pool_;
  std::unique_ptr<ReadBuffers> buffers_;
  std::unique_ptr<Loader> loader_;
  Scope tasks_;
};

Task<void> open_file(Loader& loader, std::filesystem::path path, std::vector<LoadFile>& files) {
  LoadFile file = co_await loader.open(path, std::nullopt, std::vector<format::Digest>(), std::stop_token());
  files.push_back(std::move(file));
}

Task<void> execute(Loader& loader, std::vector<LoadFile>& files, std::vector<Transfer>& transfers, std::stop_token stop,
                   std::uint64_t& bytes_read) {
  bytes_read = co_await loader.execute(files, transfers, stop);
}

/// 20 MiB in one tensor, the file open, and the way of its bytes into memory.
class Prepared {
 public:
  explicit Prepared(FaultyLoader& loader) : loader_(loader) {
    StateDict state;
    state["big"] = source;
    write_checkpoint(dir_ / "a", state);
    loader_.run([&](Loader& made) { return open_file(made, file(), files); });
    Transfer transfer;
    transfer.offset = files[0].header.header_bytes;
    transfer.bytes = source.size_bytes();
    transfer.target = ScatterView(target.view(), "big");
    transfers.push_back(transfer);
  }
  ~Prepared() {
    loader_.call([&] { files.clear(); });
  }

  std::filesystem::path file() const { return dir_ / "a" / data_file_name; }

  Future<void> start(std::stop_token stop = std::stop_token()) {
    return loader_.start([&, stop](Loader& made) { return execute(made, files, transfers, stop, bytes_read); });
  }

  const Tensor source = counted<std::uint32_t>({5 << 20});
  const Tensor target = blank_like(source);
  std::vector<LoadFile> files;
  std::vector<Transfer> transfers;
  std::uint64_t bytes_read = 0;

 private:
  FaultyLoader& loader_;
  TempDir dir_;
};

}  // namespace

TEST_CASE("A read error ends the load, naming file and offset") {
  FaultyLoader loader(GENERATE(uring::Backend::automatic, uring::Backend::threads));
  Prepared prepared(loader);
  // The first chunk begins after the block of the header; the third read is that of bytes [8 MiB, 12 MiB).
  loader.call([&] { loader.io->fail(FileOperation::read, 3, EIO); });
  const Error error = error_of([&] { prepared.start().get(); });
  CHECK(error.code() == std::errc::io_error);
  INFO(error.what());
  CHECK(contains(error.what(), prepared.file().string() + " at 8388608"));

  const Future<void> again = prepared.start();
  again.get();
  CHECK(prepared.target == prepared.source);
}

TEST_CASE("Short and interrupted reads are continued") {
  FaultyLoader loader;
  Prepared prepared(loader);
  loader.call([&] {
    loader.io->shorten(FileOperation::read, 1, 4096);
    loader.io->shorten(FileOperation::read, 2, 1 << 20);
    loader.io->fail(FileOperation::read, 3, EINTR);
    loader.io->fail(FileOperation::read, 4, EAGAIN);
  });
  prepared.start().get();
  CHECK(prepared.target == prepared.source);
}

TEST_CASE("A file system that refuses direct reads is read through the page cache") {
  FaultyLoader loader;
  Prepared prepared(loader);
  loader.call([&] { loader.io->fail(FileOperation::read, 1, EINVAL); });
  prepared.start().get();
  CHECK(prepared.target == prepared.source);
}

TEST_CASE("A stop ends a load whose reads hang, and the buffers can be used again") {
  FaultyLoader loader;
  Prepared prepared(loader);
  loader.call([&] {
    for (unsigned n = 1; n <= buffer_count; ++n)
      loader.io->hold(FileOperation::read, n);
  });
  std::stop_source stop;
  const Future<void> hanging = prepared.start(stop.get_token());
  loader.wait_until([&] { return loader.io->held() == buffer_count; });
  CHECK_FALSE(hanging.ready());
  stop.request_stop();
  CHECK(error_of([&] { hanging.get(); }).code() == Errc::cancelled);
  prepared.start().get();
  CHECK(prepared.target == prepared.source);
}

TEST_CASE("As many reads as there are buffers are in flight") {
  FaultyLoader loader;
  Prepared prepared(loader);
  loader.call([&] {
    for (unsigned n = 1; n <= buffer_count; ++n)
      loader.io->hold(FileOperation::read, n);
  });
  const Future<void> loading = prepared.start();
  loader.wait_until([&] { return loader.io->held() == buffer_count; });
  CHECK_FALSE(loading.ready());
  loader.call([&] { loader.io->release(); });
  loading.get();
  CHECK(prepared.target == prepared.source);
}

TEST_CASE("Every digest block is read once, that of the header not again") {
  FaultyLoader loader;
  Prepared prepared(loader);
  CHECK(prepared.files[0].head.size() == 1 << 20);
  prepared.start().get();
  CHECK(prepared.bytes_read == prepared.files[0].bytes - (1 << 20));
}
