#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "language_model.hpp"

namespace example {

/// The bytes of `file`; without one, those of the licence texts that every Debian carries, in the order of their names.
/// Throws std::runtime_error naming what cannot be read.
std::string read_text(const std::optional<std::filesystem::path>& file);

/// Draws batches from a text. Where it stands is one integer: a sampler with the same state draws the same batches.
class Sampler {
 public:
  /// The text must outlive the sampler and be longer than `sequence_length` bytes, else std::runtime_error.
  Sampler(const std::string& text, std::size_t sequences, std::size_t sequence_length, std::uint64_t seed);

  Batch next();

  std::int64_t state() const { return static_cast<std::int64_t>(random_.state()); }
  void set_state(std::int64_t state) { random_ = Random(static_cast<std::uint64_t>(state)); }

 private:
  const std::string& text_;
  std::size_t sequences_;
  std::size_t sequence_length_;
  Random random_;
};

}  // namespace example
