#pragma once

// Opt-in: the only header of cairn's that includes Asio (standalone, 1.22 or newer).

#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "cairn/future.hpp"

namespace cairn {
namespace detail {

template <class T>
struct AsioSignature {
  using type = void(std::exception_ptr, T);
};
template <>
struct AsioSignature<void> {
  using type = void(std::exception_ptr);
};

/// One waiting completion handler. Holds the handler's executor at work until it was called.
template <class T, class Handler>
class AsioWaiting {
 public:
  AsioWaiting(Handler handler, Future<T> future)
      : handler_(std::move(handler)), work_(asio::make_work_guard(*handler_)), future_(std::move(future)) {}

  /// On the completing thread. Its own piece of work keeps the context from ending under the post.
  static void post(const std::shared_ptr<AsioWaiting>& waiting) {
    const auto work = *waiting->work_;
    asio::post(work.get_executor(), [waiting] { waiting->complete(); });
  }

 private:
  /// On the executor, once; nothing of the handler is left for the completing thread to destroy.
  void complete() {
    const auto work = std::move(*work_);
    work_.reset();
    Handler handler = std::move(*handler_);
    handler_.reset();
    const Future<T> future = std::exchange(future_, Future<T>());
    const std::exception_ptr error = error_of(future);
    if constexpr (std::is_void_v<T>) {
      std::move(handler)(error);
    } else if (error) {
      std::move(handler)(error, T());
    } else {
      std::move(handler)(error, future.get());
    }
  }

  std::optional<Handler> handler_;
  std::optional<asio::executor_work_guard<asio::associated_executor_t<Handler>>> work_;
  Future<T> future_;
};

/// What Asio calls once the token has become a handler: at once, or later for lazy tokens.
class AsioInitiation {
 public:
  template <class Handler, class T>
  void operator()(Handler&& handler, Future<T> future) const {
    mark_observed(future);
    using Waiting = AsioWaiting<T, std::decay_t<Handler>>;
    const auto waiting = std::make_shared<Waiting>(std::forward<Handler>(handler), future);
    on_ready(future, [waiting] { Waiting::post(waiting); });
  }
};

}  // namespace detail

/// Waits for a Future with any Asio completion token: a callback, asio::use_future, asio::use_awaitable, deferred, ...
///
/// The completion signature is `void(std::exception_ptr, T)`, or `void(std::exception_ptr)` for Future<void>; with an
/// error the value is `T()`, so T must be default-constructible.
///
/// Threads: completes on the token's associated executor, always by a post, even when the Future is ready; never on
/// cairn's threads. A token without an executor gets Asio's system executor, which is a thread pool. The executor is
/// kept at work (its `run()` does not return) until then, and its context must live until then.
///
/// Nothing cancels the waiting: the Future always becomes ready. Throws bad_argument for a Future of nothing, at once
/// or, for lazy tokens, when they start.
template <class T, class CompletionToken>
auto async_get(Future<T> future, CompletionToken&& token) {
  static_assert(std::is_void_v<T> || std::is_default_constructible_v<T>, "Asio gives T() beside an error");
  return asio::async_initiate<CompletionToken, typename detail::AsioSignature<T>::type>(detail::AsioInitiation(), token,
                                                                                        std::move(future));
}

}  // namespace cairn
