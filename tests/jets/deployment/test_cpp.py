"""jet_tagger.hpp compiled against ONNX Runtime's C++ API: scores and flags of Python.

The headers are in no package of Python: SCIML_ONNXRUNTIME names a folder with `include` and `lib`.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sciml.jets import JetTagger, read_jets
from sciml.jets.data.sample import shipped
from sciml.jets.deployment import graphs
from sciml.jets.deployment.raw import columns_of

PROGRAM = r"""
#include "jet_tagger.hpp"
#include <cstdio>
#include <fstream>
int main(int, char **argv) {
  const sciml::JetTagger tagger(argv[1]);
  std::ifstream in(argv[2], std::ios::binary);
  auto number = [&] { std::int32_t v; in.read((char *)&v, 4); return v; };
  std::vector<sciml::Jet> jets(number());
  for (auto &jet : jets) {
    jet.columns.assign(tagger.columns().size(), std::vector<float>(number()));
    for (auto &column : jet.columns) in.read((char *)column.data(), 4 * column.size());
  }
  for (const auto &scores : tagger.predict(jets)) {
    for (float p : scores.probabilities) std::printf("%.9g ", p);
    std::printf("%lld\n", (long long)scores.flags);
  }
  try { tagger.predict({sciml::Jet{}}); return 1; } catch (const std::invalid_argument &) {}
  try { sciml::JetTagger wrong("no-such.onnx"); return 1; } catch (const Ort::Exception &) {}
}
"""


@pytest.mark.slow
def test_compiled_program(tmp_path):
    root, compiler = os.environ.get("SCIML_ONNXRUNTIME"), shutil.which("g++")
    if not root or not compiler:
        pytest.skip("needs g++, and SCIML_ONNXRUNTIME with ONNX Runtime's headers and library")
    tagger = JetTagger.from_pretrained("jets-kin-small", device="cpu")
    graphs.export(tagger, tmp_path / "model.onnx")
    (tmp_path / "main.cpp").write_text(PROGRAM)
    library = Path(root) / "lib"
    subprocess.run(
        [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-isystem", f"{root}/include",
         "-I", str(tmp_path), "main.cpp", "-L", str(library), "-lonnxruntime",
         f"-Wl,-rpath,{library}", "-o", "tag"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    names = columns_of(tagger)
    jets = read_jets(shipped("test"))[:50]
    jets = {n: [np.asarray(v, np.float32) for v in jets[n]] for n in names}
    for name in names:
        jets[name][3] = jets[name][3][:0]
    with (tmp_path / "jets.bin").open("wb") as file:
        file.write(struct.pack("i", 50))
        for row in range(50):
            file.write(struct.pack("i", len(jets[names[0]][row])))
            for name in names:
                file.write(jets[name][row].tobytes())
    done = subprocess.run(
        ["./tag", "model.onnx", "jets.bin"], cwd=tmp_path, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    rows = np.array([[float(v) for v in line.split()] for line in done.stdout.splitlines()])
    want = tagger.predict(jets)
    assert np.array_equal(rows[:, -1], want.flags) and want.flags[3] == 1
    assert np.nanmax(np.abs(rows[:, :-1] - want.probabilities)) < 1e-5
