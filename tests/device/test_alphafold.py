"""AlphaFold and AlphaFold-Multimer on the pretended device: one wait a pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml import testing
from sciml.protein import StructurePredictor
from sciml.protein.alphafold.complex_features import network_features
from sciml.protein.alphafold.losses import LossWeights
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig
from sciml.protein.alphafold.training import StructureLearner
from sciml.protein.alphafold.training_data import (
    ChainExamples,
    ChainTrainConfig,
    TrainingChain,
    collate,
)
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.residues import ATOM37_MASK

SMALL = AlphaFoldConfig(
    msa_dim=8, pair_dim=8, extra_dim=8, single_dim=8, blocks=1, extra_blocks=1, msa_heads=1,
    column_heads=1, pair_heads=1, outer_dim=2, triangle_dim=4, structure_dim=8, ipa_heads=1,
    scalar_qk=2, scalar_v=2, point_qk=1, point_v=1, angle_dim=4, plddt_dim=4, structure_layers=2,
    templates=None,
)  # fmt: skip


@pytest.mark.parametrize("name", ["plain", "templates", "trimer"])
def test_a_pass_waits_once(name: str, fixture_file: Callable[[str], Path]) -> None:
    folder = fixture_file(f"protein/{name}")
    arrays = dict(np.load(folder / "batch.npz"))
    if name == "trimer":
        arrays = network_features(arrays, 5, 7)
    with testing.PretendedDevice() as device:
        predictor = StructurePredictor.from_alphafold(folder / "params.npz")
        batch = predictor.tensors(arrays)
        with torch.inference_mode():
            previous = predictor.model(batch).recycle()  # constant tables are copied here
            device.clear()
            predictor.model(batch, previous)
        assert not device.faults
        assert device.waits.total() == 1, device.waits


def chain(sequence: str, seed: int) -> TrainingChain:
    rng = np.random.default_rng(seed)
    alignment = Alignment.from_sequences([sequence, sequence[:-1] + "-"])
    mask = ATOM37_MASK[alignment.rows[0]]
    walk = np.cumsum(rng.normal(0, 2, (len(sequence), 1, 3)), 0)
    return TrainingChain(
        alignment, (walk + rng.normal(0, 1, mask.shape + (3,))) * mask[..., None], mask
    )


def test_a_training_step_waits_once_a_pass() -> None:
    torch.manual_seed(0)
    config = ChainTrainConfig(crop=12, clusters=2, extra=2, recycles=0)
    examples = ChainExamples([chain("ACDEFGHIKLMNPQ", 0), chain("MKVLAAGTRE", 1)], config)
    batch = collate([examples[0], examples[1]])
    weights = replace(LossWeights(), violation=1.0, resolved=0.01)
    learner = StructureLearner(AlphaFold(SMALL), weights, config).train()
    with testing.PretendedDevice() as device:
        device.to_device(learner)
        batch = device.to_device(batch)
        learner(batch)["loss"].backward()
        device.clear()
        learner(batch)["loss"].backward()
        assert not device.faults
        assert device.waits.total() == 1, device.waits
