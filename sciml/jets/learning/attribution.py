"""Attribution: how much each constituent of a jet contributes to the score of a class.

Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901): one constituent is removed, and the change of
the log odds of a class against the background is its contribution. It works for any network and
needs no gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sciml.errors import InputError, unknown

if TYPE_CHECKING:
    from sciml.jets.data.features import Jets
    from sciml.jets.tagger import JetTagger


def occlusion(tagger: JetTagger, jet: Jets, signal: str, background: str = "QCD") -> np.ndarray:
    """[n] contribution of each constituent to ln(p_signal / p_background); n >= 2.

    Args:
        tagger: any tagger of both classes.
        jet: one good jet.
        signal, background: names of classes.
    """
    for name in (signal, background):
        if name not in tagger.classes:
            raise unknown("class", name, tagger.classes)
    count = int(jet.lengths.sum())
    if len(jet) != 1 or count < 2:
        raise InputError(f"needs one jet of at least 2 constituents, got {len(jet)} of {count}")
    indices = [tagger.classes.index(name) for name in (signal, background)]

    def odds(jets: Jets) -> np.ndarray:
        with np.errstate(divide="ignore"):
            logs = np.log(tagger.probabilities(jets)[:, indices].astype(np.float64))
        return logs[:, 0] - logs[:, 1]

    without = jet[torch.zeros(count, dtype=torch.int64)]
    rest = ~torch.eye(count, dtype=torch.bool)
    particles = torch.stack([without.particles[i, :count][keep] for i, keep in enumerate(rest)])
    without.particles, without.mask = particles, torch.ones(count, count - 1, dtype=torch.bool)
    return odds(jet) - odds(without)
