#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cairn/checkpointer.hpp"
#include "cairn/state.hpp"
#include "checkpoint/scatter.hpp"
#include "format/safetensors.hpp"
#include "format/tree.hpp"

namespace cairn::checkpoint {

/// Bytes of a file, and the place in a tensor that they go to.
struct Transfer {
  std::size_t file = 0;      ///< index of a LoadFile
  std::uint64_t offset = 0;  ///< in the file
  std::uint64_t bytes = 0;
  std::uint64_t position = 0;  ///< of the first byte in the packed form of the target
  ScatterView target;
};

/// What a load will do, decided and checked before anything of the target is touched: which bytes go where, and which
/// values are put into the tree after the last byte is in its place.
///
/// Holds pointers into the target, whose structure must not change until apply().
class LoadPlan {
 public:
  std::vector<Transfer> transfers;
  LoadReport report;

  /// Puts scalars, Bytes and new subtrees into the target.
  void apply();

  struct Assignment {
    Value* target;
    Value value;
  };
  struct Append {
    List* target;
    Value value;
  };
  struct Insertion {
    StateDict* target;
    std::string key;
    Value value;
  };
  std::vector<Assignment> assignments;
  std::vector<Append> appends;
  std::vector<Insertion> insertions;
};

/// What is asked of a load.
struct LoadRequest {
  std::string operation;          ///< what errors begin with: "load runs/a"
  std::vector<std::string> keys;  ///< empty: everything
  bool strict = true;
};

/// Plans a load of `tree` (which was read from the header of file `file`) into `target`. An empty StateDict and a null
/// value take the whole subtree; of two lists the longer length wins, and an item that the target does not have, or has
/// as null, takes the source.
///
/// Throws, naming the key path: kind_mismatch, dtype_mismatch, shape_mismatch (strict or not), bad_argument for a
/// tensor that cannot be loaded into, missing_keys with all of them when strict.
LoadPlan plan_load_into(const format::ParsedTree& tree, const format::Header& header, std::size_t file,
                        StateDict& target, const LoadRequest& request);

/// Plans a load of `tree` into memory of its own; `result`, empty, gets the tree by LoadPlan::apply. Leaves that were
/// stored once share memory again. With `keys` it holds them alone, with the levels above; items of a list before
/// one that is wanted are null.
LoadPlan plan_load(const format::ParsedTree& tree, const format::Header& header, std::size_t file, StateDict& result,
                   const LoadRequest& request);

}  // namespace cairn::checkpoint
