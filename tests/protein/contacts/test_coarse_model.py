"""Coarse folding: a fold from its own distances, and its hand."""

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.protein.contacts.coarse_model import (
    CENTERS,
    dihedrals,
    fold,
    local_structure,
    sheet_twist,
    side_chains,
)
from sciml.protein.contacts.distogram import EDGES
from sciml.protein.contacts.topologies import made_folds
from sciml.protein.measure import metrics


def known(ca: np.ndarray) -> np.ndarray:
    """[N, N, 16] classes of the CB distances, a tenth of the weight spread over all."""
    cb = side_chains(torch.as_tensor(ca, dtype=torch.float32)[None])[0].numpy()
    classes = np.searchsorted(EDGES, metrics.distances(cb), side="right")
    return 0.9 * np.eye(len(CENTERS))[classes] + 0.1 / len(CENTERS)


def bundle() -> np.ndarray:
    """CA positions of three right-handed helices side by side, joined by loops of five."""
    turn = np.radians(100) * np.arange(16)
    up = np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 1.5 * np.arange(16)], 1)
    down = up * [1, -1, -1] + [0, 0, 22.5]
    parts = [up, down + [9.5, 0, 0], up + [4.75, 8.2, 0]]
    chain = [parts[0]]
    for part in parts[1:]:
        start, stop = chain[-1][-1], part[0]
        share = np.linspace(0, 1, 7)[1:-1, None]
        bow = np.sin(np.pi * share) * 5 * np.sign(start[2] - 11) * np.array([0, 0, 1])
        chain += [start + share * (stop - start) + bow, part]
    return np.concatenate(chain)


def sheet(turn: float) -> np.ndarray:
    """Four strands of nine residues, 4.8 A apart, up and down, each `turn` degrees on from the
    one before about the way across them; loops of four."""
    chain: list[np.ndarray] = []
    for strand in range(4):
        place = 3.3 * (np.arange(9) - 4.0) * (-1) ** strand
        angle = np.radians(turn * strand)
        pleat = 0.9 * (-1.0) ** np.arange(9)
        points = np.stack(
            [np.full(9, 4.8 * strand), place * np.cos(angle), place * np.sin(angle) + pleat], 1
        )
        if chain:
            start, stop = chain[-1], points[0]
            out = np.array([0, np.cos(angle), np.sin(angle)]) * (-1) ** (strand + 1)
            for share in (0.2, 0.4, 0.6, 0.8):
                bow = 6 * np.sin(np.pi * share) * out
                chain.append(start + share * (stop - start) + bow)
        chain += list(points)
    return np.array(chain)


def test_sheets_turn_as_in_nature() -> None:
    left, right = sheet(-20), sheet(20)
    assert sheet_twist(left, known(left)) < -5 and sheet_twist(right, known(right)) > 5
    assert abs(sheet_twist(sheet(0), known(sheet(0)))) < 1
    mirrored = left * np.array([1, 1, -1])
    assert sheet_twist(mirrored, known(left)) == pytest.approx(-sheet_twist(left, known(left)))


def test_the_hand_of_a_sheet_is_found() -> None:
    chain = sheet(-25)
    model = fold(known(chain), starts=2, steps=150)
    mirrored = model.ca * np.array([1, 1, -1])
    assert metrics.tm_score(model.ca, chain) > metrics.tm_score(mirrored, chain)


def test_dihedral_angles() -> None:
    for angle in (-170.0, -60.0, 50.0, 120.0):
        phi = np.radians(angle)
        points = np.array(
            [[1, 0, 0], [0, 0, 0], [0, 0, 1], [np.cos(phi), np.sin(phi), 1]], np.float64
        )
        cosine, sine = dihedrals(torch.as_tensor(100 * points)[None])
        assert np.degrees(np.arctan2(float(sine), float(cosine))) == pytest.approx(angle, abs=0.1)


def test_helices_are_seen_in_local_distances() -> None:
    chain = bundle()
    helical, extended = local_structure(known(chain))
    assert helical[2:10].min() > 0.6 and extended[2:10].max() < 0.2
    straight = np.stack([3.4 * np.arange(20), 0.9 * (-1.0) ** np.arange(20), np.zeros(20)], 1)
    helical, extended = local_structure(known(straight))
    assert helical[2:10].max() < 0.2 and extended[2:10].min() > 0.6


def test_the_right_hand_is_found() -> None:
    chain = bundle()
    model = fold(known(chain), starts=2, steps=150)
    mirrored = model.ca * np.array([1, 1, -1])
    assert metrics.tm_score(model.ca, chain) > 0.6 > metrics.tm_score(mirrored, chain)


def test_a_made_fold_comes_back() -> None:
    ca = made_folds(np.random.default_rng(5), np.array([36]))[0].ca
    model = fold(known(ca), starts=2, steps=150)
    mirrored = model.ca * np.array([1, 1, -1])
    assert max(metrics.tm_score(x, ca) for x in (model.ca, mirrored)) > 0.5
    assert np.abs(np.linalg.norm(np.diff(model.ca, axis=0), axis=1) - 3.8).mean() < 0.4
    with pytest.raises(InputError, match="N >= 4"):
        fold(known(ca)[:3, :3])
