"""Jets and a tagger for tests of what files and arrays hold."""

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
