"""Synthetic protein families: a fold, a Potts model on its contacts, sequences along a tree.

Folds are made from nothing or read from structures (`topologies`). Residues in contact get
couplings with a physico-chemical and a random part and, where structures are given, the contact
preferences counted in them (`contact_potential`); residues alone get fields of burial, secondary
structure and, where the fold has a sequence, of what replaces its residue (BLOSUM62: Henikoff and
Henikoff, PNAS 89, 10915, 1992). Sequences evolve along a random tree by Gibbs moves of that Potts
model; its branches may be subfamilies with fields of their own. Losses of residues are inherited
along the same tree, and fragments and misaligned pieces are added.
Residue scales: Kyte and Doolittle, JMB 157, 105 (1982) (hydropathy); Zamyatnin (1972) (volume);
Chou and Fasman (1978) (helix and strand propensity).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numba import njit

from sciml.errors import InputError
from sciml.protein.contacts.contact_potential import distance_class, kind_of
from sciml.protein.contacts.topologies import Fold, made_folds, read_folds
from sciml.protein.io.alignment import Alignment, decode
from sciml.protein.io.residues import GAP, RESIDUES


def _scale(values: str) -> np.ndarray:
    """One value per residue in the order of `RESIDUES`, standardised."""
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


@functools.cache
def _replacement() -> np.ndarray:
    """[20, 20] BLOSUM62 as logarithms of odds [nat], in the order of `RESIDUES`."""
    from Bio.Align import substitution_matrices

    table = substitution_matrices.load("BLOSUM62")
    return np.array([[table[a][b] for b in RESIDUES] for a in RESIDUES]) * (np.log(2) / 2)


def potts(
    rng: np.random.Generator, fold: Fold, potential: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fields [L, 20], coupled partners [L, K] (-1: none) and their couplings [L, K, 20, 20].

    `potential` [3, 3, 20, 20] of `contact_potential` is part of the couplings if given. The
    strengths that differ from family to family are drawn here, over wide ranges: a network that
    learns from many families must not rely on one of them.
    """
    n = len(fold.cb)
    gap = np.sqrt(((fold.cb[:, None] - fold.cb[None]) ** 2).sum(-1))
    burial = (gap < 10).sum(1).astype(float)
    burial = (burial - burial.mean()) / (burial.std() + 1e-6)
    fields = np.tile(BACKGROUND, (n, 1)) + rng.uniform(0.1, 0.45) * burial[:, None] * HYDROPATHY
    secondary = rng.uniform(0.1, 0.45)
    for i, letter in enumerate(fold.secondary):
        fields[i] += secondary * {"H": HELIX, "E": STRAND}.get(letter, -0.5 * (HELIX + STRAND))
    fields += rng.normal(0, 0.3, (n, 20))
    conserved = rng.random(n) < rng.uniform(0.05, 0.2)
    if fold.native is None:
        fields[conserved] += rng.normal(0, 1.6, (conserved.sum(), 20))
    else:
        conservation = rng.uniform(0.0, 0.35) * rng.lognormal(0, 0.5, n)
        conservation[conserved] += rng.uniform(0.5, 2.0)
        fields += conservation[:, None] * _replacement()[fold.native]

    # Contacts are coupled more often the nearer they are; a few pairs of other states and
    # partners are, too.
    chance = rng.uniform(0.25, 0.9) / (
        1 + np.exp((gap - rng.uniform(6, 8.5)) / rng.uniform(0.4, 1))
    )
    chance = np.maximum(chance, rng.choice([0.0, 0.004, 0.012]))
    if rng.random() < 0.3:  # a ladder between copies of the chain, as strands of dimers form
        chance = np.maximum(chance, _interface(rng, n))
    coupled = np.triu(rng.random((n, n)) < chance, 2)
    strength = rng.uniform(0.4, 1.6) * rng.lognormal(0, 0.5, (n, n))
    parts = rng.uniform(0, 1, 4) * [0.5, 1.6, 0.5, 0.3] + [0, 0, 0, 0.4]
    preference, weight = np.zeros((n, n, 20, 20), np.float32), 0.0
    if potential is not None:
        preference = potential[distance_class(gap), kind_of(fold.secondary)]
        weight = rng.uniform(0.5, 3.0)
        parts *= [0.5, 0.5, 0.5, rng.uniform(0.4, 1.2)]
    partners = np.full((n, 40), -1)
    couplings = np.zeros((n, 40, 20, 20), np.float32)
    filled = np.zeros(n, int)
    for i, j in rng.permutation(np.argwhere(coupled)):
        if filled[i] == 40 or filled[j] == 40:
            continue
        share = rng.random(3)
        matrix = (
            parts[0] * share[0] * np.outer(HYDROPATHY, HYDROPATHY)
            - parts[1] * share[1] * np.outer(CHARGE, CHARGE)
            - parts[2] * share[2] * np.outer(VOLUME, VOLUME)
            + parts[3] * rng.normal(0, 1, (20, 20))
            + weight * preference[i, j]
        ) * strength[i, j]
        for one, other, values in ((i, j, matrix), (j, i, matrix.T)):
            partners[one, filled[one]] = other
            couplings[one, filled[one]] = values
            filled[one] += 1
    return fields.astype(np.float32), partners[:, : filled.max()], couplings[:, : filled.max()]


