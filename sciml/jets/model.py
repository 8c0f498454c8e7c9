"""The description of a model of jets in its file, and how models are rebuilt from it.

A model is a network from raw jets to a row of outputs: an embedder, any trunk and a head, or one of
the published networks with its own weights.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from torch import Tensor, nn

from sciml.config import Range, from_dict
from sciml.errors import InputError
from sciml.jets.inference import JetPredictor, Result
from sciml.jets.lgatr import LGATrNetwork
from sciml.jets.networks.classifier import TrunkNetwork, WeaverNetwork
from sciml.jets.networks.flavour import FlavourNetwork
from sciml.jets.omnilearned import OmniLearnedNetwork
from sciml.weights.pretrained import Pretrained

if TYPE_CHECKING:
    from sciml.trunks.base import Trunk

ENTRY = "jet_tagger"
"""Entry of a file's header that describes a model of jets."""
CLASS_OF = {
    "classes": "JetTagger", "mass": "JetMassRegressor", "data config": "ConfiguredTagger",
    "flavour": "FlavourTagger",
}  # fmt: skip
"""The class that reads a file, by the `answer` in its description."""


@dataclasses.dataclass(frozen=True)
class Description:
    """The settings in the header of a model's file."""

    kind: Literal["trunk", "weaver", "omnilearned", "lgatr", "flavour"]
    """On a trunk, a published network, or on a trunk with the heads of flavour tagging."""
    network: dict[str, Any]
    """The `settings()` of the network."""
    classes: tuple[str, ...]
    """Names of the outputs."""
    limit: Annotated[int, Range(min=1, max=100_000)]
    """Constituents used per jet."""
    answer: Literal["classes", "mass", "flavour"] = "classes"
    """Probabilities of classes, masses, or both classes and pT."""

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise InputError("`classes` must be names, each once")


class JetModel(Pretrained, JetPredictor[Result]):
    """A model of jets that is saved and restored; see `JetTagger` and `JetMassRegressor`.

    After `.half()` or `.bfloat16()` the network computes in half precision, while features and pair
    kinematics are still made in single precision.
    """

    ENTRY = ENTRY
    HINT = "Weights of weaver-core are read by JetTagger.from_weaver"
    ANSWER: ClassVar[str]

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name_or_path: str | os.PathLike[str],
        trunk: str | type[Trunk] | None = None,
        *,
        device: str = "auto",
    ) -> Self:
        """A shipped model by name, or what `save` wrote, by path; in evaluation mode.

        Args:
            name_or_path: a shipped model (`sciml models list`), a .safetensors file, or a folder.
            trunk: of a model on a trunk of your own, its class or its name (`my_trunk.py:MyTrunk`
                runs that file): the model's file brings no code.
            device: "auto" (the accelerator, if there is one), "cpu", "cuda", ...

        Raises:
            InputError: no such model or file, or a file of something else, damaged, or larger in
                its description than in its tensors.
        """
        return super().from_pretrained(name_or_path, device=device, trunk=trunk)

    def describe(self) -> dict[str, Any]:
        """See `Pretrained`."""
        return {
            "kind": self.network.kind,
            "network": self.network.settings(),  # type: ignore[operator]
            "classes": list(self.names),
            "limit": self.limit,
            "answer": self.ANSWER,
        }

    @classmethod
    def restore(
        cls,
        description: dict[str, Any],
        tensors: dict[str, Tensor],
        path: Path,
        *,
        trunk: str | type[Trunk] | None = None,
        **options: Any,
    ) -> Self:
        """See `Pretrained`; `trunk` as for `from_pretrained`."""
        from sciml.weights import loading

        answer = description.get("answer", "classes")
        if answer != cls.ANSWER and answer in CLASS_OF:
            raise InputError(
                f"holds no {cls.KIND}",
                where=path,
                hint=f"Open it with {CLASS_OF[answer]}.from_pretrained",
            )
        described = from_dict(Description, description, where=path)

        def make() -> Any:
            outputs = len(described.classes)
            network: nn.Module
            if (described.kind == "flavour") != (answer == "flavour"):
                raise InputError(f"describes a network {described.kind!r} that answers {answer!r}")
            if described.kind == "trunk":
                network = TrunkNetwork.build(described.network, outputs, trunk)
            elif described.kind == "flavour":
                network = FlavourNetwork.build(described.network, outputs, trunk)
            elif trunk is not None:
                raise InputError(f"is a published network, not one on the trunk {trunk!r}")
            elif described.kind == "omnilearned":
                network = OmniLearnedNetwork.build(described.network, outputs)
            elif described.kind == "lgatr":
                network = LGATrNetwork.build(described.network, outputs)
            else:
                network = WeaverNetwork.build(described.network, outputs)
            return cls(network, described.classes, described.limit)

        model = loading.restore(make, tensors, where=path)
        temperature = dict(model.named_buffers()).get("temperature")
        if temperature is not None and not float(temperature) > 0:
            raise InputError(f"has the temperature {float(temperature)}", where=path)
        return model

    def to_onnx(self, path: str | os.PathLike[str]) -> Path:
        """Write a tagger as ONNX with preprocess.json beside it.

        See `sciml.jets.deployment.onnx.export`.
        """
        from sciml.jets.deployment import onnx

        return onnx.export(self, Path(path))
