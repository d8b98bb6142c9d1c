#include <cairn/error.hpp>
#include <cairn/rank_info.hpp>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/support/states.hpp"
#include "support/catch.hpp"

namespace cairn::test {
namespace {

using Variables = std::map<std::string, std::string>;

/// Only these of the launchers' variables are set while this lives.
class Environment {
 public:
  explicit Environment(const Variables& variables) {
    for (const char* const name : names) {
      const char* const value = std::getenv(name);
      if (value != nullptr) before_[name] = value;
      ::unsetenv(name);
    }
    for (const auto& [name, value] : variables)
      ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const char* const name : names)
      ::unsetenv(name);
    for (const auto& [name, value] : before_)
      ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  static constexpr const char* names[] = {
      "RANK",     "WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK",     "PMIX_SIZE",
      "PMI_RANK", "PMI_SIZE",   "SLURM_PROCID",         "SLURM_NTASKS",         "SLURM_STEP_ID", "SLURM_JOB_ID"};
  Variables before_;
};

struct Row {
  Variables variables;
  int rank;
  int size;
};

}  // namespace

TEST_CASE("SEED 26: the rank comes from the innermost launcher's environment") {
  const std::vector<Row> rows = {
      {{}, 0, 1},
      {{{"RANK", "3"}, {"WORLD_SIZE", "8"}}, 3, 8},
      {{{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, 1, 2},
      {{{"PMIX_RANK", "1"}, {"PMIX_SIZE", "4"}}, 1, 4},
      {{{"PMIX_RANK", "1"}}, 0, 1},  // set without a size by every PMIx: says nothing
      {{{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}}, 0, 1},
      {{{"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "4"}, {"SLURM_STEP_ID", "0"}}, 2, 4},
      {{{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "77"}}, 0, 1},  // a batch script
      {{{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_STEP_ID", "4294967291"}}, 0, 1},
      // torchrun inside srun
      {{{"RANK", "5"}, {"WORLD_SIZE", "6"}, {"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}, {"SLURM_STEP_ID", "0"}},
       5,
       6},
      {{{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "3"}, {"PMIX_RANK", "7"}, {"PMIX_SIZE", "2"}}, 1, 3},
  };
  for (const Row& row : rows) {
    std::string text;
    for (const auto& [name, value] : row.variables)
      text += name + "=" + value + " ";
    INFO(text);
    const Environment environment(row.variables);
    const RankInfo info = RankInfo::from_environment();
    CHECK(info.global_rank == row.rank);
    CHECK(info.global_world_size == row.size);
  }
}

TEST_CASE("variables of one launcher that contradict each other are a bad argument that names them") {
  const std::vector<Variables> rows = {
      {{"RANK", "8"}, {"WORLD_SIZE", "8"}},
      {{"RANK", "-1"}, {"WORLD_SIZE", "8"}},
      {{"RANK", "0"}, {"WORLD_SIZE", "0"}},
      {{"RANK", "1"}},
      {{"WORLD_SIZE", "2"}},
      {{"RANK", "one"}, {"WORLD_SIZE", "2"}},
      {{"RANK", ""}, {"WORLD_SIZE", "2"}},
      {{"RANK", "1 "}, {"WORLD_SIZE", "2"}},
  };
  for (const Variables& row : rows) {
    const Environment environment(row);
    const Error error = error_of([] { (void)RankInfo::from_environment(); });
    CHECK(error.code() == Errc::bad_argument);
    CHECK(contains(error.what(), row.begin()->first));
  }
}

}  // namespace cairn::test
