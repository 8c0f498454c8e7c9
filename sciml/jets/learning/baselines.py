"""The baseline of a network: boosted trees on jet observables.

The observables are those of `learning.observables`, the trees scikit-learn's histogram gradient
boosting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciml.jets.learning.observables import observables

if TYPE_CHECKING:
    from sciml.jets.data.sample import JetSample


def observables_of(sample: JetSample, step: int = 2000) -> np.ndarray:
    """[n, OBSERVABLES] float64, `observables` of a sample in steps of `step` jets."""
    parts = []
    for start in range(0, len(sample), step):
        jets = sample.subset(np.arange(start, min(start + step, len(sample)))).dense()
        parts.append(observables(jets.particles, jets.mask).numpy())
    return np.concatenate(parts)


class BoostedTrees:
    """Gradient-boosted trees on `OBSERVABLES`.

    Args:
        classes: number of classes.
        seed: of the fit.
    """

    def __init__(self, classes: int, seed: int = 0) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        self.classes = classes
        self.model = HistGradientBoostingClassifier(
            max_iter=200,
            learning_rate=0.08,
            max_leaf_nodes=15,
            min_samples_leaf=10,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=seed,
        )

    def fit(
        self, values: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
    ) -> BoostedTrees:
        """Train on observables [n, k] and labels [n], with weights [n] of the jets."""
        self.model.fit(values, labels, sample_weight=weights)
        return self

    def predict(self, values: np.ndarray) -> np.ndarray:
        """[n, classes] float32 probabilities; 0 for a class without a training jet."""
        out = np.zeros((len(values), self.classes), np.float32)
        out[:, self.model.classes_] = self.model.predict_proba(values)
        return out
