"""Losses: zero for the truth, blind to motion and naming, with gradients; training goes down."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sciml.nn.frames import Frames, rotation_from_quaternion
from sciml.protein.alphafold.embedders import torsion_angles
from sciml.protein.alphafold.losses import (
    LossWeights,
    Truth,
    distogram_loss,
    fape,
    rename_symmetric,
    total_loss,
    true_groups,
)
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig
from sciml.protein.alphafold.structure_module import (
    AtomBuilder,
    StructureModuleOutput,
    atom14_to_atom37,
)
from sciml.protein.alphafold.violations import (
    bond_violations,
    clashes,
    count_violations,
    violation_loss,
    within_residues,
)
from sciml.protein.io import residues


def built(sequence: str = "ARNDCQEGHILKMFPSTWYV", seed: int = 0):
    """A chain with random frames and torsions: types, frames, angles, groups and atoms."""
    g = torch.Generator().manual_seed(seed)
    types = torch.tensor([[residues.RESIDUES.index(c) for c in sequence]])
    n = len(sequence)
    q, _ = torch.linalg.qr(torch.randn(1, n, 3, 3, generator=g))
    rotation = q * torch.linalg.det(q)[..., None, None]
    origin = 6 * torch.randn(1, n, 3, generator=g)
    turn = torch.rand(1, n, 7, generator=g) * 6.28
    angles = torch.stack([turn.sin(), turn.cos()], -1)
    groups = AtomBuilder()(types, rotation, origin, angles)
    return types, rotation, origin, angles, groups


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """A random chain and its losses in the public JAX code (fixtures/make/alphafold_losses.py)."""
    with np.load(Path(__file__).parents[2] / "fixtures" / "protein" / "losses.npz") as file:
        return {key: torch.as_tensor(value) for key, value in file.items()}


def test_published_losses(published: dict[str, torch.Tensor]) -> None:
    given = {k[6:]: v for k, v in published.items() if k.startswith("given/")}
    want = {k[5:]: v for k, v in published.items() if k.startswith("loss/")}
    types = given["aatype"].long()[None]
    frames, raw = given["frames"][:, None], given["raw_angles"][:, None]
    angles = raw / raw.norm(dim=-1, keepdim=True)
    groups, origins, atoms = AtomBuilder()(
        types, rotation_from_quaternion(frames[-1, ..., :4]), frames[-1, ..., 4:], angles[-1]
    )
    assert torch.allclose(atoms[0], given["atoms14"], atol=2e-5)
    structure = StructureModuleOutput(
        frames[-1], frames, angles, raw, groups[None], origins[None], atoms[None]
    )
    logits = {k[7:]: v[None] for k, v in published.items() if k.startswith("logits/")}
    output = SimpleNamespace(
        structure=structure, logits=logits, atoms=atom14_to_atom37(atoms, types)[0]
    )
    truth = Truth(types, given["truth_atoms"][None], given["truth_mask"][None], torch.tensor([2.0]))
    features = {
        "seq_mask": torch.ones_like(types).float(),
        "residue_index": given["residue_index"].long()[None],
        "true_msa": given["true_msa"].long()[None],
        "bert_mask": given["bert_mask"][None],
    }
    weights = LossWeights(resolved=0.01, violation=1.0)
    terms = total_loss(output, truth, features, weights)  # type: ignore[arg-type]
    for name in (
        "backbone_fape", "side_chain_fape", "chi", "angle_norm", "distogram", "masked_msa",
        "plddt", "pae", "resolved", "violation",
    ):  # fmt: skip
        assert float(terms[name]) == pytest.approx(float(want[name]), rel=2e-5), name
    loose = total_loss(output, truth, features, weights, clamp=False)  # type: ignore[arg-type]
    assert float(loose["backbone_fape"]) == pytest.approx(
        float(want["backbone_fape_unclamped"]), rel=2e-5
    )
    structure_term = 0.5 * (want["backbone_fape"] + want["side_chain_fape"])
    structure_term += 0.5 * want["chi"] + 0.01 * want["angle_norm"]
    total = structure_term + 0.3 * want["distogram"] + 2 * want["masked_msa"] + want["violation"]
    total += 0.01 * (want["plddt"] + want["resolved"]) + 0.1 * want["pae"]
    assert float(terms["loss"]) == pytest.approx(float(total), rel=2e-5)

    whole = features["seq_mask"]
    bonds = bond_violations(types, atoms, whole, features["residue_index"])
    count = bonds.pop("bonded").sum()
    for name, fault in bonds.items():
        assert float(fault.sum() / count) == pytest.approx(float(want[name]), rel=2e-5), name
    overlap, _ = clashes(types, atoms, whole, features["residue_index"])
    assert torch.allclose(overlap[0], want["clashes"], atol=2e-5) and want["clashes"].max() > 0.1
    within = within_residues(types, atoms, whole)
    assert torch.allclose(within[0], want["within"], atol=2e-5) and want["within"].max() > 0.1


def test_renaming_as_published(published: dict[str, torch.Tensor]) -> None:
    types = published["given/aatype"].long()[None]
    to37 = torch.as_tensor(residues.ATOM14_TO_37)[types]
    slots = torch.as_tensor(residues.ATOM14_MASK)[types]
    truth, mask = published["given/truth_atoms"][None], published["given/truth_mask"][None]
    atoms = truth.gather(2, to37[..., None].expand(*to37.shape, 3)) * slots[..., None]
    mask = mask.gather(2, to37) * slots
    predicted = published["given/atoms14"][None]
    assert torch.equal(
        rename_symmetric(types, predicted, atoms, mask)[2][0].float(), published["loss/renamed"]
    )
    assert published["loss/renamed"].sum() > 1


def test_built_atoms_give_back_frames_and_torsions() -> None:
    types, rotation, origin, angles, (rotations, origins, atoms) = built()
    all_atoms, mask = atom14_to_atom37(atoms, types)
    frames, exists, _ = true_groups(Truth(types, all_atoms, mask))
    there = exists > 0
    assert there[0, :, 0].all()
    assert torch.allclose(frames.rotation[there], rotations[there], atol=2e-2)
    assert torch.allclose(frames.translation[there], origins[there], atol=1e-2)
    computed, _, known = torsion_angles(types, all_atoms, mask)
    chi = known[..., 3:] > 0
    assert chi.sum() == sum(residues.CHI_MASK[:20].sum(1)[types[0]])
    assert torch.allclose(computed[..., 3:, :][chi], angles[..., 3:, :][chi], atol=2e-2)


def test_fape_of_the_truth_and_of_a_moved_copy_is_nearly_zero() -> None:
    types, rotation, origin, _, (_, _, atoms) = built()
    points = atoms.flatten(1, 2)
    frames = Frames(rotation, origin)
    ones, there = torch.ones(1, 20), torch.ones(1, points.shape[1])
    q, _ = torch.linalg.qr(torch.randn(3, 3))
    q = q * torch.linalg.det(q)
    moved = Frames(q @ rotation, origin @ q.T + 3)
    same = fape(moved, frames, ones, points @ q.T + 3, points, there)
    assert float(same) < 2e-3
    mirrored = points * torch.tensor([1.0, 1.0, -1.0])
    assert float(fape(frames, frames, ones, mirrored, points, there)) > 0.3


def test_symmetric_names_are_exchanged_where_that_fits_better() -> None:
    types, *_, (_, _, atoms) = built("DEFYA")
    mask = torch.as_tensor(residues.ATOM14_MASK)[types]
    swapped = atoms.clone()
    for number, letter in enumerate("DEFY"):
        names = residues.ATOM14[residues.RESIDUES.index(letter)]
        for one, other in residues.RENAMED[letter]:
            a, b = names.index(one), names.index(other)
            swapped[0, number, [a, b]] = atoms[0, number, [b, a]]
    chosen, _, renamed = rename_symmetric(types, atoms, swapped, mask)
    assert renamed[0].tolist() == [True] * 4 + [False]
    assert torch.allclose(chosen, atoms)
    assert not rename_symmetric(types, atoms, atoms, mask)[2].any()


def test_distogram_loss_knows_the_right_class() -> None:
    types, *_, (_, _, atoms) = built()
    truth = Truth(types, *atom14_to_atom37(atoms, types))
    from sciml.protein.alphafold.confidence import distogram_edges
    from sciml.protein.alphafold.embedders import pseudo_beta

    beta = pseudo_beta(types, truth.atoms)
    classes = torch.bucketize(torch.cdist(beta, beta), distogram_edges())
    logits = 20.0 * torch.nn.functional.one_hot(classes, 64).float()
    assert float(distogram_loss(logits, truth)) < 0.05
    assert float(distogram_loss(torch.zeros(1, 20, 20, 64), truth)) == pytest.approx(np.log(64))


def test_violations_are_counted() -> None:
    types = torch.zeros(1, 3, dtype=torch.long)  # alanines, far apart: broken bonds, no clash
    atoms = torch.zeros(1, 3, 14, 3)
    atoms[0, :, :5] = torch.as_tensor(residues.ATOM14_LOCAL[0, :5])
    atoms[0, :, :, 0] += 10.0 * torch.arange(3)[:, None]
    mask, index = torch.ones(1, 3), torch.arange(3)[None]
    counts = count_violations(types, atoms, mask, index)
    assert counts["broken_bonds"] == 2 and counts["clashing_atoms"] == 0
    assert count_violations(types, atoms, mask, index * 5)["broken_bonds"] == 0
    near = atoms.clone()
    near[0, 2] = near[0, 0] + 0.3
    overlap, _ = clashes(types, near, mask, index)
    assert (overlap[0, 0] > 0).any() and (overlap[0, 1] == 0).all()
    near.requires_grad_(True)
    violation_loss(types, near, mask, index).backward()
    assert near.grad is not None and near.grad.isfinite().all()


def test_a_small_network_learns_one_chain() -> None:
    torch.manual_seed(0)
    config = AlphaFoldConfig(
        msa_dim=16, pair_dim=8, extra_dim=8, single_dim=16, blocks=1, extra_blocks=1, msa_heads=2,
        column_heads=2, pair_heads=2, outer_dim=4, triangle_dim=8, structure_dim=16, ipa_heads=2,
        scalar_qk=4, scalar_v=4, point_qk=2, point_v=2, angle_dim=8, plddt_dim=8,
        structure_layers=2, templates=None,
    )  # fmt: skip
    model = AlphaFold(config).train()
    model.checkpoint_blocks = True
    types, *_, (_, _, atoms) = built("ACDEFGHIKL")
    truth = Truth(types, *atom14_to_atom37(atoms, types))
    n = 10
    features = {
        "aatype": types,
        "residue_index": torch.arange(n)[None],
        "seq_mask": torch.ones(1, n),
        "target_feat": torch.nn.functional.one_hot(types + 1, 22).float(),
        "msa_feat": torch.randn(1, 3, n, 49),
        "msa_mask": torch.ones(1, 3, n),
        "extra_msa": torch.randint(0, 21, (1, 4, n)),
        "extra_msa_mask": torch.ones(1, 4, n),
        "extra_has_deletion": torch.zeros(1, 4, n),
        "extra_deletion_value": torch.zeros(1, 4, n),
        "true_msa": torch.randint(0, 21, (1, 3, n)),
        "bert_mask": (torch.rand(1, 3, n) < 0.3).float(),
    }
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    weights = LossWeights(resolved=0.01, violation=0.01)
    losses = []
    for _ in range(25):
        terms = total_loss(model(features), truth, features, weights)
        optimizer.zero_grad()
        terms["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert np.isfinite(losses).all() and losses[-1] < 0.8 * losses[0]
    used = [name for name, p in model.named_parameters() if p.grad is None]
    assert not used
