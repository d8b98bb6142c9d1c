// Stands for the checkpoint process of another version of cairn: says hello with another version, or in another
// protocol where OTHER_EXECUTOR_PROTOCOL is set, and waits to be ended.

#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <string>

#include "executor/message.hpp"
#include "executor/spawn.hpp"

int main(int argc, char** argv) {
  if (argc < 3 || std::string(argv[1]) != cairn::executor::executor_argument) return 2;
  const cairn::executor::ExecutorStart start = cairn::executor::inherited_start(std::atoi(argv[2]));
  cairn::executor::Message hello;
  hello.text = "9.9.9";
  std::string bytes = encode(hello);
  if (std::getenv("OTHER_EXECUTOR_PROTOCOL") != nullptr) bytes[0] = 99;
  if (::send(start.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) return 3;
  pollfd trainer{start.trainer.get(), POLLIN, 0};
  ::poll(&trainer, 1, -1);
  return 0;
}
