"""`ConfiguredTagger`: a model whose inputs are those of a weaver data config.

    sciml run jet_tagging --data-config CONFIG.yaml --data FILES --out FOLDER
    model = ConfiguredTagger.from_pretrained("FOLDER")
    for batch, values in model.stream("jets.root"):
        batch.rows, batch.observers                 # the jets that pass the config's selection

The config, with its fitted standardisation, is part of the model's file. Published weights
(`JetTagger.from_weaver`) take their inputs from a config by `weaver_stream`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from sciml.config import from_dict, to_dict
from sciml.errors import InputError
from sciml.jets.model import ENTRY
from sciml.jets.weaver.config import Batch, WeaverConfig
from sciml.jets.weaver.examples import ConfigEmbedder, Layout, raw_batch
from sciml.weights.pretrained import Pretrained

if TYPE_CHECKING:
    from sciml.jets.tagger import JetTagger

STEP = 2000
"""Jets read at a time."""
_PASS = 128
"""Jets in one pass of the network."""


@dataclasses.dataclass(frozen=True)
class ConfiguredDescription:
    """The settings in the header of a model's file."""

    trunk: dict[str, Any]
    data_config: dict[str, Any]
    """Content of the config."""
    names: tuple[str, ...]
    """Of the classes or of the values."""
    classes: bool
    """Probabilities of classes, or values."""
    answer: str = "data config"
    kind: str = "trunk"


