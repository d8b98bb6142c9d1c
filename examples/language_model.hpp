#pragma once

#include <cstdint>
#include <vector>

#include "layers.hpp"

namespace example {

struct ModelShape {
  std::size_t width = 64;
  std::size_t heads = 4;
  std::size_t blocks = 2;
  std::size_t sequence_length = 64;
  /// Rows of each hashed table (for the last two, three and four bytes): nearly all of the model's size.
  std::size_t table_rows = 1 << 15;
};

/// Sequences one after the other, each of ModelShape::sequence_length bytes, and for each byte the one that follows it.
struct Batch {
  std::vector<std::uint8_t> inputs;
  std::vector<std::uint8_t> targets;
};

/// A transformer that foretells the next byte of a text. The bytes come in through an embedding of each byte and
/// hashed embeddings of the last two, three and four.
class LanguageModel {
 public:
  /// The same seed gives the same model.
  LanguageModel(const ModelShape& shape, std::uint64_t seed);

  /// The mean loss over the batch, in nats a byte; sets the gradient of every parameter.
  double loss_and_gradients(const Batch& batch);

  /// In an order that never changes. The pointers stay valid as long as the model.
  std::vector<Parameter*> parameters();

  const ModelShape& shape() const { return shape_; }

 private:
  /// x + attention(norm(x)), then x + contraction(silu(expansion(norm(x))))
  struct Block {
    Block(const std::string& name, const ModelShape& shape, Random& random);
    void forward(Matrix& stream);
    void backward(Matrix& stream_gradient);

    RmsNorm attention_norm;
    CausalAttention attention;
    RmsNorm expansion_norm;
    Linear expansion;
    Silu activation;
    Linear contraction;
  };

  LanguageModel(const ModelShape& shape, Random random);

  ModelShape shape_;
  std::vector<NgramEmbedding> embeddings_;
  Parameter positions_;
  std::vector<Block> blocks_;
  RmsNorm output_norm_;
  Linear output_;
};

}  // namespace example
