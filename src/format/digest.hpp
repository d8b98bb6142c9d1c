#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cairn::format {

/// A data file has one digest for every block of this many bytes; the last block may be shorter.
inline constexpr std::uint64_t digest_block_bytes = std::uint64_t{1} << 20;

/// XXH3-128 with seed 0, in its canonical (big-endian) form.
struct Digest {
  std::array<std::uint8_t, 16> bytes{};

  friend bool operator==(const Digest&, const Digest&) = default;
};

Digest digest(std::span<const std::byte> bytes) noexcept;
Digest digest(std::string_view text) noexcept;

/// Digest of the concatenated digests: what the manifest says of a data file.
Digest digest(std::span<const Digest> digests) noexcept;

/// Digest of bytes that come in pieces.
class DigestStream {
 public:
  DigestStream();
  ~DigestStream();
  DigestStream(DigestStream&&) noexcept;
  DigestStream& operator=(DigestStream&&) noexcept;

  void update(std::span<const std::byte> bytes) noexcept;
  /// Of all bytes so far.
  Digest value() const noexcept;
  void reset() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// 32 lower-case hexadecimal digits.
std::string to_hex(const Digest& digest);
std::optional<Digest> from_hex(std::string_view text) noexcept;

}  // namespace cairn::format
