"""Folds for generated families: made from nothing, or read from structures.

A made fold is a chain of helices, strands and loops, folded by restraints (strand ladders, helix
geometry, compactness). A read fold comes from PDB or mmCIF files, or from chain files in the layout
of the PyPI package cgdms 1.0 (MIT licence; Greener and Jones, PLoS ONE 16, e0256990, 2021): a line
of residues, a line of secondary structure, then per line the N, CA, C and side-chain centroid of a
residue. Secondary structure from CA distances: P-SEA, Labesse et al., CABIOS 13, 291 (1997).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.protein.io.residues import RESIDUES

LONGEST = 2000


@dataclass
class Fold:
    """A chain.

    Attributes:
        name: of the chain.
        ca, cb: [L, 3] CA and CB (glycine: CA, made folds: pseudo-CB) positions [A].
        secondary: letters H, E and L.
        native: [L] residue types 0..19 of its sequence; None for a made fold.
    """

    name: str
    ca: np.ndarray
    cb: np.ndarray
    secondary: str
    native: np.ndarray | None = None


def secondary_of_trace(ca: np.ndarray) -> str:
    """H, E or L from the CA distances to the second, third and fourth next residue (P-SEA)."""
    n = len(ca)
    kind = np.full(n, "L")
    ideal = {"H": ((5.5, 0.5), (5.3, 0.5), (6.4, 0.6)), "E": ((6.7, 0.6), (9.9, 0.9), (12.4, 1.1))}
    for letter, limits in ideal.items():
        fits = np.ones(max(0, n - 4), bool)
        for step, (distance, slack) in enumerate(limits, 2):
            gap = np.linalg.norm(ca[step:] - ca[:-step], axis=1)[: len(fits)]
            fits &= np.abs(gap - distance) <= slack
        for start in np.flatnonzero(fits):
            kind[start : start + 5] = letter
    return "".join(kind)


def ideal_cb(n: np.ndarray, ca: np.ndarray, c: np.ndarray) -> np.ndarray:
    """[L, 3] CB positions that tetrahedral geometry gives from N, CA and C [A]."""
    first, second = ca - n, c - ca
    normal = np.cross(first, second)
    return ca - 0.58273431 * normal + 0.56802827 * first - 0.54067466 * second


def _read_chain_text(path: Path) -> Fold | None:
    """A chain file of cgdms; None where its residues are not the twenty."""
    lines = path.read_text(encoding="ascii", errors="replace").split("\n", 2)
    if len(lines) < 3 or not lines[0] or set(lines[0]) - set(RESIDUES):
        return None
    try:
        numbers = np.array(lines[2].split(), np.float64)
    except ValueError as error:
        raise InputError(f"holds something that is no number ({error})", where=path) from error
    if numbers.size != 12 * len(lines[0]) or not np.isfinite(numbers).all():
        raise InputError("needs N, CA, C and centroid for each residue", where=path)
    n, ca, c, _ = numbers.reshape(-1, 4, 3).transpose(1, 0, 2)
    native = np.array([RESIDUES.index(letter) for letter in lines[0]])
    cb = np.where((native == RESIDUES.index("G"))[:, None], ca, ideal_cb(n, ca, c))
    return Fold(path.stem, ca, cb, secondary_of_trace(ca), native)


def long_range(fold: Fold) -> float:
    """Contacts between residues 24 or more apart, per residue."""
    gap = ((fold.cb[:, None] - fold.cb[None]) ** 2).sum(-1)
    return float((np.triu(gap, 24) * (np.triu(gap, 24) < 64) > 0).sum() / len(gap))


def read_folds(
    folder: str | Path,
    *,
    length: tuple[int, int] = (20, LONGEST),
    without: Collection[str] = (),
    contacts: float = 0.0,
    max_folds: int = 0,
    seed: int = 0,
) -> list[Fold]:
    """Chains of a folder's structure files (.pdb, .cif, .ent) and chain files (.txt).

    Args:
        folder: searched with its sub-folders.
        length: shortest and longest chain kept [residues].
        without: names (file names without suffix) to leave out, homologues of test data.
        contacts: fewest long-range contacts (24 or more residues apart, CB closer than 8 A) per
            residue; lone helices and fragments have few.
        max_folds: largest number of chains, chosen at random; 0: all.
        seed: of that choice.

    Raises:
        InputError: a file is damaged, or nothing is left.
    """
    from sciml.protein.io.structure import read_chains

    folder = Path(folder)
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in (".txt", ".pdb", ".cif", ".ent") and path.stem not in set(without)
    ]
    if max_folds:
        order = np.random.default_rng(seed).permutation(len(files))
        files = [files[k] for k in order]
    folds: list[Fold] = []
    for path in files:
        if path.suffix.lower() == ".txt":
            chain = _read_chain_text(path)
            if chain is None:
                continue
        else:
            first = read_chains(path)[0]
            ca, cb = first.points(), first.beta()
            if not np.isfinite(ca).all() or first.types.max() >= 20:
                continue
            chain = Fold(path.stem, ca, cb, secondary_of_trace(ca), first.types.astype(np.int64))
        if length[0] <= len(chain.ca) <= length[1] and long_range(chain) >= contacts:
            folds.append(chain)
        if max_folds and len(folds) == max_folds:
            break
    if not folds:
        raise InputError(
            f"holds no chains of {length[0]} to {length[1]} residues (.pdb, .cif, .txt)",
            where=folder,
        )
    return folds


def layout(rng: np.random.Generator, length: int) -> tuple[str, list[tuple[int, int, bool]]]:
    """Secondary structure of a chain and its strand pairs.

    Returns:
        letters H, E, L; and (first residue, first residue, antiparallel) with the length implied
        by the shorter strand: residue a + k pairs with b + k, or with b + size - 1 - k.
    """
    helical = rng.choice([0.15, 0.5, 0.85], p=[0.4, 0.4, 0.2])
    letters: list[str] = ["L"] * int(rng.integers(1, 5))
    strands: list[tuple[int, int]] = []
    while len(letters) < length - 4:
        if rng.random() < helical:
            letters += "H" * int(rng.integers(8, 19))
        else:
            size = int(rng.integers(4, 9))
            strands.append((len(letters), size))
            letters += "E" * size
        letters += "L" * int(rng.integers(2, 8))
    letters = (letters + ["L"] * length)[:length]
    strands = [(start, size) for start, size in strands if start + size <= length - 1]
    pairs = []
    if len(strands) > 1:
        # A sheet is an order of the strands; neighbours in the chain often are neighbours in it.
        order = [0]
        for strand in range(1, len(strands)):
            end = order[-1] == strand - 1 or rng.random() < 0.5
            order.insert(len(order) if end else 0, strand)
        for one, other in zip(order[:-1], order[1:], strict=True):
            near = abs(one - other) == 1
            gap = strands[max(one, other)][0] - sum(strands[min(one, other)])
            anti = bool(rng.random() < (0.95 if near and gap < 7 else 0.4))
            pairs.append((one, other, anti))
        if len(strands) > 4 and rng.random() < 0.4:  # a barrel closes
            pairs.append((order[0], order[-1], bool(rng.random() < 0.6)))
    return "".join(letters), [
        (strands[one][0], strands[other][0], anti) for one, other, anti in pairs
    ]


def restraints(
    letters: str, pairs: list[tuple[int, int, bool]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper CA distance bounds [A] and their weights, [L, L] each, upper triangle."""
    n = len(letters)
    low, high, weight = np.full((n, n), 5.2), np.full((n, n), 1e3), np.ones((n, n))

    def bound(i: int, j: int, least: float, most: float, strength: float = 5.0) -> None:
        i, j = min(i, j), max(i, j)
        if 0 <= i < j < n:
            low[i, j], high[i, j], weight[i, j] = least, most, strength

    for i in range(n):
        bound(i, i + 1, 3.8, 3.8, 20)
        bound(i, i + 2, 5.0, 7.2)
        for kind, ideal in (("H", (5.5, 5.1, 6.2, 8.6)), ("E", (6.5, 9.9, 13.0))):
            for step, distance in enumerate(ideal, 2):
                if i + step < n and set(letters[i : i + step + 1]) == {kind}:
                    slack = 0.2 if kind == "H" else 0.6
                    bound(i, i + step, distance - slack, distance + slack)
    size = {}
    start = None
    for i, letter in enumerate(letters + "L"):
        if letter == "E" and start is None:
            start = i
        elif letter != "E" and start is not None:
            size[start], start = i - start, None
    for a, b, anti in pairs:
        common = min(size.get(a, 0), size.get(b, 0))
        for k in range(common):
            partner = b + (common - 1 - k if anti else k)
            bound(a + k, partner, 4.6, 5.4)
    return low, high, weight


