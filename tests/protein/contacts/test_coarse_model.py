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
from sciml.protein.contacts.topologies import made_folds, pseudo_cb
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


def atom(a: np.ndarray, b: np.ndarray, c: np.ndarray, bond: float, angle: float, torsion: float):
    """The atom at `bond` [A] from c, `angle` and `torsion` [degrees] from a, b and c."""
    angle, torsion = np.radians(angle), np.radians(torsion)
    along = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, along)
    normal /= np.linalg.norm(normal)
    across = np.cross(normal, along)
    direction = (-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion))
    return c + bond * np.stack([along, across, normal], 1) @ direction


@pytest.mark.parametrize("phi, psi", [(-57, -47), (-120, 130), (-65, 140), (-100, 0)])
def test_side_chains_have_the_hand_of_l_residues(phi: float, psi: float) -> None:
    """On helices, strands and coils built from the geometry of peptides (Engh and Huber, 2001)."""
    points = [np.array([0.0, 0, 0]), np.array([1.458, 0, 0]), np.array([2.0, 1.42, 0])]
    while len(points) < 36:
        for shape in ((1.329, 116.2, psi), (1.458, 121.7, 180.0), (1.525, 111.2, phi)):
            points.append(atom(points[-3], points[-2], points[-1], *shape))
    n, ca, c = np.array(points).reshape(-1, 3, 3).transpose(1, 0, 2)
    # of an L-residue CB lies 122.5 degrees clockwise of C, looking from N to CA
    last = [dihedral_of(c[i - 1], n[i], ca[i], c[i]) for i in range(1, len(ca))]
    cb = [atom(c[i], n[i], ca[i], 1.53, 110.4, -122.5) for i in range(len(ca))]
    assert np.allclose(last, phi, atol=1e-6)
    for guess in (pseudo_cb(ca), side_chains(torch.as_tensor(ca)[None])[0].numpy()):
        inner = slice(1, -1)
        off = np.linalg.norm(guess[inner] - np.array(cb)[inner], axis=1)
        mirrored = np.linalg.norm(2 * plane(ca, guess)[inner] - guess[inner] - np.array(cb)[inner],
                                  axis=1)  # fmt: skip
        assert off.max() < 0.7 < mirrored.min()


def dihedral_of(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
    """Dihedral angle of four points [degrees]."""
    one, two = np.cross(b - a, c - b), np.cross(c - b, d - c)
    sine = np.cross(one, two) @ (c - b) / np.linalg.norm(c - b)
    return float(np.degrees(np.arctan2(sine, one @ two)))


def plane(ca: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points moved into the plane of each CA and its two neighbours."""
    before, after = ca - np.roll(ca, 1, 0), np.roll(ca, -1, 0) - ca
    normal = np.cross(before, after)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return points - ((points - ca) * normal).sum(1, keepdims=True) * normal


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
