"""A tagger from OmniLearned's weights (PyPI `omnilearned`): `JetTagger.from_omnilearned`.

Its checkpoint has the state dicts `body` and `classifier_head`. Sizes come from their shapes; what
these do not tell are arguments. Inputs are made as OmniLearned documents them: deta, dphi, ln(pT /
GeV), ln(E / GeV), the type from charge and flags, and tanh d0, its error, tanh dz, its error.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.files import tensors
from sciml.jets.data import columns as col
from sciml.jets.networks.omnilearned import OmniLearned, OmniLearnedConfig
from sciml.weights import loading, pickles
from sciml.weights.loading import layers

if TYPE_CHECKING:
    from torch_geometric.data import Data

KINEMATICS = 4
KINDS = 9
"""Types in OmniLearned's order, the sorted PDG codes -211, -13, -11, 0, 11, 13, 22, 130, 211."""
UNUSED = re.compile(r"body\.(MPFourier|time_embed)\.|generator")
"""Weights of the generator, and of its time, which classification does not use."""


class OmniLearnedNetwork(nn.Module):
    """The network behind the raw batch of jets."""

    kind = "omnilearned"

    def __init__(self, network: OmniLearned) -> None:
        super().__init__()
        self.network = network

    @property
    def features(self) -> str:
        """Name of the feature set whose columns it reads.

        Raises:
            InputError: it reads other features than those that OmniLearned documents.
        """
        config = self.network.config
        hint = "Prepare its inputs yourself and call tagger.network.network"
        if config.conditions:
            raise InputError("the network reads features of the jet (conditional)", hint=hint)
        if config.features != KINEMATICS or config.track_features not in (0, 4):
            raise InputError("the network reads other features than OmniLearned's own", hint=hint)
        if config.kinds not in (0, KINDS):
            raise InputError(f"the network has {config.kinds} types of particles", hint=hint)
        return "full" if config.track_features else "kinpid" if config.kinds else "kin"

    def forward(self, batch: Data) -> Tensor:
        """Raw batch -> logits [B, classes]."""
        config, x, mask = self.network.config, batch.x, batch.mask
        one = torch.ones_like(x[..., 0])
        pt2 = torch.where(mask, x[..., col.PX].square() + x[..., col.PY].square(), one)
        energy = torch.where(mask, x[..., col.ENERGY], one)
        kinematics = torch.stack(
            [x[..., col.DETA], x[..., col.DPHI], 0.5 * pt2.log(), energy.log()], -1
        )
        dtype = self.network.classifier.out.weight.dtype
        kinds = particle_kinds(x) if config.kinds else None
        tracks = None
        if config.track_features:
            d0, d0_error, dz, dz_error = x[..., col.D0 : col.CHARGE].unbind(-1)
            tracks = torch.stack([d0.tanh(), d0_error, dz.tanh(), dz_error], -1).to(dtype)
        return self.network(kinematics.to(dtype), mask, kinds, tracks)

    def settings(self) -> dict[str, Any]:
        """Plain values that rebuild the network."""
        return dataclasses.asdict(self.network.config)

    @classmethod
    def build(cls, settings: Mapping[str, Any], classes: int) -> OmniLearnedNetwork:
        """A freshly initialised network."""
        from sciml.config import from_dict

        config = from_dict(OmniLearnedConfig, settings)
        if config.classes != classes:
            raise InputError(f"names {classes} classes for {config.classes} outputs")
        return cls(OmniLearned(config))


