"""Contact preferences counted in structures, and families whose couplings contain them."""

import numpy as np
import pytest

from sciml.protein.contacts.contact_potential import (
    PSEUDOCOUNT,
    contact_potential,
    distance_class,
    kind_of,
)
from sciml.protein.contacts.synthetic_families import potts
from sciml.protein.contacts.topologies import Fold
from sciml.protein.io.residues import RESIDUES

LYSINE, GLUTAMATE = RESIDUES.index("K"), RESIDUES.index("E")


def folds(rng: np.random.Generator, count: int, paired: bool) -> list[Fold]:
    """Two strands 5 A apart: K faces E if `paired`, else residues are drawn independently."""
    made = []
    for number in range(count):
        size = 12
        steps = np.arange(size)
        one = np.stack([3.4 * steps, 0.0 * steps, 0.0 * steps], 1)
        ca = np.concatenate([one, one[::-1] + [0.0, 5.0, 0.0]])
        native = rng.integers(0, 20, 2 * size)
        if paired:
            native[:size] = rng.choice([LYSINE, GLUTAMATE], size)
            native[size:] = np.where(native[:size] == LYSINE, GLUTAMATE, LYSINE)[::-1]
        made.append(Fold(f"made_{number}", ca, ca, "E" * 2 * size, native))
    return made


def test_planted_preferences_are_counted_and_chance_gives_none() -> None:
    rng = np.random.default_rng(0)
    odds = contact_potential(folds(rng, 200, paired=True))
    assert odds is not None and odds.shape == (3, 3, 20, 20)
    assert np.allclose(odds, odds.transpose(0, 1, 3, 2))
    strands = odds[0, 1]  # facing residues are 5 A apart
    assert strands[LYSINE, GLUTAMATE] > 0.3 and strands[LYSINE, LYSINE] < -0.3
    chance = contact_potential(folds(rng, 2000, paired=False))
    assert chance is not None and chance[0, 1].std() < 0.15 < strands.std()
    assert np.allclose(odds[:, 0], 0)  # no helices, no preference
    assert PSEUDOCOUNT > 0


def test_folds_without_sequences_have_no_preferences() -> None:
    fold = folds(np.random.default_rng(0), 1, paired=False)[0]
    assert contact_potential([Fold("bare", fold.ca, fold.cb, fold.secondary)]) is None


@pytest.mark.parametrize(("distance", "number"), [(3.0, 0), (6.5, 1), (9.0, 2), (30.0, 2)])
def test_distance_classes(distance: float, number: int) -> None:
    assert distance_class(np.array(distance)) == number


def test_kinds_of_pairs() -> None:
    assert kind_of("HEL").tolist() == [[0, 2, 2], [2, 1, 2], [2, 2, 2]]


def test_preferences_enter_the_couplings_of_contacts() -> None:
    fold = folds(np.random.default_rng(1), 1, paired=False)[0]
    odds = np.zeros((3, 3, 20, 20))
    odds[..., LYSINE, GLUTAMATE] = odds[..., GLUTAMATE, LYSINE] = 5.0
    mean = {}
    for name, potential in (("with", odds), ("without", None)):
        drawn = []
        for seed in range(20):
            _, partners, couplings = potts(np.random.default_rng(seed), fold, potential)
            near = [
                couplings[i, k, LYSINE, GLUTAMATE]
                for i, k in np.argwhere(partners >= 0)
                if abs(i + partners[i, k] - 23) == 0  # the residue that faces i
            ]
            drawn += near
        mean[name] = float(np.mean(drawn))
    assert mean["with"] > mean["without"] + 1.0
