#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "cairn/state.hpp"

namespace cairn::format {

/// Adds a key to a path: "a" and "b" → "a.b"; a key that is empty or holds one of . [ ] " → a["x.y"], with \" and
/// \\ for the quote and the backslash.
void append_key(std::string& path, std::string_view key);

/// Adds an index to a path: "a" and 3 → "a[3]".
void append_index(std::string& path, std::size_t index);

/// The value at `path` in `state`, or null. Keys may also stand bare whatever they hold: wherever several keys fit, the
/// longest is tried first. Never recursive; takes at most one step for each value in the tree.
const Value* find_path(const StateDict& state, std::string_view path);

}  // namespace cairn::format
