"""A tagger from weights of L-GATr (PyPI `lgatr` 2): `JetTagger.from_lgatr`.

Sizes come from the shapes of the weights; what these do not tell are arguments. Inputs are made as
the authors' code for jet tagging makes them: each particle is a multivector of its four-momentum in
units of 20 GeV, beside reference multivectors (the beam's and the direction of time) that break the
symmetry to that of a detector; a token without momentum, marked by a scalar, gives the answer.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.files import tensors
from sciml.jets.data import columns as col
from sciml.jets.networks.geometric_algebra import BLADES
from sciml.jets.networks.lgatr import LGATr, LGATrConfig
from sciml.weights import loading, pickles
from sciml.weights.loading import layers

if TYPE_CHECKING:
    from torch_geometric.data import Data

Beam = Literal["xyplane", "lightlike", "spacelike", "timelike", "none"]
BEAM_ENERGY = {"lightlike": 1.0, "spacelike": 0.0, "timelike": 2**0.5}
"""Energy of a beam of the momentum 1 along z."""
WRAPPERS = ("module.", "model.", "net.")
"""Names before those of the network, which wrappers of it add."""


@dataclasses.dataclass(frozen=True)
class LGATrInputs:
    """How jets become multivectors."""

    unit: float = 20.0
    """GeV, in which momenta are measured."""
    beam: Beam = "xyplane"
    """The reference of the beam: the plane across it, or momenta along it."""
    two_beams: bool = True
    """A momentum along the beam each way."""
    time: bool = True
    """The direction of time is a reference."""
    reference_tokens: bool = False
    """References are items of their own, not channels of each item."""
    global_token: bool = True
    """A token gives the answer; else the mean over the items."""

    def references(self) -> Tensor:
        """[references, 16]."""
        rows = []
        if self.beam == "xyplane":
            rows.append({BLADES.index((1, 2)): 1.0})
        elif self.beam != "none":
            energy = BEAM_ENERGY[self.beam]
            rows += [{1: energy, 4: z} for z in ((1.0, -1.0) if self.two_beams else (1.0,))]
        if self.time:
            rows.append({1: 1.0})
        out = torch.zeros(len(rows), 16)
        for row, places in zip(out, rows, strict=True):
            for place, value in places.items():
                row[place] = value
        return out


class LGATrNetwork(nn.Module):
    """The network behind the raw batch of jets."""

    kind = "lgatr"
    references: Tensor

    def __init__(self, network: LGATr, inputs: LGATrInputs) -> None:
        super().__init__()
        self.network, self.inputs = network, inputs
        self.register_buffer("references", inputs.references(), persistent=False)

    @property
    def features(self) -> str:
        """Name of the feature set whose columns it reads.

        Raises:
            InputError: it has other inputs than momenta and references.
        """
        config, inputs = self.network.config, self.inputs
        channels = 1 if inputs.reference_tokens else 1 + len(self.references)
        hint = "Call tagger.network.network(multivectors, scalars, mask) with inputs of your own"
        if config.inputs != channels:
            raise InputError(
                f"the network reads {config.inputs} multivectors per particle, these options give "
                f"{channels}", hint="Set `beam`, `time`, `two_beams` or `reference_tokens`",
            )  # fmt: skip
        if config.scalar_inputs != int(inputs.global_token):
            raise InputError(
                f"the network reads {config.scalar_inputs} scalars per particle, of which only the "
                "mark of the global token can be made", hint=hint,
            )  # fmt: skip
        return "kin"

    def forward(self, batch: Data) -> Tensor:
        """Raw batch -> logits [B, classes]."""
        dtype = self.network.linear_in.weight.dtype
        p4 = batch.x[..., [col.ENERGY, col.PX, col.PY, col.PZ]] / self.inputs.unit
        items = nn.functional.pad(p4.to(dtype), (1, 11))[:, :, None]
        mask, references = batch.mask, self.references.to(dtype)
        jets = len(items)
        if self.inputs.reference_tokens:
            tokens = references[None, :, None].expand(jets, -1, -1, -1)
            items = torch.cat([tokens, items], 1)
            mask = nn.functional.pad(mask, (len(references), 0), value=True)
        else:
            every = references.expand(*items.shape[:2], -1, -1)
            items = torch.cat([items, every], 2)
        scalars = None
        if self.inputs.global_token:
            items = nn.functional.pad(items, (0, 0, 0, 0, 1, 0))
            mask = nn.functional.pad(mask, (1, 0), value=True)
            scalars = nn.functional.pad(items.new_ones(jets, 1, 1), (0, 0, 0, items.shape[1] - 1))
        values = self.network(items, scalars, mask)[0][..., 0]
        if self.inputs.global_token:
            return values[:, 0]
        weight = mask.to(dtype)[..., None]
        return (values * weight).sum(1) / weight.sum(1)

    def settings(self) -> dict[str, Any]:
        """Plain values that rebuild the network."""
        return {
            "network": dataclasses.asdict(self.network.config),
            "inputs": dataclasses.asdict(self.inputs),
        }

    @classmethod
    def build(cls, settings: Mapping[str, Any], classes: int) -> LGATrNetwork:
        """A freshly initialised network."""
        from sciml.config import from_dict

        config = from_dict(LGATrConfig, settings["network"])
        if config.outputs != classes:
            raise InputError(f"names {classes} classes for {config.outputs} outputs")
        return cls(LGATr(config), from_dict(LGATrInputs, settings["inputs"]))


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors of the network by their names in the package.

    Raises:
        InputError: an unreadable file, or no weights of L-GATr.
    """
    path = Path(path)
    state: dict[str, Any]
    if path.suffix == ".safetensors":
        state = tensors.read(path)[0]
    else:
        state = pickles.state_dict(pickles.read(path), ("state_dict", "model"), path)
    while "linear_in.weight" not in state:
        wrapper = next((w for w in WRAPPERS if all(n.startswith(w) for n in state)), None)
        if wrapper is None or not state:
            raise InputError("holds no weights of L-GATr (linear_in, blocks.*)", where=path)
        state = {name.removeprefix(wrapper): value for name, value in state.items()}
    return state


