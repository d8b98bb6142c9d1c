// How the layers make a language model.

#include "language_model.hpp"

#include <cassert>

namespace example {

namespace {

constexpr std::size_t byte_values = 256;
constexpr std::size_t longest_ngram = 4;

std::vector<NgramEmbedding> make_embeddings(const ModelShape& shape, Random& random) {
  std::vector<NgramEmbedding> embeddings;
  for (std::size_t length = 1; length <= longest_ngram; ++length)
    embeddings.emplace_back(length, length == 1 ? byte_values : shape.table_rows, shape.width, random);
  return embeddings;
}

}  // namespace

LanguageModel::Block::Block(const std::string& name, const ModelShape& shape, Random& random)
    : attention_norm(name + ".attention.norm", shape.width),
      attention(name + ".attention", shape.width, shape.heads, shape.sequence_length, random),
      expansion_norm(name + ".expansion.norm", shape.width),
      expansion(name + ".expansion", shape.width, 4 * shape.width, random),
      contraction(name + ".contraction", 4 * shape.width, shape.width, random) {}

void LanguageModel::Block::forward(Matrix& stream) {
  add(attention.forward(attention_norm.forward(stream)), stream);
  add(contraction.forward(activation.forward(expansion.forward(expansion_norm.forward(stream)))), stream);
}

void LanguageModel::Block::backward(Matrix& stream_gradient) {
  const Matrix activation_gradient = contraction.backward(stream_gradient);
  add(expansion_norm.backward(expansion.backward(activation.backward(activation_gradient))), stream_gradient);
  add(attention_norm.backward(attention.backward(stream_gradient)), stream_gradient);
}

LanguageModel::LanguageModel(const ModelShape& shape, std::uint64_t seed) : LanguageModel(shape, Random(seed)) {}

LanguageModel::LanguageModel(const ModelShape& shape, Random random)
    : shape_(shape),
      embeddings_(make_embeddings(shape, random)),
      positions_{
          "positions", Matrix(shape.sequence_length, shape.width), Matrix(shape.sequence_length, shape.width), {}},
      output_norm_("output.norm", shape.width),
      output_("output", shape.width, byte_values, random) {
  for (std::size_t i = 0; i < shape.blocks; ++i)
    blocks_.emplace_back("blocks." + std::to_string(i), shape, random);
}

double LanguageModel::loss_and_gradients(const Batch& batch) {
  assert(batch.inputs.size() == batch.targets.size() && batch.inputs.size() % shape_.sequence_length == 0);
  for (Parameter* parameter : parameters())
    parameter->gradient.fill(0);

  Matrix stream(batch.inputs.size(), shape_.width);
  for (NgramEmbedding& embedding : embeddings_)
    embedding.add_forward(batch.inputs, shape_.sequence_length, stream);
  for (std::size_t first = 0; first < stream.rows(); first += shape_.sequence_length)
    add_block(positions_.value, first, 0, stream);
  for (Block& block : blocks_)
    block.forward(stream);
  const Matrix logits = output_.forward(output_norm_.forward(stream));

  Matrix logits_gradient;
  const double loss = cross_entropy(logits, batch.targets, logits_gradient);

  Matrix gradient = output_norm_.backward(output_.backward(logits_gradient));
  for (auto each = blocks_.rbegin(); each != blocks_.rend(); ++each)
    each->backward(gradient);
  for (std::size_t first = 0; first < gradient.rows(); first += shape_.sequence_length)
    add(block(gradient, first, 0, shape_.sequence_length, shape_.width), positions_.gradient);
  for (NgramEmbedding& embedding : embeddings_)
    embedding.backward(gradient);
  return loss;
}

std::vector<Parameter*> LanguageModel::parameters() {
  std::vector<Parameter*> all;
  for (NgramEmbedding& embedding : embeddings_)
    all.push_back(&embedding.table);
  all.push_back(&positions_);
  for (Block& block : blocks_) {
    for (Parameter* parameter :
         {&block.attention_norm.gain, &block.attention.queries_keys_values.weight, &block.attention.output.weight,
          &block.expansion_norm.gain, &block.expansion.weight, &block.contraction.weight})
      all.push_back(parameter);
  }
  all.push_back(&output_norm_.gain);
  all.push_back(&output_.weight);
  return all;
}

}  // namespace example
