"""Synthetic protein families: a fold, a Potts model on its contacts, sequences along a tree.

No experimental data goes in. A chain of helices, strands and loops is folded by restraints
(strand ladders, helix geometry, compactness); residues in contact get couplings with a
physico-chemical and a random part, residues alone get fields of burial and secondary structure;
sequences then evolve along a random tree by Gibbs moves of that Potts model, and gaps, fragments
and misaligned pieces are added. Residue scales: Kyte and Doolittle, JMB 157, 105 (1982)
(hydropathy); Zamyatnin (1972) (volume); Chou and Fasman (1978) (helix and strand propensity).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from sciml.errors import InputError
from sciml.protein.alignment import Alignment
from sciml.protein.residues import GAP, RESIDUES


def _scale(values: str) -> np.ndarray:
    """One value a residue in the order of `RESIDUES`, made to mean 0 and deviation 1."""
    array = np.array([float(v) for v in values.split()])
    return (array - array.mean()) / array.std()


HYDROPATHY = _scale(
    "1.8 -4.5 -3.5 -3.5 2.5 -3.5 -3.5 -0.4 -3.2 4.5 3.8 -3.9 1.9 2.8 -1.6 -0.8 -0.7 -0.9 -1.3 4.2"
)
VOLUME = _scale(
    "88.6 173.4 114.1 111.1 108.5 143.8 138.4 60.1 153.2 166.7 166.7 168.6 162.9 189.9 112.7 89 "
    "116.1 227.8 193.6 140"
)
HELIX = _scale(
    "1.42 0.98 0.67 1.01 0.70 1.11 1.51 0.57 1.00 1.08 1.21 1.16 1.45 1.13 0.57 0.77 0.83 1.08 "
    "0.69 1.06"
)
STRAND = _scale(
    "0.83 0.93 0.89 0.54 1.19 1.10 0.37 0.75 0.87 1.60 1.30 0.74 1.05 1.38 0.55 0.75 1.19 1.37 "
    "1.47 1.70"
)
CHARGE = np.zeros(20)
for _letter, _charge in {"R": 1.0, "K": 1.0, "H": 0.3, "D": -1.0, "E": -1.0}.items():
    CHARGE[RESIDUES.index(_letter)] = _charge
BACKGROUND = np.log(
    np.array(
        [float(v) for v in
         "8.3 5.5 4.1 5.5 1.4 3.9 6.7 7.1 2.3 5.9 9.7 5.8 2.4 3.9 4.7 6.6 5.3 1.1 2.9 6.9".split()]
    )
)  # fmt: skip
"""Logarithm of the residues' shares in UniProtKB/Swiss-Prot [%]."""


@dataclass
class Family:
    """A generated family.

    Attributes:
        alignment: its sequences; the first row has no gaps.
        ca, cb: [L, 3] CA and pseudo-CB positions [A].
        secondary: letters H, E and L.
    """

    alignment: Alignment
    ca: np.ndarray
    cb: np.ndarray
    secondary: str


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
    """Side-chain directions from a CA trace [L, 3]: CB 1.53 A from CA, away from its neighbours."""
    before = ca - np.roll(ca, 1, 0)
    after = np.roll(ca, -1, 0) - ca
    before[0], after[-1] = after[0], before[-1]
    out = before - after
    side = np.cross(before, after)
    out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-6
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-6
    return ca + 1.53 * (0.82 * out + 0.57 * side)


