"""`JetTagger`: jets in, class probabilities out, in input order and bounded memory.

    tagger = JetTagger.from_pretrained("jets-tiny")
    scores = tagger.predict("events.root")          # JetScores: float32 [jets, classes]
    tagger.classes                                  # ("QCD", "Hbb", ...)

A tagger is a network from raw jets to logits: an embedder, any trunk and a head, or one of the
published networks with its own weights (`from_weaver`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.jets.data.columns import CLASSES
from sciml.jets.data.features import MAX_PARTICLES, Jets
from sciml.jets.lgatr import LGATrBridge
from sciml.jets.model import JetModel
from sciml.jets.networks.classifier import TrunkNetwork
from sciml.jets.omnilearned import OmniLearnedBridge
from sciml.jets.scores import JetScores
from sciml.jets.weaver.bridge import WeaverBridge

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.jets.data.sample import JetSample


class JetTagger(WeaverBridge, OmniLearnedBridge, LGATrBridge, JetModel[JetScores]):
    """See the module's docstring.

    Args:
        network: raw batch -> logits [B, classes], with `features` and `settings()`.
        classes: names of the classes, in the order of the logits.
        limit: constituents used per jet, the leading ones in pT.
    """

    KIND = "jet tagger"
    ANSWER = "classes"
    RESULT = JetScores

    temperature: Tensor

    def __init__(
        self, network: nn.Module, classes: Sequence[str], limit: int = MAX_PARTICLES
    ) -> None:
        super().__init__(network, classes, limit)
        self.register_buffer("temperature", torch.ones(()))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.names

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns that `sciml jets tag` writes."""
        return tuple(f"score_{name}" for name in self.classes)

    def forward(self, batch: Data) -> Tensor:
        """Raw batch -> calibrated logits [B, classes]; their softmax is what `predict` gives."""
        return self.network(batch) / self.temperature

    def activation(self, outputs: Tensor) -> Tensor:
        """Logits -> probabilities."""
        return outputs.softmax(-1)

    def probabilities(self, jets: Jets) -> np.ndarray:
        """[B, classes] float32 of padded jets; NaN where a jet is flagged."""
        return self._values(jets)

    def calibrate(self, sample: JetSample) -> float:
        """Set the temperature that fits labelled jets best, which training has not seen.

        One number divides all logits (Guo et al. 2017, arXiv:1706.04599): probabilities become as
        sure as they are right, and which class is the likeliest stays as it was.

        Args:
            sample: jets labelled with this tagger's classes.

        Returns:
            the temperature.

        Raises:
            InputError: other classes.
        """
        if tuple(sample.classes) != self.classes:
            raise InputError(
                f"the jets have the classes {list(sample.classes)}, the tagger {list(self.classes)}"
            )
        return self.fit_temperature(self.predict(sample).probabilities, sample.y, sample.weights)

    def fit_temperature(
        self, probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
    ) -> float:
        """`calibrate` from probabilities [n, classes] that this tagger gave, with weights [n]."""
        from sciml.jets.calibration import best_temperature

        good = np.isfinite(probabilities).all(1)
        with np.errstate(divide="ignore"):
            logits = np.log(np.maximum(probabilities[good].astype(np.float64), 1e-30))
        self.temperature *= best_temperature(
            logits, labels[good], None if weights is None else weights[good]
        )
        return float(self.temperature)

    @classmethod
    def build(
        cls,
        trunk: Any,
        classes: Sequence[str] = CLASSES,
        *,
        features: str = "full",
        limit: int = MAX_PARTICLES,
    ) -> Self:
        """A tagger with fresh weights.

        Args:
            trunk: a name, a mapping with `name`, or a config; see `sciml.trunks.build`.
            classes: names of the classes.
            features: "full", "kinpid" or "kin".
            limit: constituents used per jet.
        """
        from sciml import trunks
        from sciml.jets.networks.embedder import JetEmbedder

        built = trunks.build(trunk)
        embedder = JetEmbedder(built.dim, built.pair_dim, features)  # type: ignore[arg-type]
        network = TrunkNetwork(embedder, built, nn.Linear(built.dim, len(classes)))
        return cls(network, classes, limit)

    def tag(self, events: Any, **options: Any) -> JetScores:
        """The former name of `predict`, which now gives flags and counts, too."""
        _deprecated("tag(events)", "predict(events)")
        return self.predict(events, **options)

    def probabilities_of(self, sample: JetSample) -> np.ndarray:
        """The former name of `predict(sample)`; [n, classes] float32."""
        _deprecated("probabilities_of(sample)", "predict(sample)")
        return self.predict(sample).probabilities


def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"JetTagger.{old} is now {new}", DeprecationWarning, stacklevel=3)


def __getattr__(name: str) -> Any:
    if name == "Scores":
        warnings.warn("Scores is now JetScores", DeprecationWarning, stacklevel=2)
        return JetScores
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
