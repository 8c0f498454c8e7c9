"""`JetMassRegressor`: jets in, the mass and its quantiles in GeV out.

regressor = JetMassRegressor.from_pretrained("runs/mass")   # what `sciml run jet_mass` wrote
masses = regressor.predict("events.root")                   # JetMasses [jets, 1 + quantiles]
masses[:, 0]                                                # the point estimates [GeV]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from sciml.jets.model import JetModel
from sciml.jets.networks.regression import masses
from sciml.jets.scores import JetMasses


class JetMassRegressor(JetModel[JetMasses]):
    """Masses of jets; `sciml run jet_mass` trains one.

    Args:
        network: raw batch -> [B, 1 + quantiles] (`sciml.jets.networks.regression`).
        names: of the outputs, see `regression.names`.
        limit: constituents used per jet, the leading ones in pT.
    """

    KIND = "jet mass regressor"
    ANSWER = "mass"
    RESULT = JetMasses

    def activation(self, outputs: Tensor) -> Tensor:
        """Outputs of the network -> GeV, the quantiles ascending."""
        return masses(outputs)

    def weights(self) -> dict[str, Tensor]:
        """See `Pretrained`; files of masses have held a temperature of 1 from the beginning."""
        return super().weights() | {"temperature": torch.ones(())}

    @classmethod
    def restore(
        cls, description: dict[str, Any], tensors: dict[str, Tensor], path: Path, **options: Any
    ) -> Self:
        """See `Pretrained`."""
        own = {name: value for name, value in tensors.items() if name != "temperature"}
        return super().restore(description, own, path, **options)