def _interface(rng: np.random.Generator, n: int) -> np.ndarray:
    """[L, L] chances of coupling along one ladder of residues, whether or not they touch."""
    chance = np.zeros((n, n))
    size = int(rng.integers(4, 10))
    first, second = rng.integers(0, max(1, n - size), 2)
    steps = np.arange(min(size, n))
    other = second + (steps[::-1] if rng.random() < 0.7 else steps)
    chance[first + steps, other] = chance[other, first + steps] = rng.uniform(0.2, 0.8)
    return chance


@njit(cache=True)
def _evolve(
    first: np.ndarray,
    fields: np.ndarray,
    partners: np.ndarray,
    couplings: np.ndarray,
    parents: np.ndarray,
    moves: np.ndarray,
    subfamily: np.ndarray,
    seed: int,
) -> np.ndarray:
    """[R, L] residues: row r starts as its parent (an earlier row, the first as `first` [L]) and
    makes `moves[r]` moves under the fields [S, L, 20] of its subfamily."""
    np.random.seed(seed)
    count, n = len(parents), fields.shape[1]
    rows = np.zeros((count, n), np.uint8)
    energy = np.empty(20)
    for r in range(count):
        if r == 0:
            rows[0] = first
        else:
            rows[r] = rows[parents[r]]
        for _ in range(moves[r]):
            i = np.random.randint(0, n)
            for a in range(20):
                energy[a] = fields[subfamily[r], i, a]
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


def _losses(rng: np.random.Generator, fold: Fold, parents: np.ndarray) -> np.ndarray:
    """[R, L] residues that a row lacks: its parent's and its own, mostly in loops and at the ends.

    Nothing is lost in the first row.
    """
    n, depth = len(fold.secondary), len(parents)
    loops = [i for i in range(2, n - 2) if fold.secondary[i] == "L"]
    lacks = np.zeros((depth, n), bool)
    rate, ends = rng.uniform(0, 0.12), rng.uniform(0.05, 0.6)
    frayed = rng.uniform(0.08, 0.4)
    own = rng.random(depth) < rate
    for row in range(1, depth):
        lacks[row] = lacks[parents[row]]
        if own[row]:
            start = int(rng.choice(loops)) if loops and rng.random() < 0.8 else int(rng.integers(n))
            lacks[row, start : start + int(rng.geometric(0.35))] = True
    for row in range(1, depth):  # fragments are the database's, not inherited
        if rng.random() < ends:
            lacks[row, : int(rng.geometric(frayed)) - 1] = True
        if rng.random() < ends:
            lacks[row, n - int(rng.geometric(frayed)) + 1 :] = True
        if lacks[row].sum() > 0.6 * n:
            lacks[row] = lacks[parents[row]] if lacks[parents[row]].sum() < 0.6 * n else False
    return lacks


