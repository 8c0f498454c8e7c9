"""The distogram of the contact network: classes of the CB distance, and contacts from them."""

from __future__ import annotations

import numpy as np

EDGES = (4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 18.0, 20.0)
"""Upper edges [A] of the CB distance classes; the last class takes everything beyond."""
CLASSES = len(EDGES) + 1
CONTACT_CLASSES = EDGES.index(8.0) + 1
"""The first so many classes are contacts: CB closer than 8 A."""


def contact_probability(distogram: np.ndarray) -> np.ndarray:
    """[C, C, 16] class probabilities -> [C, C] that two CB are within 8 A; 1 on the diagonal."""
    probability = distogram[..., :CONTACT_CLASSES].sum(-1)
    np.fill_diagonal(probability, 1.0)
    return probability
