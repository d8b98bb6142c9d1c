// The program `train`: trains the language model of this folder and saves it with cairn while it trains.
//
//   train --dir runs/a                  trains, and saves a checkpoint every 50 steps in runs/a
//   train --dir runs/a                  once more: goes on from the newest committed checkpoint
//
// What cairn has to do with it is all in train(), in the order of a trainer's life: make a checkpointer, name the
// state, resume, save, close. A checkpoint holds everything that the next step depends on, so a run that was
// interrupted goes on with the losses of one that was not, bit for bit; `losses.txt` in the directory has them.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cairn/cairn.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "adam.hpp"
#include "language_model.hpp"
#include "loss_log.hpp"
#include "save_report.hpp"
#include "text.hpp"

namespace {

using example::Adam;
using example::LanguageModel;
using example::LossLog;
using example::Matrix;
using example::ModelShape;
using example::Sampler;
using example::SaveReport;
using Clock = std::chrono::steady_clock;

constexpr std::size_t sequences_per_batch = 4;
constexpr float learning_rate = 3e-3F;
constexpr std::int64_t recent_losses = 16;
constexpr unsigned checkpoints_kept = 2;

struct Options {
  std::filesystem::path directory;
  std::optional<std::filesystem::path> text;
  std::int64_t steps = 600;
  std::int64_t steps_between_saves = 50;
  std::uint64_t seed = 1;
  std::size_t table_rows = ModelShape().table_rows;
  int events = -1;
};

/// Tells whoever started the trainer what it is doing, a line at a time, through a pipe that it was given. With nobody
/// left at the other end the trainer ends too (SIGPIPE).
class Events {
 public:
  explicit Events(int descriptor) : descriptor_(descriptor) {}

  void say(const std::string& what, std::int64_t step) const {
    if (descriptor_ < 0) return;
    const std::string line = fmt::format("{} {}\n", what, step);
    if (::write(descriptor_, line.data(), line.size()) < 0) throw std::runtime_error("cannot write to --events");
  }

 private:
  int descriptor_;
};

cairn::TensorView view(Matrix& matrix) {
  return cairn::tensor(matrix.data(), {static_cast<std::int64_t>(matrix.rows()),  //
                                       static_cast<std::int64_t>(matrix.columns())});
}

/// Everything that the next step depends on. The tensors are views: saving copies out of them, loading writes into
/// them.
cairn::StateDict make_state(Adam& adam, const Sampler& sampler) {
  cairn::StateDict state;
  for (Adam::Moments& moments : adam.moments()) {
    const std::string& name = moments.parameter->name;
    state["model"][name] = view(moments.parameter->value);
    state["adam"]["first_moment"][name] = view(moments.first);
    state["adam"]["second_moment"][name] = view(moments.second);
  }
  state["step"] = std::int64_t{0};
  state["sampler"] = sampler.state();
  cairn::List losses;
  for (std::int64_t i = 0; i < recent_losses; ++i)
    losses.push_back(0.0);
  state["recent_losses"] = losses;
  return state;
}

double parameter_count(LanguageModel& model) {
  std::size_t count = 0;
  for (const example::Parameter* parameter : model.parameters())
    count += parameter->value.size();
  return static_cast<double>(count);
}

/// The mean of the last losses after `step` steps.
double recent_loss(cairn::StateDict& state, std::int64_t step) {
  const std::int64_t count = std::min(step, recent_losses);
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i)
    sum += state["recent_losses"][i].as<double>();
  return sum / static_cast<double>(count);
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

cairn::Task<void> train(Options options) {
  // First of all: it starts a process of its own, by a fork that is cheapest while this one is small.
  auto checkpointer = cairn::make_async_checkpointer();

  const Events events(options.events);
  const std::string text = example::read_text(options.text);
  ModelShape shape;
  shape.table_rows = options.table_rows;
  LanguageModel model(shape, options.seed);
  Adam adam(model.parameters(), learning_rate);
  Sampler sampler(text, sequences_per_batch, shape.sequence_length, options.seed);
  cairn::StateDict state = make_state(adam, sampler);

  std::filesystem::create_directories(options.directory);
  const auto latest = cairn::latest_checkpoint(options.directory);
  if (!latest) {
    fmt::print("  starts anew: {:.1f} million parameters, {:.2f} MB of text\n", parameter_count(model) / 1e6,
               static_cast<double>(text.size()) / 1e6);
  } else {
    const auto begin = Clock::now();
    co_await checkpointer->load_into(*latest, state);
    sampler.set_state(state["sampler"].as<std::int64_t>());
    fmt::print("  goes on from {}, loaded and verified in {:.0f} ms\n", latest->filename().string(),
               seconds_since(begin) * 1e3);
  }
  const auto first_step = state["step"].as<std::int64_t>();
  events.say("resumed", first_step);

  LossLog log(options.directory / "losses.txt");
  SaveReport report;
  Clock::duration waited{};
  std::int64_t saves = 0;
  const auto begin = Clock::now();
  for (std::int64_t step = first_step + 1; step <= options.steps; ++step) {
    const double loss = model.loss_and_gradients(sampler.next());
    adam.update(step);
    log.append(step, loss);
    state["recent_losses"][(step - 1) % recent_losses] = loss;
    if (step % options.steps_between_saves != 0) continue;

    state["step"] = step;
    state["sampler"] = sampler.state();
    const auto save_begin = Clock::now();
    auto saving = checkpointer->save(options.directory / fmt::format("step-{:06}", step), state,
                                     cairn::SaveOptions().step(step).keep_last(checkpoints_kept));
    events.say("copying", step);
    co_await saving.staged();  // from here on the parameters may change; another process writes the copy
    events.say("writing", step);
    const auto wait = Clock::now() - save_begin;
    waited += wait;
    ++saves;
    report.add({step, recent_loss(state, step), save_begin, wait, saving});
  }
  const double training_s = seconds_since(begin);
  report.finish();
  co_await checkpointer->close();

  const double waited_s = std::chrono::duration<double>(waited).count();
  fmt::print("  {} steps in {:.1f} s, of which the training loop lost {:.2f} s ({:.1f} %) to {} saves\n",
             options.steps - first_step, training_s, waited_s, training_s > 0 ? waited_s / training_s * 100 : 0, saves);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a small language model on a text and saves it with cairn while it trains.");
  app.add_option("--dir", options.directory, "where the checkpoints go, and whose newest one is gone on from")
      ->required();
  app.option_defaults()->always_capture_default();
  app.add_option("--text", options.text, "the text to learn (default: the licence texts that every Debian carries)");
  app.add_option("--steps", options.steps, "how many steps to train in all")->check(CLI::PositiveNumber);
  app.add_option("--every", options.steps_between_saves, "steps between saves")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of the first parameters and of the batches");
  app.add_option("--table-rows", options.table_rows, "size of the model: rows of 2304 bytes, Adam's moments included")
      ->check(CLI::PositiveNumber);
  app.add_option("--events", options.events, "descriptor of a pipe on which to say what is being done");
  CLI11_PARSE(app, argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line that was printed is not lost by a kill
  try {
    cairn::run(train(options));
    return 0;
  } catch (const std::exception& error) {
    std::fflush(stdout);
    fmt::print(stderr, "train: {}\n", error.what());
    return 1;
  }
}
