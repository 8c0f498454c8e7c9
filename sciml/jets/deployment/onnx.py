"""A tagger as ONNX: raw particles in, class probabilities out, any number of jets and particles.

The features are computed inside the graph, so an experiment's C++ only has to prepare the 16
columns of each particle, padded, and pT and energy of the jet; `preprocess.json` beside the model
describes them in machine-readable form. The file is checked in onnxruntime before it is written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import InputError, MissingExtra
from sciml.jets.data import columns as col
from sciml.jets.data.columns import COLUMNS, JET_COLUMNS
from sciml.jets.data.features import Jets
from sciml.paths import atomic_write

INPUTS = ("particles", "jets", "mask")
OPSET = 17
TOLERANCE = 1e-5
"""Largest accepted difference between onnxruntime and torch."""
CHECKED = ((1, 1), (4, 20), (9, 128))
"""Jets and particles of the batches that an exported graph is checked with."""


class Exported(nn.Module):
    """The tagger with plain tensors as inputs."""

    def __init__(self, tagger: nn.Module) -> None:
        super().__init__()
        self.tagger = tagger

    def forward(self, particles: Tensor, jets: Tensor, mask: Tensor) -> Tensor:
        """[B, N, 16], [B, 2], [B, N] bool -> probabilities [B, classes]; NaN for an empty jet."""
        from torch_geometric.data import Data

        # one more place, so that a batch of jets without particles has an axis to work on
        particles, mask = F.pad(particles, (0, 0, 0, 1)), F.pad(mask, (0, 1))
        probabilities = self.tagger(Data(x=particles, jet=jets, mask=mask)).softmax(-1)
        # a masked fill, not a division: an empty jet must not get a confident answer
        return probabilities.masked_fill(~mask.any(1, keepdim=True), torch.nan)


def example(jets: int = 3, particles: int = 7, seed: int = 0, ragged: bool = False) -> Jets:
    """Made-up jets to trace and check with."""
    random = torch.Generator().manual_seed(seed)
    shape = (jets, particles)
    pt = 0.5 + 80 * torch.rand(shape, generator=random).square()
    eta, phi = (torch.rand(2, *shape, generator=random) - 0.5) * 0.8
    x = torch.zeros(*shape, len(COLUMNS))
    x[..., col.PX], x[..., col.PY], x[..., col.PZ] = pt * phi.cos(), pt * phi.sin(), pt * eta.sinh()
    x[..., col.ENERGY] = pt * eta.cosh() * 1.001
    x[..., col.DETA], x[..., col.DPHI] = eta, phi
    x[..., col.D0 : col.CHARGE] = 0.2 * torch.rand(*shape, 4, generator=random)
    kind = torch.randint(0, 5, shape, generator=random)
    x[..., col.TYPES] = nn.functional.one_hot(kind, 5).float()
    x[..., col.CHARGE] = (kind == 0).float()
    lengths = torch.full((jets,), particles)
    if ragged:
        lengths = torch.randint(1, particles + 1, (jets,), generator=random)
    mask = torch.arange(particles) < lengths[:, None]
    x = x * mask[..., None]
    summed = torch.stack([(pt * mask).sum(1), x[..., col.ENERGY].sum(1)], 1)
    zeros = torch.zeros(jets, dtype=torch.int64)
    return Jets(x, summed, mask, zeros, zeros)


def export(tagger: Any, path: str | Path) -> Path:
    """Write `path` (.onnx) and preprocess.json beside it.

    Args:
        tagger: a `JetTagger`.
        path: the .onnx file.

    Returns:
        the path.

    Raises:
        InputError: another suffix, or the exported graph does not give torch's answer.
        MissingExtra: onnx or onnxruntime is not installed.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise InputError("must end in .onnx", where=path)
    from sciml.jets.tagger import JetTagger

    if not isinstance(tagger, JetTagger):
        raise InputError("only a tagger of classes can be exported, not one of masses", where=path)
    from sciml.jets.networks.classifier import WeaverNetwork

    if isinstance(tagger.network, WeaverNetwork) and not tagger.network.reads_particles:
        from sciml.jets.weaver import onnx as weaver_onnx

        return weaver_onnx.export(tagger, path)
    model = Exported(tagger).to("cpu").eval()
    jets = example()
    axes = {"particles": {0: "jet", 1: "particle"}, "jets": {0: "jet"}}
    axes |= {"mask": {0: "jet", 1: "particle"}, "probabilities": {0: "jet"}}

    def batches() -> Iterator[tuple[Tensor, ...]]:
        for count, particles in CHECKED:
            made = example(count, particles, seed=particles, ragged=True)
            yield made.particles, made.jets, made.mask

    first = (jets.particles, jets.jets, jets.mask)
    difference = write(model, path, first, INPUTS, ["probabilities"], axes, batches())
    description = {
        "format": "sciml.jets/1",
        "inputs": {
            "particles": {
                "columns": list(COLUMNS),
                "units": "GeV, mm, rad",
                "shape": ["jet", "particle", len(COLUMNS)],
                "padding": 0.0,
            },
            "jets": {"columns": list(JET_COLUMNS), "units": "GeV", "shape": ["jet", 2]},
            "mask": {"shape": ["jet", "particle"], "dtype": "bool", "meaning": "True = particle"},
        },
        "most_particles": tagger.limit,
        "selection": "the leading particles in pT, in any order, before padding",
        "outputs": {"probabilities": list(tagger.classes)},
        "opset": OPSET,
        "checked_against_torch": difference,
    }
    with atomic_write(path.with_name("preprocess.json")) as temporary:
        temporary.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    return path


