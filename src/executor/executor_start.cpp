#include "executor/executor_start.hpp"

#include "executor/wire.hpp"

namespace cairn::executor {

std::string ExecutorStart::encode() const {
  WireWriter out;
  const std::vector<int> descriptors = slots.descriptors();
  out.u64(descriptors.size());
  for (const int fd : descriptors)
    out.i64(fd);
  out.i64(socket.get()).i64(trainer.get()).i64(trainer_pid);
  out.text(identity).text(log_file.native()).i64(nice).u32(static_cast<std::uint32_t>(backend)).text(program);
  return out.take();
}

ExecutorStart ExecutorStart::decode(std::string_view text) {
  WireReader in(text);
  std::vector<int> descriptors;
  for (std::uint64_t left = in.u64(); left > 0; --left)
    descriptors.push_back(static_cast<int>(in.i64()));
  ExecutorStart start{SharedSlots::adopt(descriptors)};
  start.socket = UniqueFd(static_cast<int>(in.i64()));
  start.trainer = UniqueFd(static_cast<int>(in.i64()));
  start.trainer_pid = static_cast<pid_t>(in.i64());
  start.identity = in.text();
  start.log_file = in.text();
  start.nice = static_cast<int>(in.i64());
  start.backend = static_cast<uring::Backend>(in.u32());
  start.program = in.text();
  return start;
}

}  // namespace cairn::executor
