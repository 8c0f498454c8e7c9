"""Training examples of chains: crops, padding, a training step, self-distillation."""

import numpy as np
import torch

from sciml.protein import Alignment, StructurePredictor
from sciml.protein.features import FeatureConfig
from sciml.protein.model import AlphaFold, AlphaFoldConfig
from sciml.protein.residues import ATOM37_MASK
from sciml.protein.training import (
    ChainExamples,
    ChainTrainConfig,
    StructureLearner,
    TrainingChain,
    collate,
    self_distillation,
)

SMALL = AlphaFoldConfig(
    msa_dim=8, pair_dim=8, extra_dim=8, single_dim=8, blocks=1, extra_blocks=1, msa_heads=1,
    column_heads=1, pair_heads=1, outer_dim=2, triangle_dim=4, structure_dim=8, ipa_heads=1,
    scalar_qk=2, scalar_v=2, point_qk=1, point_v=1, angle_dim=4, plddt_dim=4, structure_layers=1,
    templates=None,
)  # fmt: skip


def chains() -> list[TrainingChain]:
    found = []
    for seed, sequence in enumerate(("ACDEFGHIKLMNPQ", "MKVLAAGTRE")):
        rng = np.random.default_rng(seed)
        alignment = Alignment.from_sequences([sequence, sequence[:-1] + "-", "G" * len(sequence)])
        mask = ATOM37_MASK[alignment.rows[0]]
        walk = np.cumsum(rng.normal(0, 2, (len(sequence), 1, 3)), 0)
        atoms = (walk + rng.normal(0, 1, (len(sequence), 37, 3))) * mask[..., None]
        found.append(TrainingChain(alignment, atoms, mask))
    return found


def test_a_step_on_cropped_and_padded_chains() -> None:
    config = ChainTrainConfig(crop=12, clusters=2, extra=2, recycles=1)
    data = ChainExamples(chains(), config)
    first = data[0]
    assert len(first["aatype"]) == 12 and first["truth_atoms"].shape == (12, 37, 3)
    batch = collate([first, data[1]])
    assert batch["aatype"].shape == (2, 12) and batch["seq_mask"].sum() == 22
    learner = StructureLearner(AlphaFold(SMALL), config=config).train()
    terms = learner(batch)
    assert float(terms["count"]) == 2 and terms["loss"].isfinite()
    terms["loss"].backward()
    gradients = [p.grad for p in learner.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients) and len(gradients) > 100


def test_same_random_state_same_example() -> None:
    data = ChainExamples(chains(), ChainTrainConfig(crop=8, clusters=2, extra=2))
    torch.manual_seed(4)
    one = data[0]
    torch.manual_seed(4)
    other = data[0]
    assert all(np.array_equal(one[key], other[key]) for key in one)


def test_self_distillation_keeps_what_is_confident() -> None:
    torch.manual_seed(0)
    predictor = StructurePredictor(AlphaFold(SMALL), "cpu")
    alignments = [chain.alignment for chain in chains()]
    settings = {"config": FeatureConfig(clusters=2, extra=2), "recycles": 0}
    assert self_distillation(predictor, alignments, least_plddt=101.0, **settings) == []
    found = self_distillation(predictor, alignments, least_plddt=0.0, keep_residues=0.0, **settings)
    assert [chain.alignment.columns for chain in found] == [14, 10]
    ChainExamples(found, ChainTrainConfig(crop=8, clusters=2, extra=2))[0]
