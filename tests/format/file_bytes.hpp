#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "cairn/state.hpp"
#include "format/plan.hpp"
#include "format/safetensors.hpp"

namespace cairn::test {

/// The file that a save of `state` would write.
std::string file_of(const StateDict& state);

/// The same, of a snapshot that was taken before.
std::string file_of(const format::Snapshot& snapshot);

/// A file with this JSON (not padded) and so many bytes of data.
std::string file_with(std::string_view json, std::size_t data_bytes);

/// The header of a file; checks what the first eight bytes say as well.
format::Header header_of(const std::string& file);

/// The tree of a file, with its tensors.
StateDict load(const std::string& file);

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace cairn::test
