#include "core/callback_thread.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "core/thread.hpp"

namespace cairn {

/// The thread's own part. It is the scheduler that runs there, since the CallbackThread may be gone before its thread.
class CallbackThread::Queue final : public Scheduler {
 public:
  void post(std::coroutine_handle<> coroutine) noexcept override {
    const std::lock_guard lock(mutex_);
    items_.push_back(Item(coroutine));
    changed_.notify_one();
  }

  void post_callback(std::function<void()> callback) noexcept {
    const std::lock_guard lock(mutex_);
    items_.push_back(Item(std::move(callback)));
    changed_.notify_one();
  }

  void stop() noexcept {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }

  void run() {
    const Running running(*this);
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !items_.empty(); });
      if (items_.empty()) return;
      const Item item = std::move(items_.front());
      items_.pop_front();
      lock.unlock();
      item.call();
    }
  }

  /// Starts the thread if it is not there yet. Any thread.
  void ensure_started(const std::shared_ptr<Queue>& self) {
    const std::lock_guard lock(start_mutex_);
    if (!thread_.joinable()) thread_ = start_thread("cairn-callbacks", [self] { self->run(); });
  }

  std::thread take_thread() {
    const std::lock_guard lock(start_mutex_);
    return std::move(thread_);
  }

 private:
  class Item {
   public:
    explicit Item(std::coroutine_handle<> coroutine) noexcept : coroutine_(coroutine) {}
    explicit Item(std::function<void()> callback) noexcept : callback_(std::move(callback)) {}
    void call() const {
      if (coroutine_) {
        coroutine_.resume();
      } else {
        callback_();
      }
    }

   private:
    std::coroutine_handle<> coroutine_;
    std::function<void()> callback_;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  bool stopping_ = false;

  std::mutex start_mutex_;
  std::thread thread_;
};

CallbackThread::CallbackThread() : queue_(std::make_shared<Queue>()) {}

CallbackThread::~CallbackThread() {
  queue_->stop();
  std::thread thread = queue_->take_thread();
  if (!thread.joinable()) return;
  if (thread.get_id() == std::this_thread::get_id()) {
    thread.detach();
  } else {
    thread.join();
  }
}

// The local reference: as soon as something is queued, it may run and destroy this object.
void CallbackThread::post(std::coroutine_handle<> coroutine) noexcept {
  const std::shared_ptr<Queue> queue = queue_;
  queue->ensure_started(queue);
  queue->post(coroutine);
}

void CallbackThread::post(std::function<void()> callback) noexcept {
  const std::shared_ptr<Queue> queue = queue_;
  queue->ensure_started(queue);
  queue->post_callback(std::move(callback));
}

}  // namespace cairn
