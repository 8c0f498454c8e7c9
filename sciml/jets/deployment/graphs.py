"""Files of a tagger that takes raw four-momenta: ONNX with a C++ header, torch.export, Triton.

    export(tagger, "model.onnx")     # and preprocess.json, jet_tagger.hpp beside it
    export(tagger, "model.pt2")      # torch.export.load("model.pt2").module()
    to_triton(tagger, "models/jets") # a model of Triton's repository `models`

Each is checked against torch before it is written, on ragged, empty and faulty jets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.jets.data.columns import JET_MOMENTUM
from sciml.jets.data.features import Flag
from sciml.jets.deployment import onnx
from sciml.jets.deployment.raw import CHECKED, INPUTS, OUTPUTS, RawTagger, checked, examples
from sciml.jets.networks import pair_kinematics
from sciml.paths import atomic_write

FORMAT = "sciml.jets.raw/1"
HEADER = Path(__file__).with_name("jet_tagger.hpp")
MAX_BATCH = 512
"""Jets in one request to Triton, by default."""


def export(tagger: Any, path: str | Path) -> Path:
    """Write a tagger that takes raw four-momenta; see `sciml.jets.deployment.raw` for its inputs.

    Args:
        tagger: a `JetTagger` whose network reads particles.
        path: .onnx (any number of jets and rows; preprocess.json and jet_tagger.hpp are written
            beside it), or .pt2 (the package of `torch.export`).

    Returns:
        the path.

    Raises:
        InputError: another suffix or model, or the graph does not give torch's answer.
        MissingExtra: onnx or onnxruntime is not installed.
    """
    path = Path(path)
    if path.suffix not in (".onnx", ".pt2"):
        raise InputError("must end in .onnx or .pt2", where=path)
    model = checked(tagger, path)
    with pair_kinematics.portable():
        if path.suffix == ".pt2":
            _write_package(model, path)
            return path
        difference = _write_onnx(model, path)
    _write_description(model, path.with_name("preprocess.json"), difference)
    with atomic_write(path.with_name(HEADER.name)) as temporary:
        temporary.write_text(HEADER.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def to_triton(tagger: Any, folder: str | Path, *, max_batch: int = MAX_BATCH) -> Path:
    """Write a tagger as a model of NVIDIA Triton's model repository.

    FOLDER/config.pbtxt, FOLDER/classes.txt and FOLDER/1/model.onnx; the repository is the folder
    above, the model's name that of FOLDER.

    Args:
        tagger, max_batch: see `export`; jets in one request.
        folder: of the model.

    Raises:
        InputError: as for `export`, or a batch of less than one jet.
    """
    folder = Path(folder)
    if folder.suffix or folder.is_file():
        raise InputError("must be a folder: that of the model in Triton's repository", where=folder)
    if max_batch < 1:
        raise InputError(f"`max_batch` must be >= 1, got {max_batch}")
    model = checked(tagger, folder)
    version = folder / "1"
    version.mkdir(parents=True, exist_ok=True)
    with pair_kinematics.portable():
        difference = _write_onnx(model, version / "model.onnx")
    _write_description(model, folder / "preprocess.json", difference)
    texts = {
        "classes.txt": "\n".join(model.tagger.classes) + "\n",
        "config.pbtxt": triton_config(model, folder.absolute().name, max_batch),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder


def triton_config(model: RawTagger, name: str, max_batch: int) -> str:
    """Triton's model configuration (protobuf text of `ModelConfig`)."""
    rows, classes = len(model.columns), len(model.tagger.classes)
    return f"""\
name: {json.dumps(name)}
backend: "onnxruntime"
max_batch_size: {max_batch}
input [
  {{ name: "particles" data_type: TYPE_FP32 dims: [ -1, {rows} ] }},
  {{ name: "jets" data_type: TYPE_FP32 dims: [ {len(JET_MOMENTUM)} ] }}
]
output [
  {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {classes} ]
     label_filename: "classes.txt" }},
  {{ name: "flags" data_type: TYPE_INT64 dims: [ 1 ] reshape: {{ shape: [ ] }} }}
]
dynamic_batching {{ }}
"""


def _batches(model: RawTagger) -> Iterator[list[Tensor]]:
    for count, particles in CHECKED:
        yield examples(model.columns, count, particles, seed=particles)


def _write_onnx(model: RawTagger, path: Path) -> float:
    axes = {
        "particles": {0: "jet", 1: "particle"}, "jets": {0: "jet"}, "probabilities": {0: "jet"},
        "flags": {0: "jet"},
    }  # fmt: skip
    first = examples(model.columns, 3, 7)
    return onnx.write(
        model, path, first, INPUTS, OUTPUTS, axes, _batches(model), _metadata(model)
    )  # fmt: skip


def _metadata(model: RawTagger) -> dict[str, str]:
    """What jet_tagger.hpp reads; names have no commas."""
    return {
        "sciml.format": FORMAT,
        "sciml.classes": ",".join(model.tagger.classes),
        "sciml.columns": ",".join(model.columns),
        "sciml.most_particles": str(model.limit),
    }


def _write_description(model: RawTagger, path: Path, difference: float) -> None:
    """preprocess.json: the inputs and outputs in machine-readable form."""
    described = {
        "format": FORMAT,
        "inputs": {
            "particles": {
                "columns": list(model.columns), "units": "GeV, mm",
                "shape": ["jet", "particle", len(model.columns)], "padding": 0.0,
            },
            "jets": {
                "columns": list(JET_MOMENTUM), "units": "GeV, rad", "shape": ["jet", 4],
                "meaning": "momentum of the jet; pt 0: the sum of its particles",
            },
        },
        "most_particles": model.limit,
        "selection": "inside the graph: the leading particles in pT",
        "outputs": {
            "probabilities": list(model.tagger.classes),
            "flags": {flag.name: int(flag) for flag in Flag},
        },
        "opset": onnx.OPSET,
        "checked_against_torch": difference,
    }  # fmt: skip
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def _write_package(model: RawTagger, path: Path) -> None:
    """`torch.export` with any number of jets and rows, checked against the module."""
    jets, rows = torch.export.Dim("jets"), torch.export.Dim("rows")
    first = tuple(examples(model.columns, 3, 7))
    with torch.no_grad(), onnx.quiet():
        program = torch.export.export(
            model, first, dynamic_shapes=({0: jets, 1: rows}, {0: jets}), strict=False
        )
    again = program.module()
    for values in _batches(model):
        with torch.no_grad():
            pairs = zip(again(*values), model(*values), strict=True)
        differences = [onnx.difference_of(a.numpy(), b.numpy()) for a, b in pairs]
        if not max(differences) <= onnx.TOLERANCE or np.isnan(differences).any():
            raise InputError(f"the graph differs from torch by {max(differences):.1e}", where=path)
    with atomic_write(path) as temporary:
        # torch.export.save goes by the suffix
        named = temporary.with_name(temporary.name + ".pt2")
        try:
            torch.export.save(program, str(named))
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)
