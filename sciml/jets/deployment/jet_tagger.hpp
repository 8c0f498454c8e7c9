// Tags jets in C++ with a model of `sciml jets export --raw -o model.onnx`, in ONNX Runtime.
//
//   #include "jet_tagger.hpp"
//   const sciml::JetTagger tagger("model.onnx");
//   std::vector<float> scores = tagger(px, py, pz, energy);   // one jet; order of tagger.columns()
//   auto rows = tagger.predict({jet, other});                 // several jets in one call
//
// Momenta are in GeV, impact parameters in mm, in any order of particles. Columns are containers with
// size() and operator[]: std::vector, ROOT::RVec, std::span, ... A faulty jet has scores of NaN, and
// flags that say why (1 empty, 2 not finite, 4 zero pT, 8 energy below momentum).
//
// Header only, C++17, needs ONNX Runtime 1.12 or newer. Calls of one tagger from several threads are
// safe. With ROOT:
//
//   auto scored = frame.Define("scores", [&tagger](const ROOT::RVecF &px, const ROOT::RVecF &py,
//       const ROOT::RVecF &pz, const ROOT::RVecF &e) { return tagger(px, py, pz, e); },
//       tagger.columns());
#ifndef SCIML_JET_TAGGER_HPP
#define SCIML_JET_TAGGER_HPP

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <onnxruntime_cxx_api.h>

namespace sciml {

/// The constituents of a jet, column by column.
struct Jet {
  /// In the order of `JetTagger::columns()`, all of one length.
  std::vector<std::vector<float>> columns;
  /// pt, eta, phi, energy of the jet; where pt is 0, the sum of the constituents counts.
  std::array<float, 4> momentum{};
};

struct Scores {
  /// [classes], or NaN.
  std::vector<float> probabilities;
  /// 0 for a good jet.
  std::int64_t flags = 0;
};

class JetTagger {
public:
  /// Throws Ort::Exception where the file cannot be opened, std::runtime_error where it is of
  /// another kind.
  explicit JetTagger(const std::string &path, int threads = 1)
      : environment_(ORT_LOGGING_LEVEL_WARNING, "sciml") {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads);
    session_ = std::make_unique<Ort::Session>(environment_, path.c_str(), options);
    if (text("sciml.format") != "sciml.jets.raw/1")
      throw std::runtime_error(path + " takes no raw four-momenta; export it with --raw");
    classes_ = split(text("sciml.classes"));
    columns_ = split(text("sciml.columns"));
  }

  /// Names of the classes, in the order of the scores.
  const std::vector<std::string> &classes() const { return classes_; }
  /// Names of the columns of particles that the model reads.
  const std::vector<std::string> &columns() const { return columns_; }

  /// Scores of one jet from its columns, in the order of `columns()`; its momentum is their sum.
  template <class... Columns> std::vector<float> operator()(const Columns &...values) const {
    return with_momentum({}, values...);
  }

  /// As operator(), with pt, eta, phi, energy of the jet.
  template <class... Columns>
  std::vector<float> with_momentum(const std::array<float, 4> &momentum,
                                   const Columns &...values) const {
    Jet jet;
    (jet.columns.push_back(copy(values)), ...);
    jet.momentum = momentum;
    return predict({jet}).front().probabilities;
  }

  /// Scores of several jets in one call of the network; similar lengths waste the least.
  /// Throws std::invalid_argument where columns are missing or differ in length.
  std::vector<Scores> predict(const std::vector<Jet> &jets) const {
    if (jets.empty()) return {};
    const std::size_t count = jets.size(), width = columns_.size();
    std::size_t rows = 1;
    for (const Jet &jet : jets) {
      if (jet.columns.size() != width)
        throw std::invalid_argument("a jet has " + std::to_string(jet.columns.size()) +
                                    " columns, the model reads " + std::to_string(width));
      for (const auto &column : jet.columns)
        if (column.size() != jet.columns.front().size())
          throw std::invalid_argument("the columns of a jet differ in length");
      rows = std::max(rows, jet.columns.front().size());
    }
    std::vector<float> particles(count * rows * width, 0.0f), momenta(count * 4);
    for (std::size_t j = 0; j < count; ++j) {
      for (std::size_t c = 0; c < width; ++c)
        for (std::size_t i = 0; i < jets[j].columns[c].size(); ++i)
          particles[(j * rows + i) * width + c] = jets[j].columns[c][i];
      std::copy(jets[j].momentum.begin(), jets[j].momentum.end(), momenta.begin() + 4 * j);
    }
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const std::array<std::int64_t, 3> shape{std::int64_t(count), std::int64_t(rows),
                                            std::int64_t(width)};
    const std::array<std::int64_t, 2> jet_shape{std::int64_t(count), 4};
    const std::array<Ort::Value, 2> inputs{
        Ort::Value::CreateTensor<float>(memory, particles.data(), particles.size(), shape.data(),
                                        shape.size()),
        Ort::Value::CreateTensor<float>(memory, momenta.data(), momenta.size(), jet_shape.data(),
                                        jet_shape.size())};
    static constexpr const char *input_names[] = {"particles", "jets"};
    static constexpr const char *output_names[] = {"probabilities", "flags"};
    const auto outputs = session_->Run(Ort::RunOptions{nullptr}, input_names, inputs.data(), 2,
                                       output_names, 2);
    const float *values = outputs[0].GetTensorData<float>();
    const std::int64_t *flags = outputs[1].GetTensorData<std::int64_t>();
    std::vector<Scores> scores(count);
    for (std::size_t j = 0; j < count; ++j) {
      scores[j].probabilities.assign(values + j * classes_.size(),
                                     values + (j + 1) * classes_.size());
      scores[j].flags = flags[j];
    }
    return scores;
  }

private:
  template <class Column> static std::vector<float> copy(const Column &values) {
    std::vector<float> out(values.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(values[i]);
    return out;
  }

  std::string text(const char *key) const {
    Ort::AllocatorWithDefaultOptions allocator;
    const auto metadata = session_->GetModelMetadata();
    const auto value = metadata.LookupCustomMetadataMapAllocated(key, allocator);
    return value ? std::string(value.get()) : std::string();
  }

  static std::vector<std::string> split(const std::string &joined) {
    std::vector<std::string> parts;
    std::stringstream stream(joined);
    for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
    return parts;
  }

  Ort::Env environment_;
  // Run is safe to call from several threads, but not const in Ort's interface.
  std::unique_ptr<Ort::Session> session_;
  std::vector<std::string> classes_, columns_;
};

} // namespace sciml

#endif
