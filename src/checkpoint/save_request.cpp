#include "checkpoint/save_request.hpp"

#include "executor/wire.hpp"

namespace cairn::checkpoint {

std::string SaveRequest::encode() const {
  executor::WireWriter out;
  out.text(path.native()).text(attempt).i64(rank.global_rank).i64(rank.global_world_size);
  out.optional_i64(step).optional_i64(keep_last).map(metadata).text(tensors_json);
  return out.take();
}

SaveRequest SaveRequest::decode(std::string_view text) {
  executor::WireReader in(text);
  SaveRequest request;
  request.path = in.text();
  request.attempt = in.text();
  request.rank.global_rank = static_cast<int>(in.i64());
  request.rank.global_world_size = static_cast<int>(in.i64());
  request.step = in.optional_i64();
  request.keep_last = in.optional_i64();
  request.metadata = in.map();
  request.tensors_json = in.text();
  return request;
}

}  // namespace cairn::checkpoint
