// The checkpoint process by itself: what a trainer starts when a fork of its own is not safe. It takes everything from
// the descriptors that it inherits; started by hand it can only say so.

#include <cstdio>
#include <cstring>

#include "cairn/process.hpp"
#include "cairn/version.hpp"

int main(int argc, char** argv) {
  if (const auto code = cairn::executor_main(argc, argv)) return *code;
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("cairn-executor %s\n", cairn::version());
    return 0;
  }
  std::fprintf(stderr,
               "cairn-executor is started by cairn itself, as the process that writes a trainer's checkpoints.\n"
               "Point CAIRN_EXECUTOR, or CheckpointProcessConfig::executor, to it.\n");
  return 2;
}
