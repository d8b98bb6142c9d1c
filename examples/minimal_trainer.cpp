// The smallest trainer that saves with cairn: the README shows what stands between the two marks. The model is a line
// that is fitted to four points.

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

struct Parameter {
  std::string name;
  float* data;
  std::vector<std::int64_t> shape;
};

class Model {
 public:
  std::vector<Parameter>& parameters() { return parameters_; }

  /// One step of gradient descent on the mean squared error.
  void step() {
    float slope_gradient = 0;
    float offset_gradient = 0;
    for (std::size_t i = 0; i < xs_.size(); ++i) {
      const float error = slope_ * xs_[i] + offset_ - ys_[i];
      slope_gradient += error * xs_[i];
      offset_gradient += error;
    }
    slope_ -= 0.01F * slope_gradient;
    offset_ -= 0.01F * offset_gradient;
  }

 private:
  std::array<float, 4> xs_{0, 1, 2, 3};
  std::array<float, 4> ys_{1, 3, 5, 7};
  float slope_ = 0;
  float offset_ = 0;
  std::vector<Parameter> parameters_{{"slope", &slope_, {1}}, {"offset", &offset_, {1}}};
};

// clang-format off
// [trainer]
#include <cairn/cairn.hpp>

cairn::Task<void> train(Model& model, std::filesystem::path runs, std::int64_t steps) {
  cairn::StateDict state;
  for (Parameter& p : model.parameters())
    state["model"][p.name] = cairn::tensor(p.data, p.shape);        // a view: nothing is copied here
  state["step"] = std::int64_t{0};
  state["lr"] = 3e-4;

  auto checkpointer = cairn::make_async_checkpointer();
  if (auto latest = cairn::latest_checkpoint(runs))                 // newest committed one, or nothing; waits for a
                                                                    // dead trainer's executor that is still writing
    co_await checkpointer->load_into(*latest, state);               // in place, verified

  for (auto step = state["step"].as<std::int64_t>(); step < steps; ++step) {
    model.step();
    if (step % 100 != 99) continue;
    state["step"] = step + 1;
    auto saving = checkpointer->save(runs / ("step-" + std::to_string(step + 1)), state);
    co_await saving.staged();                                       // from here the model may change
  }
  co_await checkpointer->close();                                   // everything durable, or the error of the save that failed
}

int main() { Model model; cairn::run(train(model, "runs/a", 1000)); }
// [/trainer]
// clang-format on
