// The text that the demo trains on, and the batches that are drawn from it.

#include "text.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <vector>

namespace example {

namespace {

constexpr const char* licences = "/usr/share/common-licenses";

std::string read_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(stream), {});
  if (!stream.is_open() || stream.bad()) throw std::runtime_error("cannot read " + file.string());
  return bytes;
}

}  // namespace

std::string read_text(const std::optional<std::filesystem::path>& file) {
  if (file) return read_file(*file);
  if (!std::filesystem::is_directory(licences))
    throw std::runtime_error(std::string("there are no licence texts in ") + licences + "; name a text with --text");
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(licences))
    if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::string text;
  for (const auto& each : files)
    text += read_file(each);
  return text;
}

Sampler::Sampler(const std::string& text, std::size_t sequences, std::size_t sequence_length, std::uint64_t seed)
    : text_(text), sequences_(sequences), sequence_length_(sequence_length), random_(seed) {
  if (text.size() <= sequence_length)
    throw std::runtime_error("the text has " + std::to_string(text.size()) + " bytes; more than " +
                             std::to_string(sequence_length) + " are needed");
}

Batch Sampler::next() {
  Batch batch;
  for (std::size_t i = 0; i < sequences_; ++i) {
    const auto first = text_.begin() + static_cast<std::ptrdiff_t>(random_.below(text_.size() - sequence_length_));
    const auto length = static_cast<std::ptrdiff_t>(sequence_length_);
    batch.inputs.insert(batch.inputs.end(), first, first + length);
    batch.targets.insert(batch.targets.end(), first + 1, first + length + 1);
  }
  return batch;
}

}  // namespace example