def _subfamilies(
    rng: np.random.Generator, fields: np.ndarray, parents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fields [S, L, 20] of subfamilies, and the number of each row's [R].

    Half of the families have one. In the others some branches of the tree select other residues at
    some positions, which makes these covary without touching.
    """
    count = 1 if rng.random() < 0.5 else int(rng.integers(2, 7))
    every = np.repeat(fields[None], count, 0)
    share, strength = rng.uniform(0.02, 0.2), rng.uniform(0.5, 2.0)
    for number in range(1, count):
        specific = rng.random(len(fields)) < share
        every[number, specific] += rng.normal(0, strength, (specific.sum(), 20))
    member = np.zeros(len(parents), np.int64)
    founders = set(rng.integers(1, max(2, len(parents) // 4), count - 1).tolist())
    number = 0
    for row in range(1, len(parents)):
        member[row] = member[parents[row]]
        if row in founders:
            number += 1
            member[row] = number
    return every.astype(np.float32), member


def sequences(
    rng: np.random.Generator, fold: Fold, depth: int, potential: np.ndarray | None = None
) -> np.ndarray:
    """[depth, L] rows with gaps (21); the first has none. `potential`: see `potts`."""
    n = len(fold.cb)
    fields, partners, couplings = potts(rng, fold, potential)
    # A few subfamilies, then members: each row descends from an earlier one of its branch.
    parents = np.array([0] + [int(rng.integers(max(0, r // 4), r)) for r in range(1, depth)])
    parents[1:] = np.where(rng.random(depth - 1) < rng.uniform(0.05, 0.4), 0, parents[1:])
    pace = np.exp(rng.uniform(np.log(0.5), np.log(6.0)))
    moves = np.maximum(1, rng.gamma(1.5, pace / 1.5, depth) * n).astype(np.int64)
    moves[0] = 60 * n
    first = rng.integers(0, 20, n) if fold.native is None else fold.native
    by_subfamily, member = _subfamilies(rng, fields, parents)
    rows = _evolve(
        first.astype(np.uint8), by_subfamily, partners, couplings, parents, moves, member,
        int(rng.integers(2**31)),
    )  # fmt: skip
    slipped = np.flatnonzero(rng.random(depth) < rng.uniform(0, 0.06))
    for row in slipped[slipped > 0]:  # a piece aligned one residue off
        start = int(rng.integers(0, max(1, n - 12)))
        part = rows[row, start : start + int(rng.integers(5, 13))]
        part[:] = np.roll(part, 1 if rng.random() < 0.5 else -1)
    rows[_losses(rng, fold, parents)] = GAP
    return rows


AT_ONCE = 16
"""Families of a group, which is folded together."""


def families(
    count: int,
    seed: int = 0,
    *,
    length: tuple[int, int] = (45, 105),
    depth: tuple[int, int] = (200, 2500),
    folds: Sequence[Fold] | None = None,
    potential: np.ndarray | None = None,
    at_once: int = AT_ONCE,
    first: int = 0,
) -> list[Family]:
    """Generate families.

    Args:
        count: how many, numbers `first` to first + count - 1; with made folds, fewer in the last
            group are other ones.
        seed: of every random choice; a family on a made fold depends on its seed and number only
            through the group of `at_once` that is folded together.
        length: shortest and longest chain, where folds are made.
        depth: fewest and most sequences; their logarithm is uniform.
        folds: families on these folds, in this order, repeated; None: on made ones.
        potential: [3, 3, 20, 20] contact preferences of residues (`contact_potential`) that
            couplings contain; None: they hold physico-chemical and random parts alone.
        at_once: chains folded together.
        first: number of the first family, a multiple of `at_once`.

    Raises:
        InputError: impossible numbers.
    """
    if count < 1 or not 20 <= length[0] <= length[1] or not 2 <= depth[0] <= depth[1]:
        raise InputError(
            f"cannot make {count} families of {length[0]} to {length[1]} residues and "
            f"{depth[0]} to {depth[1]} sequences"
        )
    made: list[Family] = []
    for group in range(first, first + count, at_once):
        size = min(at_once, first + count - group)
        rng = np.random.default_rng([seed, group])
        if folds is None:
            chosen = made_folds(rng, rng.integers(length[0], length[1] + 1, size))
        else:
            chosen = [folds[(group + k) % len(folds)] for k in range(size)]
        for number, fold in enumerate(chosen):
            rows_count = int(np.exp(rng.uniform(np.log(depth[0]), np.log(depth[1]))) + 1e-9)
            rows = sequences(rng, fold, rows_count, potential)
            names = [f"member_{r}" for r in range(rows_count)]
            title = f"synthetic family {group + number}"
            made.append(
                Family(Alignment(names, rows, source=title), fold.ca, fold.cb, fold.secondary)
            )
    return made


def make(
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    count: int = 32,
    seed: int = 0,
    folds: Path | None = None,
    shards: int = 0,
    shard: int | None = None,
) -> None:
    """Write families as NAME.a3m (sequences) and NAME.npz (ca, cb [A], secondary structure).

    Args:
        out: folder.
        count: how many families.
        seed: of every random choice.
        folds: folder of structures whose folds are taken; None: folds are made, too.
        shards: Write so many Parquet files instead, each of whole groups of 16 families.
        shard: Make this one of them alone (0 is the first): for jobs on several machines.
    """
    from sciml.paths import atomic_write

    chains = None if folds is None else read_folds(folds, max_folds=count, seed=seed)
    if shards or shard is not None:
        _make_shards(Path(out), count, seed, chains, shards, shard)
        return
    for number, family in enumerate(families(count, seed, folds=chains)):
        name = f"family_{number:04d}"
        family.alignment.write(Path(out) / f"{name}.a3m")
        with atomic_write(Path(out) / f"{name}.npz") as temporary, open(temporary, "wb") as file:
            letters = np.frombuffer(family.secondary.encode(), np.uint8)
            np.savez_compressed(file, ca=family.ca, cb=family.cb, secondary=letters)


def _make_shards(
    out: Path, count: int, seed: int, chains: Sequence[Fold] | None, shards: int, only: int | None
) -> None:
    from sciml.data import shards as files

    def rows(groups: range) -> Iterator[dict[str, Any]]:
        for group in groups:
            first = group * AT_ONCE
            size = min(AT_ONCE, count - first)
            for k, family in enumerate(families(size, seed, folds=chains, first=first)):
                aligned = family.alignment
                letters = (f">{n}\n{decode(r)}\n" for n, r in zip(aligned.names, aligned.rows))
                yield {
                    "name": f"family_{first + k:04d}",
                    "alignment": "".join(letters),
                    "ca": family.ca.ravel().astype(np.float32),
                    "cb": family.cb.ravel().astype(np.float32),
                    "secondary": family.secondary,
                }

    facts = {"count": count, "seed": seed, "folds": None if chains is None else len(chains)}
    groups = -(-count // AT_ONCE)
    if shards > groups:
        raise InputError(
            f"must be at most {groups} for {count} families, got {shards}", where="--shards"
        )
    for number, path in files.to_make(out, shards, only, facts):
        share = files.share(groups, number, shards)
        made = {**facts, "shards": shards, "shard": number}
        print(f"{path}: {files.write(path, 'alignments', rows(share), made, group=8)} families")
