#include "save_call.hpp"

#include <fmt/format.h>

#include <cstdint>

#include "cairn/checkpointer.hpp"
#include "cairn/error.hpp"
#include "clock.hpp"
#include "statistics.hpp"

namespace cairn::bench {
namespace fs = std::filesystem;
namespace {

constexpr unsigned tensors = 1000;
constexpr unsigned calls = 300;
constexpr std::int64_t elements = 1024;

StateDict state_over(std::vector<float>& memory) {
  StateDict state;
  for (unsigned number = 0; number < tensors; ++number) {
    float* const data = memory.data() + static_cast<std::size_t>(number) * elements;
    state["model"][fmt::format("layers.{}.weight", number)] = tensor(data, {elements});
  }
  return state;
}

}  // namespace

std::vector<Result> measure_save_call(const fs::path& directory) {
  const auto checkpointer = make_async_checkpointer();
  std::vector<float> source(static_cast<std::size_t>(tensors) * elements);
  std::vector<float> target(source.size());
  const StateDict saved = state_over(source);
  StateDict loaded = state_over(target);
  const fs::path path = directory / "step";

  std::vector<double> microseconds;
  for (unsigned call = 0; call < calls; ++call) {
    for (std::size_t at = 0; at < source.size(); ++at)
      source[at] = static_cast<float>(at + call);
    const Stopwatch watch;
    const Saving saving = checkpointer->save(path, saved);
    microseconds.push_back(watch.seconds() * 1e6);
    saving.get();
    checkpointer->load_into(path, loaded).get();
    if (source != target) throw Error(Errc::damaged, "load " + path.string() + ": it is not what was saved");
  }
  checkpointer->close().get();

  std::vector<Result> results;
  for (const auto& [name, share, goal] :
       {std::tuple("save_call_us_p50", 0.5, 100.0), {"save_call_us_p99", 0.99, 1000.0}}) {
    Result result = of_samples(name, "us", microseconds);
    result.value = percentile(microseconds, share);
    result.goal = Goal{Goal::Of::value, Goal::Side::at_most, goal};
    result.what = fmt::format("in save(), {} tensors", tensors);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace cairn::bench
