"""Losses and crops of complexes (Evans et al., bioRxiv 2021.10.04.463034, section 7)."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.nn.frames import Frames, rotation_from_quaternion
from sciml.protein.alphafold.complex_training import (
    ComplexExamples,
    TrainingComplex,
    matched_truth,
    read_training_complexes,
)
from sciml.protein.alphafold.losses import (
    LossWeights,
    Truth,
    backbone_fape,
    bonded_numbers,
    chain_center_loss,
    fape,
    total_loss,
)
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig
from sciml.protein.alphafold.training import StructureLearner
from sciml.protein.alphafold.training_data import (
    ChainTrainConfig,
    collate,
    contiguous_crop,
    spatial_crop,
)
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.complexes import complex_of
from sciml.protein.io.residues import ATOM37_MASK
from sciml.protein.io.structure_writing import write_structure

sys.path.insert(0, str(Path(__file__).parent))
from test_alphafold import random_small
from test_multimer import MULTIMER

CHAINS = torch.tensor([[1] * 5 + [2] * 4])


def frames(seed: int, n: int = 9) -> Frames:
    generator = torch.Generator().manual_seed(seed)
    rotation = rotation_from_quaternion(torch.randn(1, n, 4, generator=generator))
    return Frames(rotation, 12 * torch.randn(1, n, 3, generator=generator))


def shifted(f: Frames, by: float, chain: int = 2) -> Frames:
    step = torch.tensor([by, 0.0, 0.0]) * (CHAINS == chain)[..., None]
    return Frames(f.rotation, f.translation + step)


def test_fape_of_a_complex_has_a_term_between_chains() -> None:
    truth, mask = frames(0), torch.ones(1, 9)
    assert backbone_fape(truth, truth, mask, True, CHAINS).item() == pytest.approx(0.0015, abs=1e-4)
    # A chain moved as a whole is right in itself; between chains the error is clamped at 30 A.
    for by, want in ((12.0, 12 / 20), (60.0, 30 / 20)):
        moved = shifted(truth, by)
        value = backbone_fape(moved, truth, mask, True, CHAINS).item()
        assert value == pytest.approx(want, abs=2e-3)
    alone = backbone_fape(frames(1), truth, mask, True, torch.ones_like(CHAINS))
    arguments = (frames(1), truth, mask, frames(1).translation, truth.translation, mask)
    assert torch.isclose(alone, fape(*arguments)).all()
    assert torch.isclose(alone, backbone_fape(frames(1), truth, mask, True)).all()


def test_centres_of_chains_are_driven_apart_only() -> None:
    truth, mask = frames(2).translation, torch.ones(1, 9)
    away = torch.tensor([1.0, 0.0, 0.0]) * (CHAINS == 2)[..., None] * 40
    apart = truth - truth.mean(1, keepdim=True) + away

    def loss(points: Tensor) -> float:
        return chain_center_loss(points, apart, mask, CHAINS).item()

    centre = apart[:, 5:].mean(1) - apart[:, :5].mean(1)
    direction = (centre / centre.norm())[:, None] * (CHAINS == 2)[..., None]
    assert loss(apart) == 0 and loss(apart + 30 * direction) == 0
    assert loss(apart - 3.9 * direction) == pytest.approx(0, abs=1e-6)
    assert loss(apart - 14 * direction) == pytest.approx((10 / 20) ** 2, rel=1e-4)
    single = chain_center_loss(apart, truth, mask, torch.ones_like(CHAINS))
    assert single.item() == 0
    hidden = mask * (CHAINS == 1)  # a chain that is not resolved has no centre
    assert chain_center_loss(apart - 14 * direction, apart, hidden, CHAINS).item() == 0


def test_the_losses_of_a_complex_reach_the_network() -> None:
    torch.manual_seed(0)
    model = AlphaFold(
        AlphaFoldConfig(
            msa_dim=16, pair_dim=8, extra_dim=8, single_dim=12, blocks=1, extra_blocks=1,
            msa_heads=2, column_heads=2, pair_heads=2, outer_dim=3, triangle_dim=6,
            structure_dim=12, ipa_heads=2, structure_layers=2, templates=None, target_classes=21,
            masked_classes=22, chain_positions=True, outer_product_first=True,
            separate_projections=True, position_scale=20.0,
        )
    ).eval()  # fmt: skip
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.2)
    n, g = 9, np.random.default_rng(0)
    types = torch.as_tensor(g.integers(0, 20, (1, n)))
    features = {
        "aatype": types, "residue_index": torch.tensor([[*range(5), *range(4)]]),
        "asym_id": CHAINS, "entity_id": CHAINS, "sym_id": torch.ones_like(CHAINS),
        "seq_mask": torch.ones(1, n), "target_feat": torch.eye(21)[types],
        "msa_feat": torch.rand(1, 3, n, 49), "msa_mask": torch.ones(1, 3, n),
        "extra_msa": torch.randint(0, 22, (1, 2, n)), "extra_msa_mask": torch.ones(1, 2, n),
        "extra_has_deletion": torch.zeros(1, 2, n), "extra_deletion_value": torch.zeros(1, 2, n),
        "true_msa": torch.randint(0, 22, (1, 3, n)), "bert_mask": torch.ones(1, 3, n),
    }  # fmt: skip
    mask = torch.as_tensor(ATOM37_MASK)[types]
    atoms = 60 * torch.randn(1, n, 37, 3) * mask[..., None]
    terms = total_loss(model(features), Truth(types, atoms, mask), features, LossWeights())
    assert terms["chain_centers"].item() >= 0 and torch.isfinite(terms["loss"]).all()
    without = total_loss(
        model(features), Truth(types, atoms, mask), features, LossWeights(chain_centers=0.0)
    )
    difference = (terms["loss"] - without["loss"]).item()
    assert difference == pytest.approx(terms["chain_centers"].item(), abs=1e-4)
    terms["loss"].sum().backward()
    gradient = model.structure_module.ipa.linear_q_points.weight.grad
    assert gradient is not None and gradient.abs().max() > 0


def test_contiguous_crops_keep_a_stretch_of_each_chain() -> None:
    chains = np.repeat([1, 2, 3], [30, 12, 8])
    lengths = set()
    for seed in range(40):
        kept = contiguous_crop(chains, 20, np.random.default_rng(seed))
        assert len(kept) == 20 and (np.diff(kept) > 0).all()
        for chain in (1, 2, 3):
            part = kept[chains[kept] == chain]
            assert len(part) == 0 or part[-1] - part[0] == len(part) - 1
        lengths.add(int((chains[kept] == 1).sum()))
    assert len(lengths) > 5
    assert len(contiguous_crop(chains, 80, np.random.default_rng(0))) == 50


def test_spatial_crops_lie_at_an_interface() -> None:
    line = np.stack([np.arange(20.0) * 3.8, np.zeros(20), np.zeros(20)], -1)
    ca = np.concatenate([line, line[::-1] + [70, 6, 0]])  # only the far ends of both touch
    chains = np.repeat([1, 2], 20)
    for seed in range(10):
        kept = spatial_crop(ca, chains, 10, np.random.default_rng(seed))
        assert len(kept) == 10 and {1, 2} == set(chains[kept])
        assert ca[kept, 0].min() > 45
    ca[3] = np.nan
    assert 3 not in spatial_crop(ca, chains, 39, np.random.default_rng(1))
    assert len(spatial_crop(ca, np.ones(40), 7, np.random.default_rng(1))) == 7
    assert len(spatial_crop(ca * np.nan, chains, 7, np.random.default_rng(1))) == 7


def made_complexes() -> list[TrainingComplex]:
    """A trimer of two equal chains and another, and a dimer, with atoms at random."""
    rng = np.random.default_rng(3)
    one, two = "MKVLAAGIVGLC", "ACDWYRRGH"
    made = []
    for name, chains in (("trimer", [one, one, two]), ("dimer", [two, one])):
        parts = complex_of(chains, name)
        types = Alignment.from_sequences(["".join(parts.sequences)]).rows[0]
        mask = ATOM37_MASK[types].astype(np.float32)
        mask[3] = 0  # not resolved
        ca = np.cumsum(rng.normal(0, 2.2, (len(types), 1, 3)), 0)
        atoms = (ca + rng.normal(0, 1, (len(types), 37, 3))).astype(np.float32)
        made.append(TrainingComplex(parts, atoms * mask[..., None], mask, name=name))
    return made


def test_examples_of_complexes_are_learned_from() -> None:
    complexes = made_complexes()
    config = ChainTrainConfig(crop=15, clusters=3, extra=2, recycles=1)
    data = ComplexExamples(complexes, config)
    torch.manual_seed(1)
    batch = collate([data[k] for k in (0, 1, 0)])
    assert batch["aatype"].shape == (3, 15) and batch["whole_atoms"].shape == (3, 33, 37, 3)
    for k, each in enumerate((complexes[0], complexes[1], complexes[0])):
        atoms = torch.as_tensor(each.atoms)
        index = [
            int(np.flatnonzero((batch["whole_numbers"][k].numpy() == row).all(1))[0])
            for row in torch.stack(
                [batch[key][k] for key in ("asym_id", "entity_id", "residue_index")], 1
            ).numpy()
        ]
        assert torch.equal(batch["truth_atoms"][k], atoms[index])
    torch.manual_seed(0)
    learner = StructureLearner(random_small(0, MULTIMER), LossWeights(violation=0.1), config)
    optimizer = torch.optim.Adam(learner.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss = learner.eval()(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0], losses


def test_equal_chains_are_matched_before_the_losses() -> None:
    complexes = made_complexes()
    data = ComplexExamples(complexes, ChainTrainConfig(crop=99, clusters=3, extra=2))
    torch.manual_seed(1)
    batch = collate([data[0]])
    turned = batch["truth_atoms"] * torch.tensor([-1.0, -1.0, 1.0]) + 3.0
    atoms, mask = matched_truth(turned, batch)  # the truth, moved: each chain is itself
    assert torch.equal(atoms, batch["truth_atoms"]) and torch.equal(mask, batch["truth_mask"])
    swap = torch.cat([torch.arange(12, 24), torch.arange(12), torch.arange(24, 33)])
    swapped, there = matched_truth(turned[:, swap], batch)  # the equal chains changed places
    assert torch.equal(swapped, batch["truth_atoms"][:, swap])
    assert torch.equal(there, batch["truth_mask"][:, swap]) and not torch.equal(swapped, atoms)


def test_bonds_join_no_two_chains() -> None:
    types = torch.zeros(1, 6, dtype=torch.long)
    features = {
        "residue_index": torch.tensor([[0, 1, 2, 3, 4, 5]]), "seq_mask": torch.ones(1, 6),
        "asym_id": torch.tensor([[1, 1, 1, 2, 2, 2]]),
    }  # fmt: skip
    numbers = bonded_numbers(features)
    steps = numbers.diff()[0].tolist()
    assert steps[0] == steps[1] == steps[3] == 1 and steps[2] > 1
    assert torch.equal(bonded_numbers({"residue_index": types}), types)


def test_structures_of_complexes_are_read(tmp_path: Path) -> None:
    each = made_complexes()[0]
    types = Alignment.from_sequences(["".join(each.parts.sequences)]).rows[0].astype(np.int64)
    mask = np.maximum(each.mask, ATOM37_MASK[types])
    chains = np.repeat([1, 2, 3], [12, 12, 9])
    # In the file the equal chains stand apart.
    order = np.r_[0:12, 24:33, 12:24]
    write_structure(
        tmp_path / "x.cif", types[order], each.atoms[order], mask[order],
        chains=np.repeat([1, 2, 3], [12, 9, 12]),
    )  # fmt: skip
    (read,) = read_training_complexes(tmp_path)
    assert read.parts.sequences == each.parts.sequences and read.name == "x"
    np.testing.assert_allclose(read.atoms, each.atoms, atol=6e-4)
    assert len(chains) == len(read.mask)
    (tmp_path / "x.a3m").write_text("#12,9\t1,1\n>101\t102\nMKVLAAGIVGLCACDWYRRGH\n")
    with pytest.raises(InputError, match="lacks the structure's chain"):
        read_training_complexes(tmp_path)
