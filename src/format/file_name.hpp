#pragma once

#include <string_view>

namespace cairn::format {

/// Whether `name` names something directly in a directory, whatever file system reads it: 1 to 255 bytes, no separator
/// of any system, no NUL, not "." or "..".
inline bool is_plain_file_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

}  // namespace cairn::format
