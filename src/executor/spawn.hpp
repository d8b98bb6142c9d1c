#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "core/unique_fd.hpp"
#include "executor/executor_start.hpp"

namespace cairn::executor {

/// The first argument that makes a program that calls `executor_main` an executor; the second is the number of the
/// descriptor it reads its ExecutorStart from.
inline constexpr const char* executor_argument = "--cairn-executor";

/// A started executor, as the trainer has it.
struct SpawnedExecutor {
  pid_t supervisor = 0;
  UniqueFd supervisor_pidfd;
  UniqueFd socket;
};

/// Empty where a plain fork() is right: one thread, no CUDA device open. Otherwise why not.
std::string fork_hazard();

/// Forks this process. `start` without socket and trainer: they are made here. Throws Error.
SpawnedExecutor fork_executor(ExecutorStart start, WorkerProgram& program);

/// Starts `executable`, which must call `executor_main` first. Throws Error, naming it.
SpawnedExecutor exec_executor(ExecutorStart start, const std::filesystem::path& executable);

/// In the process that exec_executor started: what it was given.
ExecutorStart inherited_start(int descriptor);

}  // namespace cairn::executor
