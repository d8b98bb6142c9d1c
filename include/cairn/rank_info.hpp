#pragma once

namespace cairn {

/// Which of the job's processes this one is.
struct RankInfo {
  int global_rank = 0;
  int global_world_size = 1;

  /// From the launcher's environment, the innermost launcher first: RANK and WORLD_SIZE (torchrun); Open MPI's, PMIx's
  /// and PMI's variables; SLURM_PROCID and SLURM_NTASKS inside an srun step; otherwise rank 0 of 1. Throws
  /// Errc::bad_argument, naming the variables, when those of one launcher contradict each other.
  static RankInfo from_environment();
};

}  // namespace cairn
