#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/run.hpp"
#include "cairn/staging.hpp"
#include "cairn/task.hpp"
#include "staging/fake_machine.hpp"
#include "staging/window_pool.hpp"
#include "support/catch.hpp"

namespace {

using cairn::CheckpointStager;
using cairn::DefaultStager;
using cairn::DType;
using cairn::Errc;
using cairn::Future;
using cairn::List;
using cairn::StagingConfig;
using cairn::StateDict;
using cairn::Task;
using cairn::Tensor;
using cairn::TensorView;
using cairn::Value;
using Shape = std::vector<std::int64_t>;

constexpr std::uint64_t MiB = 1 << 20;

std::vector<float> counting(std::size_t count, float first = 0) {
  std::vector<float> made(count);
  std::iota(made.begin(), made.end(), first);
  return made;
}

TensorView view_of(std::vector<float>& numbers) {
  return cairn::tensor(numbers.data(), Shape{static_cast<std::int64_t>(numbers.size())});
}

std::vector<float> numbers_of(const Value& value) {
  const TensorView view = value.tensor();
  REQUIRE(view.is_contiguous());
  REQUIRE(view.dtype() == DType::f32);
  std::vector<float> numbers(view.element_count());
  std::memcpy(numbers.data(), view.data(), view.size_bytes());
  return numbers;
}

StagingConfig configuration(bool asynchronous, bool shared = true) {
  StagingConfig config;
  config.use_async_staging = asynchronous;
  config.use_shared_memory = shared;
  return config;
}

template <class T>
Errc code_of(const Future<T>& future) {
  try {
    future.get();
  } catch (const cairn::Error& error) {
    REQUIRE(error.code().category() == cairn::cairn_category());
    return static_cast<Errc>(error.code().value());
  }
  FAIL("no error");
  return {};
}

Task<StateDict> await_stage(CheckpointStager& stager, const StateDict& state) {
  auto staging = stager.stage(state);
  auto staged = co_await staging;
  co_return staged;
}

}  // namespace

TEST_CASE("SEED 37: synchronous staging is complete when stage() returns") {
  std::vector<float> weights = counting(3000000);
  StateDict state;
  state["weights"] = view_of(weights);
  DefaultStager stager(configuration(false));
  const Future<StateDict> staged = stager.stage(state);
  REQUIRE(staged.ready());
  weights.assign(weights.size(), -1.0F);
  REQUIRE(numbers_of(staged.get().at("weights")) == counting(3000000));
}

TEST_CASE("SEED 37: asynchronous staging gives a future, to be awaited or waited for") {
  std::vector<float> weights = counting(3000000);
  StateDict state;
  state["weights"] = view_of(weights);
  DefaultStager stager;
  REQUIRE(cairn::run(await_stage(stager, state)) == state);
  REQUIRE(stager.stage(state).get() == state);
}

TEST_CASE("SEED 38: scalars and nesting are kept, and the tree is copied before stage() returns") {
  std::vector<float> weights = counting(5);
  StateDict expected;
  DefaultStager stager;
  Future<StateDict> staged;
  {
    StateDict state;
    state["step"] = 7;
    state["lr"] = 3e-4;
    state["name"] = "gpt";
    state["flag"] = true;
    state["nothing"] = nullptr;
    state["raw"] = cairn::Bytes(9, std::byte{3});
    state["model"]["layer"]["weight"] = view_of(weights);
    List items;
    items.push_back(Value(1));
    items.push_back(Value(view_of(weights)));
    state["items"] = std::move(items);
    expected = state;
    staged = stager.stage(state);
    state.clear();
  }
  const StateDict got = staged.get();
  REQUIRE(got == expected);
  REQUIRE(got.find("items[1]")->is<Tensor>());
  REQUIRE(got.begin()->first == "step");
}

TEST_CASE("SEED 39: one stager takes different states, also ones without tensors") {
  DefaultStager stager(configuration(GENERATE(true, false), GENERATE(true, false)));
  std::vector<float> numbers = counting(1000);
  StateDict small;
  small["a"] = view_of(numbers);
  StateDict scalars;
  scalars["x"] = 1;
  const StateDict empty;
  std::vector<float> many = counting(5000000);
  StateDict large;
  large["b"]["c"] = view_of(many);
  for (int round = 0; round < 2; ++round) {
    const StateDict* const states[] = {&small, &scalars, &large, &empty, &small};
    for (const StateDict* state : states) {
      const StateDict staged = stager.stage(*state).get();
      REQUIRE(staged == *state);
    }
  }
}

TEST_CASE("SEED 40: pinned memory and non-blocking copies are allowed without a device") {
  std::vector<float> numbers = counting(10);
  StateDict state;
  state["a"] = view_of(numbers);
  StagingConfig config;
  config.use_pinned_memory = GENERATE(true, false);
  config.use_non_blocking_copy = GENERATE(true, false);
  DefaultStager stager(config);
  REQUIRE(stager.stage(state).get() == state);
}