def embed(
    low: np.ndarray, high: np.ndarray, weight: np.ndarray, seed: int, steps: int = 400
) -> np.ndarray:
    """CA positions [F, L, 3] [A] that meet the bounds [F, L, L], compact as globular proteins are.

    Residues beyond a chain's end have zero weight. Radius of gyration: 2.2 L^0.38 A
    (Skolnick et al., JMB 265, 217, 1997).
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    folds, n, _ = low.shape
    row, column = np.triu_indices(n, 1)
    least, most, strength = (
        torch.as_tensor(x[:, row, column], dtype=torch.float32) for x in (low, high, weight)
    )
    real = torch.as_tensor((weight.sum((1, 2)) > 0)[:, None] * np.ones(n), dtype=torch.float32)
    used = torch.as_tensor((weight + weight.transpose(0, 2, 1)).sum(2) > 0, dtype=torch.float32)
    real = real * used
    count = real.sum(1)
    target = 2.2 * count**0.38
    walk = torch.nn.functional.normalize(torch.randn(folds, n, 3, generator=generator), dim=-1)
    x = (3.8 * walk).cumsum(1).requires_grad_(True)
    optimizer = torch.optim.Adam([x], lr=0.5)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * (1 - step / steps) + 0.02
        gap = (x[:, row] - x[:, column]).square().sum(-1).add(1e-4).sqrt()
        fault = torch.relu(least - gap) + torch.relu(gap - most)
        cost = torch.where(fault < 3, fault.square(), 6 * fault - 9)
        center = (x * real[..., None]).sum(1) / count[:, None]
        spread = ((x - center[:, None]).square().sum(-1) * real).sum(1) / count
        # Chains first find their partners as ghosts that pass through one another.
        ramp = torch.where(most < 1e3, strength, strength * min(1.0, 1.5 * step / steps))
        loss = (cost * ramp).sum() + (count * torch.relu(spread.sqrt() - target).square()).sum()
        optimizer.zero_grad()
        loss.backward()
        noise = 0.3 * max(0.0, 0.6 - step / steps)
        optimizer.step()
        if noise:
            with torch.no_grad():
                x += noise * torch.randn(x.shape, generator=generator)
    return x.detach().numpy()


def pseudo_cb(ca: np.ndarray) -> np.ndarray:
    """[L, 3] CB of L-residues from a CA trace [L, 3] [A], within 0.4 A on the mean.

    They lie 1.53 A from CA, away from its neighbours, on the side that the hand of L-residues says.
    """
    before = ca - np.roll(ca, 1, 0)
    after = np.roll(ca, -1, 0) - ca
    before[0], after[-1] = after[0], before[-1]
    out = before - after
    side = np.cross(after, before)
    out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-6
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-6
    return ca + 1.53 * (0.82 * out + 0.57 * side)


def made_folds(rng: np.random.Generator, lengths: np.ndarray) -> list[Fold]:
    """Chains of these lengths, folded together."""
    plans = [layout(rng, int(n)) for n in lengths]
    longest = int(lengths.max())
    bounds = np.zeros((3, len(lengths), longest, longest))
    for number, (letters, pairs) in enumerate(plans):
        n = len(letters)
        bounds[:, number, :n, :n] = restraints(letters, pairs)
    low, high, weight = bounds
    positions = embed(low, high, weight, seed=int(rng.integers(2**31)))
    folds = []
    for number, (letters, _) in enumerate(plans):
        ca = positions[number, : len(letters)].astype(np.float64)
        folds.append(Fold(f"made_{number}", ca, pseudo_cb(ca), letters))
    return folds