def write(
    model: nn.Module, path: Path, example_inputs: Sequence[Tensor], inputs: Sequence[str],
    outputs: Sequence[str], axes: Mapping[str, Mapping[int, str]],
    batches: Iterable[Sequence[Tensor]], metadata: Mapping[str, str] | None = None,
) -> float:  # fmt: skip
    """Trace `model`, check it in onnxruntime, and write it if it gives torch's answer.

    Args:
        model: in evaluation mode, on the CPU.
        path: the .onnx file.
        example_inputs: to trace with.
        inputs, outputs: names.
        axes: names of the axes of any length, by input and output.
        batches: inputs to check with.
        metadata: texts that are kept in the file.

    Returns:
        the largest difference from torch.

    Raises:
        InputError: the difference is above `TOLERANCE`.
        MissingExtra: onnx or onnxruntime is not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "onnx", "export to ONNX") from error
    with atomic_write(path) as temporary, quiet(), torch.no_grad():
        torch.onnx.export(
            model,
            tuple(example_inputs),
            str(temporary),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(own) for name, own in axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )
        if metadata:
            graph = onnx.load(str(temporary))
            onnx.helper.set_model_props(graph, dict(metadata))
            onnx.save(graph, str(temporary))
        onnx.checker.check_model(str(temporary))
        difference = largest_difference(model, temporary, inputs, batches)
        if not difference <= TOLERANCE:
            raise InputError(f"onnxruntime differs from torch by {difference:.1e}", where=path)
    return difference


def largest_difference(
    model: nn.Module, path: Path, inputs: Sequence[str], batches: Iterable[Sequence[Tensor]]
) -> float:
    """onnxruntime against torch over some batches; both say NaN of the same jets."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for values in batches:
        with torch.no_grad():
            answers = model(*values)
        feed = {n: v.numpy() for n, v in zip(inputs, values, strict=True)}
        answers = [answers] if isinstance(answers, Tensor) else answers
        for in_torch, in_onnx in zip(answers, session.run(None, feed), strict=True):
            difference = difference_of(in_torch.numpy(), in_onnx)
            if np.isnan(difference):
                return difference
            worst = max(worst, difference)
    return worst


def difference_of(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference of two arrays; NaN if not the same values are NaN."""
    if not np.array_equal(np.isnan(first), np.isnan(second)):
        return float("nan")
    return float(np.nanmax(np.abs(first - second), initial=0.0))


@contextlib.contextmanager
def quiet() -> Any:
    """Silences the tracer's warnings; the check afterwards decides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logger.setLevel(level)
