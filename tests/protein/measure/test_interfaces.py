"""Scores of complexes: equal chains matched, DockQ's parts, interface lDDT, pDockQ."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein.io.residues import ATOM37_INDEX
from sciml.protein.measure.chains import match_chains, matched_residues
from sciml.protein.measure.interfaces import (
    complex_quality,
    interface_quality,
    pdockq,
    residue_distances,
)


def turn(seed: int) -> np.ndarray:
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return q * np.sign(np.linalg.det(q))


def helix(n: int, seed: int) -> np.ndarray:
    """Backbone and CB of a chain, [n, 37, 3], NaN elsewhere."""
    angle = np.arange(n) * np.deg2rad(100)
    ca = np.stack([2.3 * np.cos(angle), 2.3 * np.sin(angle), 1.5 * np.arange(n)], -1)
    atoms = np.full((n, 37, 3), np.nan)
    offsets = np.random.default_rng(seed).normal(0, 1.0, (n, 5, 3))
    for name, offset in zip(("N", "CA", "C", "O", "CB"), offsets.swapaxes(0, 1), strict=True):
        atoms[:, ATOM37_INDEX[name]] = ca + (0 if name == "CA" else offset)
    return atoms


def assembly(sizes: list[tuple[int, int]], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Chains (length, sequence) side by side, 8 A apart; atoms and (chain, sequence, residue)."""
    atoms, numbers = [], []
    for chain, (length, sequence) in enumerate(sizes, 1):
        place = np.array([8.0 * (chain % 3), 8.0 * (chain // 3), 3.0 * chain])
        atoms.append(helix(length, sequence) @ turn(seed * chain).T * 1.0 + place)
        numbers.append(np.stack([np.full(length, chain), np.full(length, sequence),
                                 np.arange(length)], -1))  # fmt: skip
    return np.concatenate(atoms), np.concatenate(numbers)


@pytest.mark.parametrize("order", list(permutations((2, 3, 4))))
def test_equal_chains_are_matched(order: tuple[int, ...]) -> None:
    truth, numbers = assembly([(14, 1), (9, 2), (9, 2), (9, 2)])
    names = {1: 1} | dict(zip((2, 3, 4), order, strict=True))
    parts = [truth[numbers[:, 0] == names[chain]] for chain in (1, 2, 3, 4)]
    model = np.concatenate(parts) @ turn(5).T + [30, -10, 4]
    model = model + np.random.default_rng(1).normal(0, 0.2, model.shape)
    assert match_chains(model[:, 1], numbers, truth[:, 1], numbers) == names
    score = complex_quality(model, numbers, truth, numbers)
    assert score.chain_of == names and score.dockq > 0.9 and score.tm_score > 0.9
    crop = np.arange(len(model)) % 9 > 2  # also by part of the residues
    assert match_chains(model[crop, 1], numbers[crop], truth[:, 1], numbers) == names
    source = matched_residues(numbers[crop], numbers, names)
    assert (numbers[source, 2] == numbers[crop, 2]).all()
    assert (numbers[source, 0] == [names[c] for c in numbers[crop, 0]]).all()


def test_a_mirrored_pair_of_homomers_is_no_perfect_model() -> None:
    truth, numbers = assembly([(12, 1), (12, 1)])
    score = complex_quality(truth * [1, 1, -1], numbers, truth, numbers)
    assert score.dockq < 0.7
    assert complex_quality(truth, numbers, truth, numbers).dockq == pytest.approx(1)


def test_a_truth_without_a_chain_is_named() -> None:
    truth, numbers = assembly([(9, 1), (9, 1)])
    part = numbers[:, 0] == 1
    with pytest.raises(InputError, match="the model has 2 chains of sequence 1, the truth 1"):
        match_chains(truth[:, 1], numbers, truth[part, 1], numbers[part])


def test_parts_of_dockq() -> None:
    truth, numbers = assembly([(16, 1), (10, 2)])
    chains = numbers[:, 0]
    same = interface_quality(truth @ turn(3).T + 7, truth, chains, 1, 2)
    assert same is not None and same.contacts > 5
    assert (same.fnat, same.lddt, same.dockq) == pytest.approx((1, 1, 1))
    assert same.irmsd < 1e-6 > same.lrmsd
    # The smaller chain 5 A along z: no superposition of the larger one undoes it.
    moved = truth + np.where(chains == 2, 5.0, 0)[:, None, None] * np.array([0, 0, 1])
    shifted = interface_quality(moved, truth, chains, 1, 2)
    assert shifted is not None and shifted.lrmsd == pytest.approx(5.0)
    assert shifted.fnat < 1 and 0 < shifted.irmsd < 5 and shifted.lddt < 1
    want = (shifted.fnat + 1 / (1 + (shifted.irmsd / 1.5) ** 2) + 1 / (1 + (5 / 8.5) ** 2)) / 3
    assert shifted.dockq == pytest.approx(want)
    far = truth + np.where(chains == 2, 500.0, 0)[:, None, None]
    apart = interface_quality(far, truth, chains, 1, 2)
    assert apart is not None and apart.fnat == apart.lddt == 0
    assert interface_quality(truth, far, chains, 1, 2) is None  # no interface in the truth
    lost = truth.copy()
    lost[chains == 2, 4:] = np.nan
    missing = interface_quality(lost, truth, chains, 1, 2)
    assert missing is not None and missing.fnat <= 1 and missing.irmsd < 1e-6


def test_residue_distances_are_of_the_nearest_atoms() -> None:
    truth, numbers = assembly([(7, 1), (6, 2)])
    one, other = truth[numbers[:, 0] == 1], truth[numbers[:, 0] == 2]
    other[2] = np.nan
    apart = residue_distances(one, other)
    for i in range(7):
        for j in range(6):
            pairs = np.sqrt(((one[i][:, None] - other[j][None]) ** 2).sum(-1))
            want = np.inf if j == 2 else np.nanmin(pairs)
            assert apart[i, j] == pytest.approx(want)


def test_pdockq_rises_with_confidence_and_contacts() -> None:
    truth, numbers = assembly([(16, 1), (10, 2)])
    chains, sure = numbers[:, 0], np.full(26, 95.0)
    assert pdockq(truth, sure, chains, 1, 2) > pdockq(truth, sure / 2, chains, 1, 2) > 0.018
    far = truth + np.where(chains == 2, 50.0, 0)[:, None, None]
    assert pdockq(far, sure, chains, 1, 2) == 0


def test_equals_dockq(fixture_file: Callable[[str], Path]) -> None:
    """Six models of a made complex, scored by the program (`make/dockq_scores.py`)."""
    data = np.load(fixture_file("protein/dockq.npz"))
    chains, slots = data["chains"], [ATOM37_INDEX[name] for name in ("N", "CA", "C", "O", "CB")]

    def full(points: np.ndarray) -> np.ndarray:
        atoms = np.full((len(points), 37, 3), np.nan)
        atoms[:, slots] = points
        return atoms

    seen = []
    for model, scores in zip(data["models"], data["scores"], strict=True):
        for (one, other), want in zip(((1, 2), (1, 3), (2, 3)), scores, strict=True):
            have = interface_quality(full(model), full(data["truth"]), chains, one, other)
            assert have is not None
            values = (have.dockq, have.fnat, have.irmsd, have.lrmsd, have.contacts)
            np.testing.assert_allclose(values, want, atol=1e-3)
            seen.append(have.dockq)
    assert min(seen) < 0.35 and max(seen) > 0.99
