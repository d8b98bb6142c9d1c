#include "file_bytes.hpp"

#include <cstring>
#include <vector>

#include "format/tree.hpp"

namespace cairn::test {

namespace {

void append_packed(std::string& file, const TensorView& view, const std::byte* data, std::size_t dimension,
                   std::size_t element_bytes) {
  if (dimension == view.shape().size()) {
    file.append(reinterpret_cast<const char*>(data), element_bytes);
    return;
  }
  for (std::int64_t index = 0; index < view.shape()[dimension]; ++index)
    append_packed(file, view, data + index * view.strides()[dimension] * static_cast<std::int64_t>(element_bytes),
                  dimension + 1, element_bytes);
}

}  // namespace

std::string file_of(const format::Snapshot& snapshot) {
  const format::Image image = snapshot.image();
  std::string file = image.header;
  for (const format::Piece& piece : image.pieces) {
    // Pieces follow one another: a hole would move everything behind it, and the header would not be true any more.
    if (piece.file_offset != file.size()) return "hole";
    const auto* data = static_cast<const std::byte*>(piece.source.data());
    if (piece.source.is_contiguous())
      file.append(reinterpret_cast<const char*>(data), piece.source.size_bytes());
    else
      append_packed(file, piece.source, data, 0, bits_per_element(piece.source.dtype()) / 8);
  }
  return file.size() == image.bytes ? file : "other size";
}

std::string file_of(const StateDict& state) {
  return file_of(format::take(format::Plan::make(state), state));
}

std::string file_with(std::string_view json, std::size_t data_bytes) {
  std::string file;
  for (unsigned shift = 0; shift < 64; shift += 8)
    file += static_cast<char>(json.size() >> shift & 0xFF);
  file += json;
  file.resize(file.size() + data_bytes);
  return file;
}

format::Header header_of(const std::string& file) {
  const std::uint64_t length =
      format::header_json_bytes(bytes_of(file).first(std::min<std::size_t>(8, file.size())), file.size(), "test file");
  return format::parse_header(bytes_of(file).subspan(8, length), file.size(), "test file");
}

StateDict load(const std::string& file) {
  const format::Header header = header_of(file);
  format::ParsedTree tree = format::read_tree(header, "test file");
  std::vector<Tensor> tensors;
  for (const format::Entry& entry : header.entries) {
    tensors.push_back(Tensor::empty(entry.dtype, entry.shape));
    if (entry.end > entry.begin)
      std::memcpy(tensors.back().mutable_data(), file.data() + header.header_bytes + entry.begin,
                  entry.end - entry.begin);
  }
  return format::build(std::move(tree), tensors);
}

}  // namespace cairn::test
