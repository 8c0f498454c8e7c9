"""Jets, a tagger, and what weaver-core makes of some jets."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import torch

from sciml.jets import JetTagger
from sciml.jets.data.columns import COLUMNS

TRUNK = {"name": "pair_transformer", "dim": 16, "depth": 1, "heads": 2, "pair_dim": 4}


def made(lengths, seed=0, mass=0.14):
    """Columns of jets with these numbers of constituents; no jet columns, no relative angles."""
    random = np.random.default_rng(seed)
    total = int(sum(lengths))
    pt = random.exponential(15, total) + 0.5
    eta, phi = random.normal(0.6, 0.2, total), random.normal(-2.0, 0.2, total)
    flat: dict[str, np.ndarray] = {
        n: np.zeros(total) for n in COLUMNS if n not in ("part_deta", "part_dphi")
    }
    flat["part_px"], flat["part_py"] = pt * np.cos(phi), pt * np.sin(phi)
    flat["part_pz"] = pt * np.sinh(eta)
    flat["part_energy"] = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    for name in ("part_d0val", "part_d0err", "part_dzval", "part_dzerr"):
        flat[name] = random.uniform(0.01, 0.1, total)
    flat["part_charge"] = random.integers(-1, 2, total)
    flat["part_isPhoton"] = np.ones(total)
    return {n: ak.unflatten(v.astype(np.float32), lengths) for n, v in flat.items()}


@pytest.fixture(scope="session")
def jets():
    """The function `made`."""
    return made


@pytest.fixture(scope="session")
def small_tagger():
    """A tagger of two classes with random weights."""
    torch.manual_seed(0)
    return JetTagger.build(TRUNK, ("QCD", "Tbqq")).eval()


@dataclass(frozen=True)
class WeaverReference:
    """Inputs and logits of weaver-core on the jets of one file.

    Attributes:
        jets: a parquet file of raw jets.
        configs: variant -> weaver's data config.
        checkpoints: variant -> weights of a ParticleNet with the prefix "mod.".
        net: weaver's inputs of the jets, and ParticleNet's logits of them.
        part_state: weights of a Particle Transformer of the default sizes.
        part: its inputs, [n, c, N], and its logits, alone and with each of some options.
        part_shapes: names and shapes in weaver's state dict.
        gradients: its loss on labels 0, 1, ... and the norms of its gradients.
    """

    jets: Path
    configs: dict[str, Path]
    checkpoints: dict[str, Path]
    net: dict[str, np.ndarray]
    part_state: dict[str, torch.Tensor]
    part: dict[str, torch.Tensor]
    part_shapes: dict[str, list[int]]
    gradients: dict


VARIANTS = ("full", "kinpid", "kin")


def _from_fixtures(file: Callable[[str], Path], script: Callable, folder: Path) -> WeaverReference:
    maker = script("weaver_core")
    shapes = json.loads(file("jets/shapes.json").read_text())
    states = {
        name: {k: torch.from_numpy(v) for k, v in maker.draw(shapes[name], seed).items()}
        for name, seed in maker.SEEDS.items()
    }
    for variant in VARIANTS:
        weights = states[f"particle_net_{variant}"]
        torch.save({f"mod.{k}": v for k, v in weights.items()}, folder / f"{variant}.pt")
    net = dict(np.load(file("jets/particle_net.npz")))
    io = {k: net[k] for k in ("features", "vectors", "mask")}
    io |= np.load(file("jets/particle_transformer.npz"))
    return WeaverReference(
        file("jets/jets.parquet"),
        {variant: file(f"jets/{variant}.yaml") for variant in VARIANTS},
        {variant: folder / f"{variant}.pt" for variant in VARIANTS},
        net,
        states["particle_transformer"],
        {k: torch.from_numpy(v) for k, v in io.items()},
        shapes["particle_transformer"],
        json.loads(file("jets/gradients.json").read_text()),
    )


def _from_published(folder: Path) -> WeaverReference:
    stored = np.load(folder / "ref_part_default_weights_f16.npz")
    state = {
        name: torch.from_numpy(x.astype(np.float32) if x.dtype == np.float16 else x)
        for name, x in stored.items()
    }
    io = np.load(folder / "ref_part_default_io.npz")
    return WeaverReference(
        folder / "ref_jets_200.parquet",
        {variant: folder / "configs" / f"JetClass_{variant}.yaml" for variant in VARIANTS},
        {variant: folder / f"ParticleNet_{variant}.pt" for variant in VARIANTS},
        dict(np.load(folder / "ref_particlenet_200.npz")),
        state,
        {k: torch.from_numpy(v) for k, v in io.items()},
        json.loads((folder / "ref_part_default_meta.json").read_text())["shapes"],
        json.loads((folder / "ref_part_default_grad.json").read_text()),
    )


@pytest.fixture(scope="session")
def weaver_reference(origin, fixture_file, fixture_script, tmp_path_factory, request):
    """weaver-core's own numbers: on made jets, and on published ones where they are at hand."""
    if origin == "ours":
        folder = tmp_path_factory.mktemp("weaver")
        return _from_fixtures(fixture_file, fixture_script, folder)
    return _from_published(request.getfixturevalue("shared") / "data" / "jets")
