// The demo compares the losses of two runs bit for bit, so the model must give the same bits for the same seed; and it
// must learn, so its derivatives, written by hand, must be right.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "adam.hpp"
#include "language_model.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"
#include "text.hpp"

namespace {

using example::Adam;
using example::Batch;
using example::LanguageModel;
using example::Matrix;
using example::ModelShape;
using example::Parameter;
using example::Random;
using example::Sampler;

ModelShape small_shape() {
  ModelShape shape;
  shape.width = 16;
  shape.heads = 2;
  shape.sequence_length = 8;
  shape.table_rows = 7;  // so few that sequences share rows
  return shape;
}

std::string some_text(Random random) {
  std::string text;
  for (int i = 0; i < 500; ++i)
    text += static_cast<char>('a' + random.below(5));
  return text;
}

/// The gradient with a row for each row of the value, whichever way the parameter keeps it.
Matrix dense_gradient(const Parameter& parameter) {
  if (!parameter.touched_rows) return parameter.gradient;
  Matrix dense(parameter.value.rows(), parameter.value.columns());
  for (std::size_t i = 0; i < parameter.touched_rows->size(); ++i)
    std::copy_n(parameter.gradient.row(i), dense.columns(), dense.row((*parameter.touched_rows)[i]));
  return dense;
}

double product(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a.data()[i]) * b.data()[i];
  return sum;
}

/// A direction that leans to the gradient, so that the loss changes enough to be measured, and is random beside it.
Matrix direction_near(const Matrix& gradient, Random& random) {
  const auto length = static_cast<float>(std::sqrt(product(gradient, gradient)));
  const float spread = 1 / std::sqrt(static_cast<float>(gradient.size()));
  Matrix direction(gradient.rows(), gradient.columns());
  for (std::size_t i = 0; i < gradient.size(); ++i)
    direction.data()[i] = gradient.data()[i] / length * (1 + random.uniform(1)) + random.uniform(spread);
  return direction;
}

/// Trains `steps` steps from `first_step` + 1 on and answers their losses.
std::vector<double> train(LanguageModel& model, Adam& adam, Sampler& sampler, int first_step, int steps) {
  std::vector<double> losses;
  for (int step = first_step + 1; step <= first_step + steps; ++step) {
    losses.push_back(model.loss_and_gradients(sampler.next()));
    adam.update(step);
  }
  return losses;
}

}  // namespace

TEST_CASE("language model: the gradient of every parameter is that of the loss") {
  Random random(cairn::test::seed());
  const std::string text = some_text(random);
  LanguageModel model(small_shape(), random.next());
  Adam adam(model.parameters(), 0.01F);
  Sampler sampler(text, 3, small_shape().sequence_length, random.next());
  train(model, adam, sampler, 0, 10);  // away from the gains of one and the positions of zero that it begins with

  const Batch batch = sampler.next();
  constexpr float distance = 1e-2F;
  for (Parameter* parameter : model.parameters()) {
    model.loss_and_gradients(batch);
    const Matrix gradient = dense_gradient(*parameter);
    REQUIRE(product(gradient, gradient) > 0);
    for (int trial = 0; trial < 5; ++trial) {
      const Matrix direction = direction_near(gradient, random);
      const Matrix value = parameter->value;
      const auto loss_at = [&](float way) {
        for (std::size_t i = 0; i < value.size(); ++i)
          parameter->value.data()[i] = value.data()[i] + way * direction.data()[i];
        return model.loss_and_gradients(batch);
      };
      // Five points: what the loss's curvature adds is of the fourth order in the distance.
      const double numerical =
          (8 * (loss_at(distance) - loss_at(-distance)) - (loss_at(2 * distance) - loss_at(-2 * distance))) /
          (12 * static_cast<double>(distance));
      parameter->value = value;
      const double analytic = product(gradient, direction);
      INFO(parameter->name << ": numerical " << numerical << ", analytic " << analytic);
      CHECK(std::abs(numerical - analytic) <= 0.01 * std::abs(analytic) + 1e-4);
    }
  }
}

TEST_CASE("language model: the same seed gives the same losses, bit for bit, and another seed others") {
  const std::string text = some_text(Random(1));
  const auto losses = [&](std::uint64_t seed) {
    LanguageModel model(small_shape(), seed);
    Adam adam(model.parameters(), 0.01F);
    Sampler sampler(text, 3, small_shape().sequence_length, seed);
    return train(model, adam, sampler, 0, 20);
  };
  const std::uint64_t seed = cairn::test::seed();
  CHECK(losses(seed) == losses(seed));
  CHECK(losses(seed) != losses(seed + 1));
}

TEST_CASE("language model: parameters, moments, step and sampler are all that a run needs to go on") {
  const std::string text = some_text(Random(2));
  LanguageModel model(small_shape(), 3);
  Adam adam(model.parameters(), 0.01F);
  Sampler sampler(text, 3, small_shape().sequence_length, 4);
  train(model, adam, sampler, 0, 10);

  LanguageModel other_model(small_shape(), 5);
  Adam other_adam(other_model.parameters(), 0.01F);
  Sampler other_sampler(text, 3, small_shape().sequence_length, 6);
  for (std::size_t i = 0; i < adam.moments().size(); ++i) {
    const Adam::Moments& from = adam.moments()[i];
    Adam::Moments& to = other_adam.moments()[i];
    REQUIRE(from.parameter->name == to.parameter->name);
    to.parameter->value = from.parameter->value;
    to.first = from.first;
    to.second = from.second;
  }
  other_sampler.set_state(sampler.state());
  CHECK(train(other_model, other_adam, other_sampler, 10, 10) == train(model, adam, sampler, 10, 10));
}

TEST_CASE("language model: it learns") {
  const std::string text(500, 'a');
  LanguageModel model(small_shape(), 7);
  Adam adam(model.parameters(), 0.01F);
  Sampler sampler(text, 3, small_shape().sequence_length, 8);
  const std::vector<double> losses = train(model, adam, sampler, 0, 50);
  CHECK(losses.front() > 3);
  CHECK(losses.back() < 0.1);
}