def particle_kinds(x: Tensor) -> Tensor:
    """OmniLearned's type of each particle [B, N] int64 from the columns of jets [B, N, 16]."""
    charge = x[..., col.CHARGE]
    positive = charge > 0
    kinds = torch.where(charge != 0, torch.where(positive, 8, 0), 7)  # hadrons, then the others
    kinds = torch.where(x[..., col.PHOTON] > 0, 6, kinds)
    kinds = torch.where(x[..., col.ELECTRON] > 0, torch.where(positive, 2, 4), kinds)
    return torch.where(x[..., col.MUON] > 0, torch.where(positive, 1, 5), kinds)


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors `body.*` and `classifier.*` of a checkpoint.

    Raises:
        InputError: an unreadable file, or no checkpoint of OmniLearned's classifier.
    """
    path = Path(path)
    state: dict[str, Any]
    if path.suffix == ".safetensors":
        state = tensors.read(path)[0]
    else:
        content = pickles.read(path)
        if isinstance(content, Mapping) and isinstance(content.get("body"), Mapping):
            parts = {"body": "body.", "classifier_head": "classifier."}
            state = {
                prefix + name.removeprefix("module."): value
                for part, prefix in parts.items()
                for name, value in (content.get(part) or {}).items()
            }
        else:
            state = pickles.state_dict(content, ("state_dict", "model"), path)
            state = {name.removeprefix("module."): value for name, value in state.items()}
    state = {name: value for name, value in state.items() if not UNUSED.match(name)}
    if "classifier.out.weight" not in state or "body.token" not in state:
        raise InputError(
            "is no checkpoint of OmniLearned with a classifier (body, classifier_head)", where=path
        )
    return state


def config_of(
    state: Mapping[str, Tensor], neighbours: int, coordinates: int, num_heads: int | None
) -> OmniLearnedConfig:
    """Sizes from the shapes of weights.

    Raises:
        InputError: blocks with skips, which the package has for other tasks; heads that are not
            told, or otherwise.
    """
    if any(name.startswith("body.out_blocks.") for name in state):
        raise InputError("has skips between blocks (skip=True), which are not built here")
    _, tokens, dim = state["body.token"].shape
    features = len(state["body.embed.norm.weight"])
    pairs = state.get("body.interaction.mlp.fc2.weight")
    tracks = state.get("body.add_embed.0.fc1.weight")
    kinds = state.get("body.pid_embed.0.weight")
    conditions = state.get("body.cond_embed.0.fc1.weight")
    heads = num_heads if pairs is None else len(pairs)
    if heads is None:
        raise InputError(
            "the weights do not tell the number of attention heads", hint="Give num_heads"
        )
    if num_heads not in (None, heads) or heads < 1 or dim % heads:
        raise InputError(f"num_heads is {num_heads}, the weights have {heads} heads and {dim} wide")
    return OmniLearnedConfig(
        features=features,
        classes=len(state["classifier.out.weight"]),
        dim=dim,
        heads=heads,
        layers=layers(state, "body.in_blocks."),
        local_layers=layers(state, "body.local_physics.in_blocks."),
        head_layers=layers(state, "classifier.in_blocks."),
        tokens=tokens,
        expansion=len(state["body.embed.mlp.fc1.weight"]) // dim,
        neighbours=neighbours,
        coordinates=coordinates,
        pair_bias=pairs is not None,
        local_pairs=state["body.local_physics.mlp.fc1.weight"].shape[1] == features + 3,
        kinds=0 if kinds is None else len(kinds),
        track_features=0 if tracks is None else tracks.shape[1],
        conditions=0 if conditions is None else conditions.shape[1],
    )


class OmniLearnedBridge:
    """Mixin of a tagger whose `network` may be OmniLearned's."""

    @classmethod
    def from_omnilearned(
        cls, path: str | os.PathLike[str], *, classes: Sequence[str] | None = None,
        neighbours: int = 10, coordinates: int = 2, num_heads: int | None = None,
    ) -> Self:  # fmt: skip
        """A tagger from a checkpoint of OmniLearned's classifier.

        Pair features are those of jets (--interaction-type lhc). Those of stars (astro) are divided
        by a norm of the whole batch in the package, so that no jet has a score of its own.

        Args:
            path: .pt (read without running code) or .safetensors.
            classes: names of the outputs.
            neighbours: of each particle (its option --K).
            coordinates: features among which they are looked for (--num-coord).
            num_heads: attention heads, which weights without --interaction do not tell.

        Raises:
            InputError: an unreadable file, no such checkpoint, or keys that do not fit, by name.
        """
        from sciml.config import check

        state = read_state(path)
        try:
            config = check(config_of(state, neighbours, coordinates, num_heads))
        except InputError as error:
            raise InputError(error.what, where=path, hint=error.hint) from error
        except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
            raise InputError(
                f"is no checkpoint of OmniLearned's classifier ({error})", where=path
            ) from error
        network = loading.restore(lambda: OmniLearned(config), state, where=path)
        names = classes or [f"class_{i}" for i in range(config.classes)]
        if len(names) != config.classes:
            raise InputError(f"has {config.classes} outputs, {len(names)} are named", where=path)
        make: Any = cls
        return make(OmniLearnedNetwork(network), names).eval()
