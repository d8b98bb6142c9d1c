#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

#include "cairn/error.hpp"

namespace cairn::executor {

/// The trainer asks, the worker answers with the same slot and generation.
enum class MessageType : std::uint32_t {
  hello = 1,    ///< worker: I am here. text = version, detail = why not io_uring, number = process id
  init_failed,  ///< worker: the init function or the writer factory threw `error`
  gave_up,      ///< supervisor: workers die before they are ready; `error` says how
  begin,        ///< trainer: slot and generation are staging; make their attempt
  begun,        ///< worker: the attempt is there and locked, or `error`
  changed,      ///< trainer: ready_bytes or the state in the slot's header changed
  written,      ///< worker: written_bytes in the slot's header changed
  abandon,      ///< trainer: give this save up unless its commit is decided
  outcome,      ///< worker: committed, or `error`
  notice,       ///< worker: `error` is about an earlier trainer's save; for on_error
  leave,        ///< trainer: I do not listen any more; finish what is staged
  exit,         ///< trainer: all is done, exit
};

struct Message {
  MessageType type = MessageType::hello;
  std::uint32_t slot = 0;
  std::uint64_t generation = 0;
  std::int64_t number = 0;
  std::string text;
  std::string detail;
  std::optional<Error> error;
};

std::string encode(const Message& message);

/// Throws Error: version_mismatch, bad_argument.
Message decode(std::string_view bytes);

/// Any exception as an Error: what is none becomes Errc::writer_failed with its text.
Error to_error(const std::exception_ptr& exception);

}  // namespace cairn::executor