TEST_CASE("SEED 41: changing the sources after staging leaves the staged copy unchanged") {
  std::vector<float> numbers = counting(2000000);
  const Tensor owned = Tensor::empty(DType::f32, Shape{100});
  std::memcpy(owned.mutable_data(), numbers.data(), 400);
  StateDict state;
  state["view"] = view_of(numbers);
  state["owned"] = owned;
  DefaultStager stager;
  const StateDict staged = stager.stage(state).get();
  numbers.assign(numbers.size(), -5.0F);
  std::memset(owned.mutable_data(), 0, 400);
  REQUIRE(numbers_of(staged.at("view")) == counting(2000000));
  REQUIRE(numbers_of(staged.at("owned")) == counting(100));
}

TEST_CASE("SEED 42: staging again changes no earlier result, and takes its memory once that is gone") {
  std::vector<float> numbers = counting(1000);
  StateDict state;
  state["a"] = view_of(numbers);
  DefaultStager stager;
  StateDict first = stager.stage(state).get();
  const void* const first_memory = first.at("a").tensor().data();

  std::iota(numbers.begin(), numbers.end(), 500.0F);
  StateDict second = stager.stage(state).get();
  REQUIRE(second.at("a").tensor().data() != first_memory);
  REQUIRE(numbers_of(first.at("a")) == counting(1000));
  REQUIRE(numbers_of(second.at("a")) == counting(1000, 500));

  // One Tensor of it is enough to keep all of it.
  Tensor last = first.at("a").as<Tensor>();
  first.clear();
  const StateDict third = stager.stage(state).get();
  REQUIRE(third.at("a").tensor().data() != first_memory);
  REQUIRE(std::memcmp(last.data(), counting(1000).data(), 4000) == 0);

  last = Tensor();
  const StateDict fourth = stager.stage(state).get();
  REQUIRE(fourth.at("a").tensor().data() == first_memory);
}

TEST_CASE("SEED 42: a result outlives its stager") {
  std::vector<float> numbers = counting(1000);
  StateDict state;
  state["a"] = view_of(numbers);
  auto stager = std::make_unique<DefaultStager>();
  Future<StateDict> staging = stager->stage(state);
  stager.reset();
  const StateDict staged = staging.get();
  staging = Future<StateDict>();
  REQUIRE(numbers_of(staged.at("a")) == counting(1000));
}

TEST_CASE("SEED 43: views keep their content, and share where they shared") {
  std::vector<float> base = counting(4000);
  StateDict state;
  state["whole"] = cairn::tensor(base.data(), Shape{40, 100});
  state["same"] = cairn::tensor(base.data(), Shape{40, 100});
  state["flat"] = cairn::tensor(base.data(), Shape{4000});
  state["part"] = cairn::tensor(base.data() + 150, Shape{10, 5});
  state["column"] = cairn::tensor(base.data() + 3, Shape{40}).strided(Shape{100});
  state["column_again"] = cairn::tensor(base.data() + 3, Shape{40}).strided(Shape{100});
  state["transposed"] = cairn::tensor(base.data(), Shape{100, 40}).strided(Shape{1, 100});
  state["broadcast"] = cairn::tensor(base.data() + 9, Shape{3, 7}).strided(Shape{0, 0});
  std::vector<float> neighbour = counting(10, 77);
  state["other"] = view_of(neighbour);
  DefaultStager stager;
  const StateDict staged = stager.stage(state).get();
  REQUIRE(staged == state);

  const auto address = [&staged](const char* key) {
    return static_cast<const std::byte*>(staged.at(key).tensor().data());
  };
  REQUIRE(address("same") == address("whole"));
  REQUIRE(address("flat") == address("whole"));
  REQUIRE(address("part") == address("whole") + 600);
  REQUIRE(address("column_again") == address("column"));
  for (const char* apart : {"column", "transposed", "broadcast", "other"})
    REQUIRE((address(apart) < address("whole") || address(apart) >= address("whole") + 16000));
}

TEST_CASE("SEED 44: empty shapes, scalars and small elements are kept") {
  double scalar = 0.1;
  std::vector<std::byte> nibbles(5, std::byte{0x93});
  StateDict state;
  state["a"] = cairn::tensor(static_cast<float*>(nullptr), Shape{0});
  state["b"] = cairn::tensor(static_cast<float*>(nullptr), Shape{0, 0});
  state["c"] = cairn::tensor(static_cast<std::int64_t*>(nullptr), Shape{0, 0, 0});
  state["s"] = cairn::tensor(&scalar, Shape{});
  state["f4"] = cairn::tensor(nibbles.data(), DType::f4, Shape{2, 5});
  DefaultStager stager;
  const StateDict staged = stager.stage(state).get();
  REQUIRE(staged == state);
  REQUIRE(staged.at("c").tensor().shape().size() == 3);
  REQUIRE(staged.at("s").tensor().shape().empty());
  REQUIRE(staged.at("f4").tensor().dtype() == DType::f4);

  StateDict only_empty;
  only_empty["a"] = cairn::tensor(static_cast<float*>(nullptr), Shape{0, 3});
  REQUIRE(stager.stage(only_empty).get() == only_empty);
}

