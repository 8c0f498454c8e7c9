"""ONNX of networks whose inputs are the tensors of a weaver data config, as weaver exports them.

The graph takes tensors [B, variables, N] by the config's names (pf_features, pf_mask, sv_features,
...) and gives class probabilities, `softmax`, or values, `output`. `preprocess.json` beside it has
the layout that weaver writes and CMSSW's `ONNXJetTagsProducer`s read: names of the inputs, and for
each its variables with centre, scale, limits, padding and length.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.jets.deployment import onnx
from sciml.jets.networks import pair_kinematics
from sciml.jets.weaver import checkpoints
from sciml.paths import atomic_write

if TYPE_CHECKING:
    from sciml.jets.weaver.config import WeaverConfig

BATCHES = ((1, 1), (3, 7), (5, 128))
"""Jets and places of the batches that an exported graph is checked with."""
UNLIMITED = 1e32
"""Limit of a variable that is not clipped, as weaver writes it."""


class Tensors(nn.Module):
    """A network as a function of tensors in the order of `names`."""

    def __init__(self, network: nn.Module, names: Sequence[str], run: Any) -> None:
        super().__init__()
        self.network, self.names, self.run = network, tuple(names), run

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors -> probabilities or values [B, outputs]; NaN for a jet without constituents."""
        return self.run(dict(zip(self.names, inputs, strict=True)))


def export(tagger: Any, path: Path, config: WeaverConfig | None = None) -> Path:
    """Write a tagger of `JetTagger.from_weaver`, or one with a data config.

    Args:
        tagger: a `JetTagger` of a weaver network, or a `ConfiguredTagger`.
        path: the .onnx file; preprocess.json is written beside it.
        config: that makes the inputs of a `JetTagger`; without it, preprocess.json has only the
            names and widths of the inputs.

    Raises:
        InputError: the config lacks an input of the network or has another number of variables, or
            onnxruntime does not give torch's answer.
    """
    from sciml.jets.configured import ConfiguredTagger

    tagger = tagger.to("cpu").eval()
    if isinstance(tagger, ConfiguredTagger):
        config = tagger.config
        widths = {name: len(entry.variables) for name, entry in config.inputs.items()}
        run: Any = tagger
    else:
        network = tagger.network.network
        widths = input_widths(network)
        if config is not None:
            check_inputs(config, widths)

        def run(inputs: Mapping[str, Tensor]) -> Tensor:
            logits = checkpoints.run(network, inputs)
            return tagger.activation(logits.float() / tagger.temperature)

    lengths = {name: None if config is None else config.inputs[name].length for name in widths}
    flat = {n for n in widths if config is not None and lengths[n] is None}
    names = tuple(widths)
    output = "softmax" if getattr(tagger, "classes", True) else "output"
    axes: dict[str, dict[int, str]] = {output: {0: "jet"}}
    for name in names:
        axes[name] = {0: "jet"}
        if name not in flat:
            axes[name][2] = f"{name.partition('_')[0]}_place"
        if name == "pf_uu":
            axes[name] |= {3: "pf_place"}

    def batches() -> Iterator[list[Tensor]]:
        for jets, places in BATCHES:
            yield list(made_up(widths, flat, jets, places).values())

    first = list(made_up(widths, flat, 3, 7).values())
    model = Tensors(tagger, names, run).eval()
    with pair_kinematics.portable():
        difference = onnx.write(model, path, first, names, [output], axes, batches())
    described = preprocessing(tagger.names, widths, config)
    described["checked_against_torch"] = difference
    with atomic_write(path.with_name("preprocess.json")) as temporary:
        temporary.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return path


def input_widths(network: Any) -> dict[str, int]:
    """Variables of each input of a weaver network, in the order of its `forward`."""
    config = network.config
    core = getattr(config, "network", config)
    features = config.features if core is not config else (config.features,)
    own = {f"{c}_features": n for c, n in zip(checkpoints.COLLECTIONS, features, strict=False)}
    own["pf_uu"] = getattr(core, "pair_extra", 0)
    kinds = {"points": 2, "vectors": 4, "mask": 1}
    return {
        name: own.get(name) or kinds[name.partition("_")[2]]
        for name in checkpoints.needed_inputs(network)
    }


def check_inputs(config: WeaverConfig, widths: Mapping[str, int]) -> None:
    """Check that a config makes the inputs of a network.

    Raises:
        InputError: it lacks one, or one has another number of variables.
    """
    for name, width in widths.items():
        if name not in config.inputs:
            raise InputError(f"defines no input {name!r}", where=config.path)
        own = len(config.inputs[name].variables)
        if own != width:
            raise InputError(
                f"has {own} variables in {name}, the network reads {width}", where=config.path
            )


def made_up(
    widths: Mapping[str, int], flat: set[str], jets: int, places: int, seed: int = 0
) -> dict[str, Tensor]:
    """Inputs to trace and check with: jets of all lengths from 0 on.

    Args:
        widths: variables of each input.
        flat: inputs that hold numbers of the jet itself.
        jets, places: of the batch.
        seed: of the values.
    """
    random = torch.Generator().manual_seed(seed)
    lengths = torch.arange(jets) * max(1, places // max(1, jets - 1))
    mask = (torch.arange(places) < lengths.clamp(max=places)[:, None])[:, None].float()
    if jets == 1:
        mask = torch.ones_like(mask)
    out = {}
    for name, width in widths.items():
        if name in flat:
            shape = (jets,) if width == 1 else (jets, width)
            out[name] = torch.randn(shape, generator=random)
            continue
        if name == "pf_uu":
            out[name] = torch.randn(jets, width, places, places, generator=random)
            continue
        value = torch.randn(jets, width, places, generator=random)
        if name.endswith("vectors") and width == 4:
            p3 = 20 * value[:, :3]
            value = torch.cat([p3, 1.05 * p3.square().sum(1, keepdim=True).sqrt()], 1)
        out[name] = mask if name.endswith("_mask") else value * mask
    return out


def preprocessing(
    outputs: Sequence[str], widths: Mapping[str, int], config: WeaverConfig | None
) -> dict[str, Any]:
    """The content of preprocess.json, in weaver's layout."""
    described: dict[str, Any] = {"output_names": list(outputs), "input_names": list(widths)}
    for name, width in widths.items():
        if config is None:
            described[name] = {"variables": width}
            continue
        entry = config.inputs[name]
        described[name] = {
            "var_names": [v.name for v in entry.variables],
            "var_infos": {
                v.name: {
                    "median": 0 if v.center is None else v.center,
                    "norm_factor": v.scale,
                    "replace_inf_value": 0,
                    "lower_bound": -UNLIMITED if v.center is None else v.low,
                    "upper_bound": UNLIMITED if v.center is None else v.high,
                    "pad": v.pad,
                }
                for v in entry.variables
            },
            "var_length": entry.length,
        }
    return described