def potts(
    rng: np.random.Generator, cb: np.ndarray, letters: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fields [L, 20], coupled partners [L, K] (-1: none) and their couplings [L, K, 20, 20]."""
    n = len(cb)
    gap = np.sqrt(((cb[:, None] - cb[None]) ** 2).sum(-1))
    burial = (gap < 10).sum(1).astype(float)
    burial = (burial - burial.mean()) / (burial.std() + 1e-6)
    fields = np.tile(BACKGROUND, (n, 1)) + 0.35 * burial[:, None] * HYDROPATHY
    for i, letter in enumerate(letters):
        fields[i] += 0.35 * {"H": HELIX, "E": STRAND}.get(letter, -0.5 * (HELIX + STRAND))
    fields += rng.normal(0, 0.5, (n, 20))
    conserved = rng.random(n) < 0.12
    fields[conserved] += rng.normal(0, 1.6, (conserved.sum(), 20))

    strength = rng.choice([0.35, 0.5, 0.65, 0.9]) * rng.lognormal(0, 0.5, (n, n))
    close = (gap < 8) & (np.abs(np.subtract.outer(range(n), range(n))) >= 2)
    coupled = close & (rng.random((n, n)) < 0.75)
    stray = (rng.random((n, n)) < 0.012) & ~close  # contacts of other states and partners
    coupled |= stray
    partners = np.full((n, 40), -1)
    couplings = np.zeros((n, 40, 20, 20), np.float32)
    filled = np.zeros(n, int)
    for i in range(n):
        for j in range(i + 1, n):
            if not coupled[i, j] or filled[i] == 40 or filled[j] == 40:
                continue
            matrix = (
                0.25 * rng.random() * np.outer(HYDROPATHY, HYDROPATHY)
                - 0.9 * rng.random() * np.outer(CHARGE, CHARGE)
                - 0.25 * rng.random() * np.outer(VOLUME, VOLUME)
                + 0.55 * rng.normal(0, 1, (20, 20))
            ) * strength[i, j]
            for one, other, values in ((i, j, matrix), (j, i, matrix.T)):
                partners[one, filled[one]] = other
                couplings[one, filled[one]] = values
                filled[one] += 1
    return fields.astype(np.float32), partners, couplings


@njit(cache=True)
def _evolve(
    fields: np.ndarray,
    partners: np.ndarray,
    couplings: np.ndarray,
    parents: np.ndarray,
    moves: np.ndarray,
    seed: int,
) -> np.ndarray:
    """[R, L] residues: row r starts as its parent (an earlier row) and makes `moves[r]` moves."""
    np.random.seed(seed)
    count, n = len(parents), len(fields)
    rows = np.zeros((count, n), np.uint8)
    energy = np.empty(20)
    for r in range(count):
        if r == 0:
            for i in range(n):
                rows[0, i] = np.random.randint(0, 20)
        else:
            rows[r] = rows[parents[r]]
        for _ in range(moves[r]):
            i = np.random.randint(0, n)
            for a in range(20):
                energy[a] = fields[i, a]
            for k in range(partners.shape[1]):
                j = partners[i, k]
                if j < 0:
                    break
                b = rows[r, j]
                for a in range(20):
                    energy[a] += couplings[i, k, a, b]
            top = energy.max()
            total = 0.0
            for a in range(20):
                energy[a] = np.exp(energy[a] - top)
                total += energy[a]
            draw = np.random.random() * total
            chosen = 0
            while chosen < 19 and draw > energy[chosen]:
                draw -= energy[chosen]
                chosen += 1
            rows[r, i] = chosen
    return rows


def sequences(rng: np.random.Generator, cb: np.ndarray, letters: str, depth: int) -> np.ndarray:
    """[depth, L] rows with gaps (21); the first is whole."""
    n = len(cb)
    fields, partners, couplings = potts(rng, cb, letters)
    # A few subfamilies, then members: each row descends from an earlier one of its branch.
    parents = np.array([0] + [int(rng.integers(max(0, r // 4), r)) for r in range(1, depth)])
    parents[1:] = np.where(rng.random(depth - 1) < 0.25, 0, parents[1:])
    moves = np.maximum(1, rng.gamma(1.5, 0.9, depth) * n).astype(np.int64)
    moves[0] = 60 * n
    rows = _evolve(fields, partners, couplings, parents, moves, int(rng.integers(2**31)))
    loops = [i for i in range(2, n - 2) if letters[i] == "L"]
    for _ in range(int(rng.integers(0, 4))):  # places where many members lack a loop
        if loops:
            start = int(rng.choice(loops))
            lacking = np.flatnonzero(rng.random(depth) < rng.random() * 0.6)
            rows[lacking, start : min(start + 3, n)] = GAP
    for row in rows[1:]:
        if rng.random() < 0.5:
            row[: int(rng.geometric(0.2)) - 1] = GAP
        if rng.random() < 0.5:
            row[n - int(rng.geometric(0.2)) + 1 :] = GAP
        if rng.random() < 0.15:
            start = int(rng.integers(0, n))
            row[start : start + int(rng.integers(1, 8))] = GAP
        if rng.random() < 0.03:  # a piece aligned one residue off
            start = int(rng.integers(0, n - 8))
            row[start : start + 8] = np.roll(row[start : start + 8], 1)
    whole = rows[0] == GAP
    rows[0][whole] = rng.integers(0, 20, whole.sum())
    return rows


def families(
    count: int, seed: int = 0, *, length: tuple[int, int] = (45, 105), at_once: int = 16
) -> list[Family]:
    """Generate families.

    Args:
        count: how many.
        seed: of every random choice; a family depends on its seed and number only through the
            group of `at_once` that is folded together.
        length: shortest and longest chain.
        at_once: chains folded together.
    """
    if count < 1 or not 20 <= length[0] <= length[1]:
        raise InputError(f"cannot make {count} families of {length[0]} to {length[1]} residues")
    made: list[Family] = []
    for group in range(0, count, at_once):
        rng = np.random.default_rng([seed, group])
        size = min(at_once, count - group)
        lengths = rng.integers(length[0], length[1] + 1, size)
        plans = [layout(rng, int(n)) for n in lengths]
        longest = int(lengths.max())
        bounds = np.zeros((3, size, longest, longest))
        for number, (letters, pairs) in enumerate(plans):
            n = len(letters)
            bounds[:, number, :n, :n] = restraints(letters, pairs)
        low, high, weight = bounds
        positions = embed(low, high, weight, seed=int(rng.integers(2**31)))
        for number, (letters, _) in enumerate(plans):
            ca = positions[number, : len(letters)].astype(np.float64)
            cb = pseudo_cb(ca)
            depth = int(np.exp(rng.uniform(np.log(300), np.log(2000))))
            rows = sequences(rng, cb, letters, depth)
            names = [f"member_{r}" for r in range(depth)]
            title = f"synthetic family {group + number}"
            made.append(Family(Alignment(names, rows, source=title), ca, cb, letters))
    return made


def make(out: Path, count: int = 32, seed: int = 0) -> None:
    """Write families as NAME.a3m (sequences) and NAME.npz (ca, cb [A], secondary structure).

    Args:
        out: folder.
        count: how many families.
        seed: of every random choice.
    """
    from sciml.paths import atomic_write

    for number, family in enumerate(families(count, seed)):
        name = f"family_{number:04d}"
        family.alignment.write(Path(out) / f"{name}.a3m")
        with atomic_write(Path(out) / f"{name}.npz") as temporary, open(temporary, "wb") as file:
            letters = np.frombuffer(family.secondary.encode(), np.uint8)
            np.savez_compressed(file, ca=family.ca, cb=family.cb, secondary=letters)
