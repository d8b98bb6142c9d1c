#include "format/digest.hpp"

#include <xxhash.h>

#include <cstring>
#include <new>

namespace cairn::format {

namespace {

Digest from_hash(XXH128_hash_t hash) noexcept {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  Digest digest;
  static_assert(sizeof(canonical.digest) == sizeof(digest.bytes));
  std::memcpy(digest.bytes.data(), canonical.digest, sizeof(canonical.digest));
  return digest;
}

int hex_digit(char character) noexcept {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  return -1;
}

}  // namespace

struct DigestStream::State {
  XXH3_state_t* state = XXH3_createState();

  State() {
    if (state == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(state);
  }
  ~State() { XXH3_freeState(state); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

DigestStream::DigestStream() : state_(std::make_unique<State>()) {}
DigestStream::~DigestStream() = default;
DigestStream::DigestStream(DigestStream&&) noexcept = default;
DigestStream& DigestStream::operator=(DigestStream&&) noexcept = default;

void DigestStream::update(std::span<const std::byte> bytes) noexcept {
  XXH3_128bits_update(state_->state, bytes.data(), bytes.size());
}

Digest DigestStream::value() const noexcept {
  return from_hash(XXH3_128bits_digest(state_->state));
}

void DigestStream::reset() noexcept {
  XXH3_128bits_reset(state_->state);
}

Digest digest(std::span<const std::byte> bytes) noexcept {
  return from_hash(XXH3_128bits(bytes.data(), bytes.size()));
}

Digest digest(std::string_view text) noexcept {
  return digest(std::as_bytes(std::span(text)));
}

Digest digest(std::span<const Digest> digests) noexcept {
  static_assert(sizeof(Digest) == 16);
  return digest(std::as_bytes(digests));
}

std::string to_hex(const Digest& digest) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.bytes.size());
  for (const std::uint8_t byte : digest.bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::optional<Digest> from_hex(std::string_view text) noexcept {
  Digest digest;
  if (text.size() != 2 * digest.bytes.size()) return std::nullopt;
  for (std::size_t index = 0; index < digest.bytes.size(); ++index) {
    const int high = hex_digit(text[2 * index]);
    const int low = hex_digit(text[2 * index + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest.bytes[index] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return digest;
}

}  // namespace cairn::format
