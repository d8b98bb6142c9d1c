#pragma once

#include <cairn/error.hpp>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

namespace cairn::uring {

/// Throws the Error of an operation that answered `result` < 0; `context` names operation and object.
[[noreturn]] inline void fail(std::int64_t result, std::string context) {
  if (result == -ECANCELED) throw Error(Errc::cancelled, std::move(context));
  throw Error::from_errno(static_cast<int>(-result), std::move(context));
}

}  // namespace cairn::uring
