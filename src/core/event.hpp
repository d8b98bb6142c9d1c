#pragma once

#include <cassert>
#include <coroutine>
#include <utility>

#include "cairn/detail/affinity.hpp"
#include "cairn/scheduler.hpp"

namespace cairn {
namespace detail {

/// Coroutines of one scheduler that wait for a signal. Not thread-safe: all of it happens on that scheduler's thread.
class WaitList {
 public:
  WaitList() noexcept = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  ~WaitList() { assert(first_ == nullptr && "an Event or Notifier outlives those who wait for it"); }

  /// Lives in the waiting coroutine's frame; leaves the list when that is destroyed.
  class Node {
   public:
    explicit Node(WaitList& list) noexcept : list_(list) {}
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    ~Node() {
      if (listed_) list_.remove(*this);
    }

    template <class Promise>
    void wait(std::coroutine_handle<Promise> coroutine) noexcept {
      coroutine_ = coroutine;
      scheduler_ = scheduler_of(coroutine);
      if (scheduler_ == nullptr) scheduler_ = Scheduler::current();
      assert(scheduler_ != nullptr && "waiting needs a scheduler");
      list_.append(*this);
    }

   private:
    friend class WaitList;
    WaitList& list_;
    std::coroutine_handle<> coroutine_;
    Scheduler* scheduler_ = nullptr;
    Node* next_ = nullptr;
    Node* previous_ = nullptr;
    bool listed_ = false;
  };

  /// Posts all that wait now, in the order in which they came.
  void post_all() noexcept {
    while (first_ != nullptr) {
      Node& node = *first_;
      remove(node);
      node.scheduler_->post(node.coroutine_);
    }
  }

 private:
  void append(Node& node) noexcept {
    node.previous_ = last_;
    node.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &node;
    last_ = &node;
    node.listed_ = true;
  }

  void remove(Node& node) noexcept {
    (node.previous_ != nullptr ? node.previous_->next_ : first_) = node.next_;
    (node.next_ != nullptr ? node.next_->previous_ : last_) = node.previous_;
    node.listed_ = false;
  }

  Node* first_ = nullptr;
  Node* last_ = nullptr;
};

}  // namespace detail

/// A flag that coroutines of one scheduler can wait for. Not thread-safe: set and awaited on one thread.
class Event {
 public:
  /// Sets the flag and posts all waiters; they are resumed even if the flag is reset before they run.
  void set() noexcept {
    set_ = true;
    waiters_.post_all();
  }
  void reset() noexcept { set_ = false; }
  bool is_set() const noexcept { return set_; }

  class Awaiter {
   public:
    using cairn_affine = void;
    explicit Awaiter(Event& event) noexcept : event_(event), node_(event.waiters_) {}
    bool await_ready() const noexcept { return event_.set_; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
      node_.wait(coroutine);
    }
    void await_resume() const noexcept {}

   private:
    Event& event_;
    detail::WaitList::Node node_;
  };

  /// `co_await event.wait()`: at once when set, else resumed on the waiter's scheduler by the next set().
  [[nodiscard]] Awaiter wait() noexcept { return Awaiter(*this); }

 private:
  bool set_ = false;
  detail::WaitList waiters_;
};

/// Tells coroutines of one scheduler that something changed. Keeps no state: who comes later waits for the next one.
class Notifier {
 public:
  /// Posts all that wait now.
  void notify_all() noexcept { waiters_.post_all(); }

  class Awaiter {
   public:
    using cairn_affine = void;
    explicit Awaiter(Notifier& notifier) noexcept : node_(notifier.waiters_) {}
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
      node_.wait(coroutine);
    }
    void await_resume() const noexcept {}

   private:
    detail::WaitList::Node node_;
  };

  /// `co_await notifier.next()`: always suspends; resumed on the waiter's scheduler by the next notify_all().
  [[nodiscard]] Awaiter next() noexcept { return Awaiter(*this); }

 private:
  detail::WaitList waiters_;
};

}  // namespace cairn