class ConfiguredTagger(Pretrained, nn.Module):
    """See the module's docstring.

    Args:
        trunk: any trunk.
        embedder: of the config's inputs.
        head: graph vector -> outputs.
        config: standardised.
        names: of the classes, or of the values.
        classes: whether the outputs are logits of classes.
    """

    ENTRY = ENTRY
    KIND = "jet model with a data config"
    HINT = "Other models of jets are opened by JetTagger and JetMassRegressor"

    centre: Tensor
    scale: Tensor

    def __init__(
        self, trunk: Any, embedder: ConfigEmbedder, head: nn.Module, config: WeaverConfig,
        names: Sequence[str], classes: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.trunk, self.embedder, self.head = trunk, embedder, head
        self.config, self.names, self.classes = config, tuple(names), classes
        self.register_buffer("centre", torch.zeros(len(names)))
        self.register_buffer("scale", torch.ones(len(names)))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns that `sciml jets tag` writes."""
        return tuple(f"score_{name}" for name in self.names) if self.classes else self.names

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Named inputs [B, variables, length] -> probabilities or values [B, outputs]."""
        outputs = self.head(self.trunk(self.embedder(raw_batch(inputs))).graph).float()
        return outputs.softmax(-1) if self.classes else outputs * self.scale + self.centre

    def predict_batch(self, batch: Batch) -> np.ndarray:
        """[B, outputs] float32 for the inputs of `WeaverConfig.batch`."""
        device = self.centre.device
        parts = [np.zeros((0, len(self.names)), np.float32)]
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            for first in range(0, len(batch.rows), _PASS):
                part = slice(first, first + _PASS)
                inputs = {n: torch.from_numpy(v[part]).to(device) for n, v in batch.inputs.items()}
                parts.append(self(inputs).cpu().numpy())
        self.train(was_training)
        return np.concatenate(parts)

    def stream(
        self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        config: WeaverConfig | None = None, step: int = STEP,
    ) -> Iterator[tuple[Batch, np.ndarray]]:  # fmt: skip
        """(batch, values [B, outputs]) of the jets that pass the selection of a test, in order.

        Args:
            paths: a path, a glob pattern, or a list of them.
            config: another one with the same inputs; the model's own by default.
            step: jets read at a time.

        Raises:
            InputError: other inputs, an unreadable file, or a missing column.
        """
        config = config or self.config
        if config.inputs != self.config.inputs:
            raise InputError(
                "does not have the inputs that the model was trained with",
                where=config.path, hint="Use data_config.yaml beside the model, or leave it out",
            )  # fmt: skip
        for batch in unlabelled(config, paths).iterate(paths, step, train=False):
            yield batch, self.predict_batch(batch)

    def to_onnx(self, path: str | os.PathLike[str]) -> Path:
        """Write the model as ONNX with the config's inputs, and weaver's preprocess.json beside it;
        see `sciml.jets.weaver.onnx`."""
        from sciml.jets.weaver import onnx

        return onnx.export(self, Path(path))

    def describe(self) -> dict[str, Any]:
        """See `Pretrained`."""
        from sciml.trunks import name_of

        options = self.config.fitted_options()
        options.pop("weights", None)  # only training needs them, and histograms are large
        described = ConfiguredDescription(
            trunk={"name": name_of(type(self.trunk)), **to_dict(self.trunk.config)},
            data_config=options, names=self.names, classes=self.classes,
        )  # fmt: skip
        return dataclasses.asdict(described) | {"names": list(self.names)}

    @classmethod
    def restore(
        cls, description: dict[str, Any], tensors: dict[str, Tensor], path: Path,
        *, trunk: Any = None, **options: Any,
    ) -> Self:  # fmt: skip
        """See `Pretrained`; `trunk` is the caller's own trunk of which the model is."""
        from sciml import trunks
        from sciml.weights import loading

        if description.get("answer") != ConfiguredDescription.answer:
            raise InputError(f"holds no {cls.KIND}", where=path, hint=cls.HINT)
        described = from_dict(ConfiguredDescription, description, where=path)
        config = WeaverConfig.from_options(described.data_config, path)

        def make() -> Any:
            settings = dict(described.trunk)
            kind = trunks.named_in_file(str(settings.pop("name")), trunk)
            built = kind(from_dict(kind.Config, settings))
            embedder = ConfigEmbedder(built.dim, built.pair_dim, Layout.of(config))
            head = nn.Linear(built.dim, len(described.names))
            return cls(built, embedder, head, config, described.names, described.classes)

        return loading.restore(make, tensors, where=path)


def weaver_stream(
    tagger: JetTagger, config: WeaverConfig,
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], step: int = STEP,
) -> Iterator[tuple[Batch, np.ndarray]]:  # fmt: skip
    """(batch, probabilities) of a published network on the inputs that a data config makes.

    Args:
        tagger: from `JetTagger.from_weaver`.
        config: with the inputs that the network reads (`tagger.weaver_inputs()`).
        paths: a path, a glob pattern, or a list of them.
        step: jets read at a time.

    Raises:
        InputError: an input is missing or has another number of variables.
    """
    from sciml.jets.weaver import checkpoints
    from sciml.jets.weaver.onnx import check_inputs, input_widths

    network: Any = getattr(tagger.network, "network", tagger.network)
    widths = input_widths(network)
    check_inputs(config, widths)
    names = [name for name in (*widths, "pf_uu_idx") if name in config.inputs]
    device = next(tagger.parameters()).device
    for batch in unlabelled(config, paths).iterate(paths, step, train=False):
        parts = [np.zeros((0, len(tagger.classes)), np.float32)]
        for first in range(0, len(batch.rows), _PASS):
            part = slice(first, first + _PASS)
            inputs = {n: torch.from_numpy(batch.inputs[n][part]).to(device) for n in names}
            with torch.inference_mode():
                logits = checkpoints.run(network, inputs)
                parts.append(tagger.activation(logits.float() / tagger.temperature).cpu().numpy())
        yield batch, np.concatenate(parts)


def class_names(config: WeaverConfig) -> tuple[str, ...]:
    """Names of the classes of labels of type simple, or of the values of custom ones."""
    if config.has_classes:
        return tuple(name.removeprefix("label_") for name in config.classes)
    return tuple(config.labels)


def unlabelled(
    config: WeaverConfig, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
) -> WeaverConfig:
    """The config, without its labels where the first file lacks their columns."""
    present = config.columns_of_first(paths)
    if set(config.columns(train=False)) <= present:
        return config
    return dataclasses.replace(config, labels={}, classes=())