def config_of(state: Mapping[str, Tensor], num_heads: int, **told: Any) -> LGATrConfig:
    """Sizes from the shapes of weights.

    Args:
        state: the weights.
        num_heads: where the weights do not tell.
        told: the fields of `LGATrConfig` that no shape tells.

    Raises:
        InputError: heads or reinserted channels that do not fit.
    """

    def rows(name: str) -> int:
        return len(state[name]) if name in state else 0

    channels, inputs, number = state["linear_in.weight"].shape
    maps: Any = number
    scalars = rows("linear_in.mvs2s.weight")
    qkv, mlp = "blocks.0.attention.qkv_module.", "blocks.0.mlp.layers."
    multi_query = f"{qkv}q_linear.weight" in state
    first = f"{qkv}{'q' if multi_query else 'in'}_linear"
    share = 1 if multi_query else 3
    queries, query_scalars = (
        rows(f"{first}.weight") // share,
        rows(f"{first}.mvs2s.weight") // share,
    )
    heads = rows("blocks.0.attention.head_scale") or num_heads
    if multi_query:
        heads = queries // max(1, rows(f"{qkv}k_linear.weight"))
    if heads < 1 or queries % heads or query_scalars % heads:
        raise InputError(
            f"{heads} attention heads do not share {queries} multivectors and {query_scalars} "
            "scalars", hint="Give num_heads",
        )  # fmt: skip
    again = state[f"{first}.weight"].shape[1] - channels
    if again != len(told.get("reinserted", ())):
        raise InputError(
            f"each attention sees {again} of the inputs again, "
            f"{len(told.get('reinserted', ()))} are named", hint="Give `reinserted`",
        )  # fmt: skip
    numbers = sorted({int(n[len(mlp) :].split(".")[0]) for n in state if n.startswith(mlp)})
    product = f"{mlp}0.linear_left.weight" in state
    inner = f"{mlp}0.linear_out" if product else f"{mlp}{numbers[0]}"
    return LGATrConfig(
        inputs=inputs, outputs=rows("linear_out.weight"), channels=channels,
        scalar_inputs=state["linear_in.s2mvs.weight"].shape[1]
        if "linear_in.s2mvs.weight" in state else 0,
        scalar_outputs=rows("linear_out.mvs2s.weight"), scalars=scalars,
        blocks=layers(state, "blocks."), heads=heads, head_channels=queries // heads,
        head_scalars=query_scalars // heads, hidden=rows(f"{inner}.weight"),
        hidden_scalars=rows(f"{inner}.mvs2s.weight"), mlp_layers=len(numbers), maps=maps,
        multi_query=multi_query, head_scale="blocks.0.attention.head_scale" in state,
        affine="blocks.0.norm1.weight_mv" in state, geometric_product=product,
        dropout_layers=len(numbers) > 1 and numbers[1] - numbers[0] == 3, **told,
    )  # fmt: skip


class LGATrBridge:
    """Mixin of a tagger whose `network` may be L-GATr."""

    @classmethod
    def from_lgatr(
        cls, path: str | os.PathLike[str], *, classes: Sequence[str] | None = None,
        num_heads: int = 8, activation: str = "gelu", bivector: bool = True,
        reinserted: Sequence[int] = (), reinserted_scalars: Sequence[int] = (), unit: float = 20.0,
        beam: Beam = "xyplane", two_beams: bool = True, time: bool = True,
        reference_tokens: bool = False, global_token: bool = True,
    ) -> Self:  # fmt: skip
        """A tagger from a state dict of `lgatr.LGATr` (version 2), perhaps in a wrapper.

        Args:
            path: .pt (read without running code) or .safetensors.
            classes: names of the outputs.
            num_heads: attention heads, where neither a factor per head nor shared keys tell them.
            activation: nonlinearity of the MLP: relu, sigmoid, tanh, gelu or silu.
            bivector: as in the package's PrimitivesConfig.
            reinserted, reinserted_scalars: places of the inputs that each attention sees again
                (reinsert_mv_channels, reinsert_s_channels).
            unit: GeV, in which momenta are measured.
            beam, two_beams, time: the reference multivectors (`lgatr.get_spurions`).
            reference_tokens: they are items of their own, not channels.
            global_token: a token gives the answer; else the mean over all items.

        Raises:
            InputError: an unreadable file, no such weights, or keys that do not fit, by name.
        """
        from sciml.config import check

        state = read_state(path)
        told: dict[str, Any] = {
            "activation": activation, "bivector": bivector, "reinserted": tuple(reinserted),
            "reinserted_scalars": tuple(reinserted_scalars),
        }  # fmt: skip
        try:
            config = check(config_of(state, num_heads, **told))
            inputs = check(LGATrInputs(unit, beam, two_beams, time, reference_tokens, global_token))
        except InputError as error:
            raise InputError(error.what, where=path, hint=error.hint) from error
        except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
            raise InputError(f"holds no weights of L-GATr ({error})", where=path) from error
        network = loading.restore(lambda: LGATr(config), state, where=path)
        names = classes or [f"class_{i}" for i in range(config.outputs)]
        if len(names) != config.outputs:
            raise InputError(f"has {config.outputs} outputs, {len(names)} are named", where=path)
        make: Any = cls
        return make(LGATrNetwork(network, inputs), names).eval()