TEST_CASE("SEED 36: shared tensors reach a child as the same memory, private ones do not") {
  const bool shared = GENERATE(true, false);
  std::vector<float> numbers = counting(10);
  StateDict state;
  state["a"] = view_of(numbers);
  DefaultStager stager(configuration(false, shared));
  const StateDict staged = stager.stage(state).get();
  auto* const memory = static_cast<float*>(staged.at("a").tensor().mutable_data());
  const pid_t child = ::fork();
  if (child == 0) {
    memory[0] = 99;
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  REQUIRE(status == 0);
  REQUIRE(memory[0] == (shared ? 99.0F : 0.0F));
}

TEST_CASE("stager: more than staging_bytes_max is an error of the future, and the next state goes through") {
  std::vector<float> numbers = counting(3 * MiB);
  StateDict large;
  large["a"] = view_of(numbers);
  StateDict small;
  small["a"] = cairn::tensor(numbers.data(), Shape{100});
  StagingConfig config = configuration(GENERATE(true, false));
  config.staging_bytes_max = 8 * MiB;
  DefaultStager stager(config);
  REQUIRE(code_of(stager.stage(large)) == Errc::too_little_memory);
  StateDict one = stager.stage(small).get();
  StateDict two = stager.stage(small).get();
  REQUIRE(code_of(stager.stage(small)) == Errc::too_little_memory);
  one.clear();
  REQUIRE(stager.stage(small).get() == small);
}

TEST_CASE("stager: memory of a device is refused") {
  StateDict state;
  state["a"] = cairn::tensor(reinterpret_cast<float*>(64), Shape{4}).on(cairn::Device::cuda(0));
  DefaultStager stager;
  REQUIRE(code_of(stager.stage(state)) == Errc::bad_argument);
}

TEST_CASE("stager: close waits for the copies, keeps what was handed out, and may be repeated") {
  std::vector<float> numbers = counting(3000000);
  StateDict state;
  state["a"] = view_of(numbers);
  DefaultStager stager;
  std::vector<Future<StateDict>> staged;
  for (int copy = 0; copy < 3; ++copy)
    staged.push_back(stager.stage(state));
  stager.close();
  for (const Future<StateDict>& copy : staged) {
    REQUIRE(copy.ready());
    REQUIRE(copy.get() == state);
  }
  stager.close();
  REQUIRE(code_of(stager.stage(state)) == Errc::closed);
}

TEST_CASE("stager: a tensor that the state owns lives until it is copied") {
  DefaultStager stager;
  Future<StateDict> staged;
  {
    StateDict state;
    Tensor owned = Tensor::empty(DType::f32, Shape{2000000});
    std::memcpy(owned.mutable_data(), counting(2000000).data(), owned.size_bytes());
    state["a"] = std::move(owned);
    staged = stager.stage(state);
  }
  REQUIRE(numbers_of(staged.get().at("a")) == counting(2000000));
}

TEST_CASE("window pool: a window is given out again when its lease ends, and replaced when it is too small") {
  cairn::test::FakeMachine machine;
  machine.available(100 * MiB);
  cairn::staging::WindowPool pool(StagingConfig(), machine.limits());
  auto first = pool.take(5 * MiB);
  REQUIRE(first.window->capacity_bytes() == 8 * MiB);
  const auto* const window = first.window;
  auto other = pool.take(5 * MiB);
  REQUIRE(other.window != window);
  first.owner.reset();
  first = pool.take(1);
  REQUIRE(first.window == window);
  first.owner.reset();
  first = pool.take(9 * MiB);
  REQUIRE(first.window->capacity_bytes() == 12 * MiB);

  SECTION("too little memory is refused, pages that others are about to take included") {
    machine.available(39 * MiB);  // the two others have taken none of their 20 MiB
    try {
      pool.take(20 * MiB);
      FAIL("no error");
    } catch (const cairn::Error& error) {
      REQUIRE(error.code() == Errc::too_little_memory);
      INFO(error.what());
      REQUIRE(std::string(error.what()).find(std::to_string(39 * MiB)) != std::string::npos);
    }
    machine.available(40 * MiB);
    REQUIRE(pool.take(20 * MiB).window->capacity_bytes() == 20 * MiB);
  }
}
