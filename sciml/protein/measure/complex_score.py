"""Scores of a model of a complex against its structure, from files as people have them.

Chains are matched by their sequences, of which the structure may lack residues; which of equal
chains is which is found by `measure.chains`, all else is `measure.interfaces`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.protein.io.pairwise import local_alignment
from sciml.protein.io.structure import Chain
from sciml.protein.measure.interfaces import complex_quality
from sciml.protein.measure.score import pair_residues

LEAST_IDENTITY = 0.8
"""Share of the residues of the shorter chain by which two chains are of one sequence."""


def score_complex(model: Sequence[Chain], truth: Sequence[Chain]) -> dict[str, Any]:
    """DockQ of the complex and of each interface, TM-score, and the truth's chain of each chain.

    Raises:
        InputError: a chain of the model is none of the truth's, or there are more of it.
    """
    entities = _entities(model)
    theirs = [_entity(chain, model, entities) for chain in truth]
    if not any(theirs):
        raise InputError("the two complexes have no chain in common")
    firsts = {entity: model[entities.index(entity)] for entity in set(entities)}
    ours_numbers = np.concatenate([
        np.stack([np.full(len(c), k), np.full(len(c), e), np.arange(len(c))], 1)
        for k, (c, e) in enumerate(zip(model, entities, strict=True), 1)
    ])  # fmt: skip
    numbers, atoms = [], []
    for number, (chain, entity) in enumerate(zip(truth, theirs, strict=True), 1):
        if entity is None:
            continue
        pairs = pair_residues(firsts[entity], chain)
        columns = [np.full(len(pairs), number), np.full(len(pairs), entity), pairs[:, 0]]
        numbers.append(np.stack(columns, 1))
        atoms.append(_atoms(chain)[pairs[:, 1]])
    quality = complex_quality(
        np.concatenate([_atoms(c) for c in model]), ours_numbers,
        np.concatenate(atoms), np.concatenate(numbers),
    )  # fmt: skip
    return {
        "dockq": quality.dockq,
        "tm_score": quality.tm_score,
        "chains": {model[a - 1].name: truth[b - 1].name for a, b in quality.chain_of.items()},
        "interfaces": {
            "-".join(truth[k - 1].name for k in one.chains): {
                "dockq": one.dockq, "fnat": one.fnat, "irmsd": one.irmsd, "lrmsd": one.lrmsd,
                "lddt": one.lddt, "contacts": one.contacts,
            }
            for one in quality.interfaces
        },
    }  # fmt: skip


def _atoms(chain: Chain) -> np.ndarray:
    return np.where(chain.mask[..., None] > 0, chain.atoms, np.nan)


def _entities(chains: Sequence[Chain]) -> list[int]:
    """Number of each chain's sequence, from 1."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(chain.sequence, len(numbers) + 1) for chain in chains]


def _entity(chain: Chain, model: Sequence[Chain], entities: list[int]) -> int | None:
    """The number of the model's sequence that a chain of the truth has, or None."""
    best: tuple[float, int] | None = None
    for entity in dict.fromkeys(entities):
        other = model[entities.index(entity)]
        pairs = local_alignment(other.sequence, chain.sequence)
        same = sum(other.sequence[i] == chain.sequence[j] for i, j in pairs)
        share = same / min(len(other), len(chain))
        if share >= LEAST_IDENTITY and (best is None or share > best[0]):
            best = share, entity
    return best[1] if best else None
