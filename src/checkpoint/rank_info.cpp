#include "cairn/rank_info.hpp"

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "cairn/error.hpp"

namespace cairn {
namespace {

/// One launcher's variables for the process's number and their count.
struct Launcher {
  const char* name;
  const char* rank;
  const char* size;
  const char* only_with;  ///< a third variable that must be there, or null
};

// The innermost launcher first: torchrun may run inside mpirun, and both inside srun. Slurm sets its variables for a
// batch script too, where they say nothing about processes; a step id beside SLURM_PROCID tells an srun step.
constexpr std::array launchers{
    Launcher{"torchrun", "RANK", "WORLD_SIZE", nullptr},
    Launcher{"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", nullptr},
    Launcher{"PMIx", "PMIX_RANK", "PMIX_SIZE", "PMIX_SIZE"},
    Launcher{"PMI", "PMI_RANK", "PMI_SIZE", nullptr},
    Launcher{"Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_ID"},
};

std::optional<int> number(const char* variable) {
  const char* const text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int value = 0;
  const char* const end = text + std::strlen(text);
  const auto [parsed_to, error] = std::from_chars(text, end, value);
  if (error != std::errc() || parsed_to != end) {
    throw Error(Errc::bad_argument, std::string(variable) + "=" + text + " is not a number");
  }
  return value;
}

/// srun sets its step's variables in a batch step as well.
bool is_batch_step() {
  const char* const step = std::getenv("SLURM_STEP_ID");
  return step != nullptr && std::strcmp(step, "4294967291") == 0;
}

}  // namespace

RankInfo RankInfo::from_environment() {
  for (const Launcher& launcher : launchers) {
    if (launcher.only_with != nullptr && std::getenv(launcher.only_with) == nullptr) continue;
    if (std::strcmp(launcher.name, "Slurm") == 0 && is_batch_step()) continue;
    const auto rank = number(launcher.rank);
    const auto size = number(launcher.size);
    if (!rank && !size) continue;
    const std::string both = std::string(launcher.rank) + " and " + launcher.size + " of " + launcher.name;
    if (!rank || !size) throw Error(Errc::bad_argument, both + ": one is set, the other is not");
    if (*size < 1 || *rank < 0 || *rank >= *size) {
      throw Error(Errc::bad_argument,
                  both + " contradict each other: rank " + std::to_string(*rank) + " of " + std::to_string(*size));
    }
    return RankInfo{*rank, *size};
  }
  return RankInfo{};
}

}  // namespace cairn
