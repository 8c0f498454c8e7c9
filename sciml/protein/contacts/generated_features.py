"""Features of generated families, each in a file: made once, by several processes, and kept.

Families stand on folds of structures or on made folds. Each may have thinned versions with fewer of
its sequences, so that a network also learns from shallow alignments.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from sciml.files import kept
from sciml.protein.contacts.contact_potential import contact_potential
from sciml.protein.contacts.features import ContactFeatures, contact_features
from sciml.protein.contacts.synthetic_families import AT_ONCE, families
from sciml.protein.contacts.topologies import Fold
from sciml.protein.io.alignment import Alignment


@dataclass
class Plan:
    """Which families to generate.

    Attributes:
        count: how many. made: of these, the last so many on made folds.
        folds: of structures; None: all folds are made.
        length: shortest and longest chain, where all folds are made. made_length: of the `made`.
        depth: fewest and most sequences.
        thinned: further versions of each family with fewer sequences.
        seed: of every random choice.
        couplings: with the couplings along properties of residues.
    """

    count: int
    folds: Sequence[Fold] | None
    length: tuple[int, int]
    depth: tuple[int, int]
    seed: int
    made: int = 0
    made_length: tuple[int, int] = (100, 300)
    thinned: int = 0
    couplings: bool = False

    @functools.cached_property
    def potential(self) -> np.ndarray | None:
        """Contact preferences counted in the folds; see `contact_potential`."""
        return None if self.folds is None else contact_potential(self.folds)

    @property
    def groups(self) -> range:
        """First numbers of the families that are made together: made folds are cheaper so."""
        return range(0, self.count, AT_ONCE if self.folds is None else 1)

    def write(self, folder: Path, start: int) -> list[list[Path]]:
        """Files of the group from number `start` on, made where missing: each family's versions."""
        size = min(self.groups.step, self.count - start)
        made: list[Any] = []

        def alignment_and_cb(k: int) -> tuple[Alignment, np.ndarray]:
            if not made:
                own = self.folds is not None and start < self.count - self.made
                made[:] = families(
                    size,
                    self.seed * 1000 + start,
                    length=self.length if self.folds is None else self.made_length,
                    depth=self.depth,
                    folds=[self.folds[start % len(self.folds)]] if own and self.folds else None,
                    potential=self.potential,
                )
            return made[k].alignment, made[k].cb

        def write(path: Path, k: int, version: int) -> None:
            alignment, cb = alignment_and_cb(k)
            if version:
                alignment = fewer(alignment, [self.seed, start + k, version])
            contact_features(alignment, couplings=self.couplings).write(path, cb)

        written = []
        for k in range(size):
            versions = ["", *(f" thinned {v}" for v in range(1, 1 + self.thinned))]
            paths = [folder / f"{start + k:04d}{version}.npz" for version in versions]
            for version, path in enumerate(paths):
                make = functools.partial(write, k=k, version=version)
                kept.once(path, ContactFeatures.read, make)
            written.append(paths)
        return written


def fewer(alignment: Alignment, seed: Sequence[int]) -> Alignment:
    """Its first row with random others; the logarithm of their number is uniform."""
    rng = np.random.default_rng(seed)
    return alignment.sample(int(np.exp(rng.uniform(0, np.log(alignment.depth)))), rng)


def write_features(plan: Plan, folder: Path, workers: int = 1) -> Iterator[list[Path]]:
    """The files of each family in turn, the whole alignment's first; families lie in `folder`.

    Args:
        workers: processes that share the work; their number changes no file.
    """
    if workers == 1:
        yield from _flat(plan.write(folder, start) for start in plan.groups)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(plan, folder)
    ) as pool:
        yield from _flat(pool.map(_write, plan.groups))


def _flat(groups: Iterable[list[list[Path]]]) -> Iterator[list[Path]]:
    for group in groups:
        yield from group


_work: tuple[Plan, Path]


def _begin(plan: Plan, folder: Path) -> None:
    """A process of the pool begins."""
    global _work
    _work = plan, folder


def _write(start: int) -> list[list[Path]]:
    plan, folder = _work
    return plan.write(folder, start)
