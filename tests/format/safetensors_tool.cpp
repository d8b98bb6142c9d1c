// Writes and reads safetensors files for test_safetensors.py, which compares with what the Python package makes of
// them.
//   safetensors_tool write FILE    a state with every dtype, a nested tree, an empty tensor and a scalar
//   safetensors_tool read FILE     one line for each tensor: name, dtype, shape, bytes in hexadecimal

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cairn/error.hpp"
#include "file_bytes.hpp"

namespace {

std::string sample_file() {
  std::vector<unsigned char> memory(256);
  for (std::size_t index = 0; index < memory.size(); ++index)
    memory[index] = static_cast<unsigned char>(index % 2);
  cairn::StateDict state;
  for (unsigned index = 0; index < cairn::dtype_count; ++index) {
    const auto dtype = static_cast<cairn::DType>(index);
    state["dtypes"][cairn::to_string(dtype)] = cairn::tensor(static_cast<void*>(memory.data()), dtype, {2, 4});
  }
  const std::vector<float> numbers{1.5F, -2, 3, 4, 5, 6};
  state["model"]["weight"] = cairn::tensor(numbers.data(), {2, 3});
  state["model"]["transposed"] = cairn::tensor(numbers.data(), {3, 2}).strided({1, 3});
  state["model"]["scalar"] = cairn::tensor(numbers.data(), {});
  state["model"]["empty"] = cairn::tensor(numbers.data(), {0, 3});
  state["ünïcode \"quoted\"\n"] = cairn::tensor(numbers.data(), {1});
  state[""] = cairn::tensor(numbers.data() + 1, {1});
  state["bytes"] = cairn::Bytes(5, std::byte{7});
  state["step"] = 7;
  state["lr"] = 3e-4;
  return cairn::test::file_of(state);
}

void print(const cairn::format::Header& header, const std::string& file) {
  for (const auto& entry : header.entries) {
    std::string line = entry.name + "\t" + std::string(cairn::to_string(entry.dtype)) + "\t";
    for (const std::int64_t extent : entry.shape)
      line += std::to_string(extent) + ",";
    line += "\t";
    for (std::uint64_t at = header.header_bytes + entry.begin; at < header.header_bytes + entry.end; ++at) {
      char digits[3];
      std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(file[at]));
      line += digits;
    }
    std::puts(line.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 3 && std::strcmp(argv[1], "write") == 0) {
    std::ofstream(argv[2], std::ios::binary) << sample_file();
    return 0;
  }
  if (argc == 3 && std::strcmp(argv[1], "read") == 0) {
    std::ifstream stream(argv[2], std::ios::binary);
    const std::string file(std::istreambuf_iterator<char>(stream), {});
    print(cairn::test::header_of(file), file);
    return 0;
  }
  std::fputs("usage: safetensors_tool write|read FILE\n", stderr);
  return 2;
} catch (const cairn::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
