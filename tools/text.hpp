#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::tools {

/// "512 B", "1.31 MiB"
std::string size_text(std::uint64_t bytes);

/// "12 s", "3 min", "2 h", "5 d"; what lies in the future is "0 s".
std::string age_text(std::chrono::seconds age);

/// "2026-01-02T03:04:05Z", with or without a fraction of the second; nothing for anything else.
std::optional<std::chrono::system_clock::time_point> parse_time(std::string_view text);

/// In quotes, control characters escaped, cut where it is long.
std::string quoted_text(std::string_view text);

/// For names in a terminal: control characters escaped.
std::string printable(std::string_view text);

}  // namespace cairn::tools
