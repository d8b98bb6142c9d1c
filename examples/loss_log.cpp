#include "loss_log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace example {

LossLog::LossLog(std::filesystem::path file)
    : file_(std::move(file)), descriptor_(::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "open " + file_.string());
}

LossLog::~LossLog() {
  ::close(descriptor_);
}

void LossLog::append(std::int64_t step, double loss) {
  const std::string line = fmt::format("{} {:a}\n", step, loss);
  if (::write(descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw std::system_error(errno, std::generic_category(), "write " + file_.string());
}

std::vector<LoggedLoss> read_loss_log(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) throw std::runtime_error("cannot read " + file.string());
  std::vector<LoggedLoss> losses;
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    LoggedLoss logged;
    if (!(words >> logged.step >> logged.loss))
      throw std::runtime_error(fmt::format("{} line {} is not a loss: {}", file.string(), losses.size() + 1, line));
    losses.push_back(std::move(logged));
  }
  return losses;
}

}  // namespace example
