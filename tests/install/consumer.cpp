// A trainer outside the tree: it knows the installed headers and library only. Trains, saves, and starts again from
// what it saved. The argument is a directory of its own.

#include <cairn/cairn.hpp>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

struct Parameter {
  std::string name;
  float* data;
  std::vector<std::int64_t> shape;
};

class Model {
 public:
  std::vector<Parameter> parameters() { return {{"weight", weight_.data(), {64, 32}}, {"bias", bias_.data(), {64}}}; }
  void step() {
    for (float& value : weight_)
      value += 0.5f;
    for (float& value : bias_)
      value -= 0.25f;
  }
  bool operator==(const Model&) const = default;

 private:
  std::vector<float> weight_ = std::vector<float>(64 * 32, 1.0f);
  std::vector<float> bias_ = std::vector<float>(64, 2.0f);
};

cairn::Task<void> train(Model& model, std::filesystem::path runs, std::int64_t steps) {
  cairn::StateDict state;
  for (Parameter& p : model.parameters())
    state["model"][p.name] = cairn::tensor(p.data, p.shape);
  state["step"] = std::int64_t{0};
  state["lr"] = 3e-4;

  auto checkpointer = cairn::make_async_checkpointer();
  if (auto latest = cairn::latest_checkpoint(runs)) co_await checkpointer->load_into(*latest, state);

  for (auto step = state["step"].as<std::int64_t>(); step < steps; ++step) {
    model.step();
    if (step % 10 != 9) continue;
    state["step"] = step + 1;
    auto saving = checkpointer->save(runs / ("step-" + std::to_string(step + 1)), state);
    co_await saving.staged();
  }
  co_await checkpointer->close();
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path runs = argv[1];
  if (std::string_view(cairn::version()) != CAIRN_VERSION_STRING) {
    std::printf("headers of %s, library of %s\n", CAIRN_VERSION_STRING, cairn::version());
    return 1;
  }

  Model uninterrupted;
  for (int step = 0; step < 30; ++step)
    uninterrupted.step();

  Model first;
  cairn::run(train(first, runs, 20));
  Model second;  // as after a restart: its values come from the checkpoint
  cairn::run(train(second, runs, 30));

  const bool same = second == uninterrupted;
  std::printf("%s\n", same ? "consumer: ok" : "consumer: the resumed model differs");
  return same ? 0 : 1;
}
