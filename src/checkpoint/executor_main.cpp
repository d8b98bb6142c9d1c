#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>

#include "cairn/process.hpp"
#include "checkpoint/find_executor.hpp"
#include "checkpoint/program.hpp"
#include "executor/spawn.hpp"

namespace cairn {

std::optional<int> executor_main(int argc, char** argv) {
  checkpoint::note_executor_main();
  if (argc < 3 || std::strcmp(argv[1], executor::executor_argument) != 0) return std::nullopt;
  try {
    int descriptor = -1;
    std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), descriptor);
    executor::ExecutorStart start = executor::inherited_start(descriptor);
    checkpoint::CheckpointProgram program = checkpoint::CheckpointProgram::decode(start.program);
    executor::supervise(std::move(start), program);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace cairn
