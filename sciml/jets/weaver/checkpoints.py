"""Reads and writes the weights of weaver-core: ParticleNet and the Particle Transformer.

Both layouts of the Particle Transformer are read: the newer one (`attn.in_proj.weight`) and
that of the published JetClass weights (`attn.in_proj_weight`); so are the prefixes that training
scripts leave (`mod.`, `module.`, `_orig_mod.`). Sizes come from the shapes. What shapes do not
determine (numbers of neighbours, activations, which blocks have the pair bias) are arguments of
`build`; variants that this package lacks are refused by name (`sciml.jets.weaver.variants`).

weaver's tensors are [B, c, N] with a mask [B, 1, N]; this package's are [B, N, c] and [B, N].
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from sciml.config import check
from sciml.errors import InputError, nearest
from sciml.files import tensors
from sciml.jets.networks.particle_net import ParticleNet, ParticleNetConfig
from sciml.jets.networks.particle_transformer import ParTConfig, ParticleTransformer
from sciml.jets.weaver.variants import variant
from sciml.paths import atomic_write
from sciml.weights import loading, pickles
from sciml.weights.loading import layers

PREFIXES = ("_orig_mod.", "module.", "mod.")

_PART_NAMES = (
    # (ours, weaver's); {n} is a number, moved by the formulas in `weaver_name`
    ("class_token", "cls_token"),
    ("class_blocks.", "cls_blocks."),
    ("head_gain", "c_attn"),
    ("residual_gain", "w_resid"),
    ("attention.qkv", "attn.in_proj"),
    ("attention.out", "attn.out_proj"),
    ("norm_1", "pre_attn_norm"),
    ("norm_2", "post_attn_norm"),
    ("norm_3", "pre_fc_norm"),
    ("norm_4", "post_fc_norm"),
    ("linear_1", "fc1"),
    ("linear_2", "fc2"),
    ("embed.norm.", "embed.input_bn."),
    ("pairs.norm.", "pair_embed.embed.0."),
)

_PARTICLE_NET_NAMES = ((".norms.", ".bns."), (".shortcut.", ".sc."), (".shortcut_norm.", ".sc_bn."))


def weaver_name(name: str, model: nn.Module) -> str:
    """The name in weaver's state dict of one of our parameters or buffers."""
    if isinstance(model, ParticleNet):
        name = re.sub(r"^trunk\.norm\.", "bn_fts.", name)
        name = re.sub(r"^trunk\.blocks\.(\d+)\.", r"edge_convs.\1.", name)
        for ours, theirs in _PARTICLE_NET_NAMES:
            name = name.replace(ours, theirs)
        name = re.sub(r"^hidden\.(\d+)\.", r"fc.\1.0.", name)
        return re.sub(r"^head\.", f"fc.{len(model.hidden)}.", name)
    if match := re.match(r"embed\.layers\.(\d+)\.(norm|linear)\.(.*)", name):
        number = 3 * int(match[1]) + ("norm", "linear").index(match[2])
        return f"embed.embed.{number}.{match[3]}"
    if match := re.match(r"pairs\.layers\.(\d+)\.(norm|linear)\.(.*)", name):
        number = 3 * int(match[1]) + 1 + ("linear", "norm").index(match[2])
        return f"pair_embed.embed.{number}.{match[3]}"
    for ours, theirs in _PART_NAMES:
        name = name.replace(ours, theirs)
    return re.sub(r"^head\.", "fc.0.", name)


def weaver_shape(name: str, value: Tensor) -> tuple[int, ...]:
    """The shape weaver stores it in: 1x1 convolutions where we have linear layers."""
    extra = 0
    if value.ndim == 2:
        if re.match(r"pair_embed\.embed\.\d+\.weight|edge_convs\.\d+\.sc\.weight", name):
            extra = 1
        elif re.match(r"edge_convs\.\d+\.convs\.", name):
            extra = 2
    return (*value.shape, *(1,) * extra)


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a state dict on disk (`.safetensors`, or what `torch.save` wrote).

    Nothing is unpickled but tensors and plain containers.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return tensors.read(path)[0]
    loaded = pickles.read(path)
    return pickles.state_dict(loaded, ("state_dict", "model_state_dict", "model"), path)


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without prefixes, in the newer layout."""
    plain = {}
    for name, value in state.items():
        while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
            name = name.removeprefix(prefix)
        plain[re.sub(r"attn\.in_proj_(weight|bias)$", r"attn.in_proj.\1", name)] = value
    return plain


def build(
    state: Mapping[str, Tensor],
    *,
    where: object = None,
    neighbours: int | Sequence[int] = 16,
    use_counts: bool = True,
    use_pre_activation_pair: bool = True,
    remove_self_pair: bool = False,
    activation: Literal["gelu", "relu"] = "gelu",
    block_ids_with_attn_mask: Sequence[int] | None = None,
) -> ParticleTransformer | ParticleNet:
    """The network of a weaver state dict, with its weights, in eval mode.

    Args:
        state: names to tensors, any of the layouts above.
        where: the file, for messages.
        neighbours: of ParticleNet's edge convolutions, one number or one per block; 16 in the
            published weights.
        use_counts: False if a ParticleNet divides sums by the padded length.
        use_pre_activation_pair: False if the pair embedding of a Particle Transformer ends with an
            activation, as in the published JetClass weights; weaver's default is True.
        remove_self_pair: True if trained with that option.
        activation: of a Particle Transformer, "gelu" or "relu".
        block_ids_with_attn_mask: the particle blocks with the pair bias; all if None.

    Raises:
        InputError: a variant that is not built here, by its name; keys that are missing, unknown or
            of another shape, by weaver's names; options that do not fit.
    """
    state = plain_names(state)
    make: Callable[[], ParticleTransformer | ParticleNet]
    try:
        if name := variant(state):
            raise InputError(
                f"holds {name}, which this package does not build",
                hint="weaver-core itself tags with it",
            )
        if "cls_token" in state:
            part = check(
                dataclasses.replace(
                    part_config(state),
                    use_pre_activation_pair=use_pre_activation_pair,
                    remove_self_pair=remove_self_pair,
                    activation=activation,
                    bias_blocks=None
                    if block_ids_with_attn_mask is None
                    else tuple(block_ids_with_attn_mask),
                )
            )
            make = lambda: ParticleTransformer(part)  # noqa: E731
        elif any(name.startswith("edge_convs.") for name in state):
            net = check(particle_net_config(state, neighbours, use_counts))
            make = lambda: ParticleNet(net)  # noqa: E731
        else:
            raise InputError(
                "neither a ParticleNet (edge_convs.*) nor a Particle Transformer (cls_token)",
                hint="Its first keys are " + ", ".join(name[:60] for name in list(state)[:3]),
            )
    except KeyError as error:
        raise InputError(f"the state dict lacks the key {error.args[0]!r}", where=where) from error
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
    except (IndexError, TypeError, ZeroDivisionError) as error:
        raise InputError(
            f"the state dict has tensors of shapes that no network has ({error})", where=where
        ) from error
    model = cast(ParticleTransformer | ParticleNet, loading.build(make, state, where=where))
    load(model, state, where=where)
    model.eval()
    return model


def load(model: nn.Module, state: Mapping[str, Tensor], *, where: object = None) -> None:
    """Copy a state dict with weaver's (plain) names into our network; every key must match."""
    ours = model.state_dict()
    expected_names = {weaver_name(name, model): name for name in ours}
    missing = sorted(set(expected_names) - set(state))
    unknown = sorted(set(state) - set(expected_names))
    faults = []
    if missing:
        faults.append("missing keys " + ", ".join(map(repr, missing[:8])) + _more(missing))
    if unknown:
        close = nearest(unknown[0], missing or expected_names)
        hint = f" (like {close[0]!r}?)" if close and len(unknown) == 1 else ""
        faults.append("unknown keys " + ", ".join(map(repr, unknown[:8])) + _more(unknown) + hint)
    for theirs, name in expected_names.items():
        expected = weaver_shape(theirs, ours[name])
        if theirs in state and tuple(state[theirs].shape) != expected:
            shape = tuple(state[theirs].shape)
            faults.append(f"{theirs!r} has shape {shape}, not {expected}")
        elif theirs in state:
            dtype = state[theirs].dtype
            if dtype.is_floating_point != ours[name].dtype.is_floating_point:
                faults.append(f"{theirs!r} is of the type {dtype}, not {ours[name].dtype}")
    if faults:
        raise InputError("; ".join(faults[:8]) + _more(faults), where=where)
    loading.check_numbers(state, where=where)
    model.load_state_dict(
        {name: state[theirs].reshape(ours[name].shape) for theirs, name in expected_names.items()}
    )


def _more(names: list[str]) -> str:
    return f" and {len(names) - 8} more" if len(names) > 8 else ""


def part_config(state: Mapping[str, Tensor]) -> ParTConfig:
    """Sizes of a Particle Transformer, from the shapes of its weights."""
    linear = sorted(
        (int(match[1]), tuple(value.shape))
        for name, value in state.items()
        if (match := re.fullmatch(r"embed\.embed\.(\d+)\.weight", name)) and value.ndim == 2
    )
    pair = sorted(
        (int(match[1]), tuple(value.shape))
        for name, value in state.items()
        if (match := re.fullmatch(r"pair_embed\.embed\.(\d+)\.weight", name)) and value.ndim == 3
    )
    dim = state["cls_token"].shape[-1]
    return ParTConfig(
        features=len(state["embed.input_bn.weight"]),
        classes=len(state["fc.0.weight"]),
        embed=tuple(shape[0] for _, shape in linear),
        pair=tuple(shape[0] for _, shape in pair[:-1]),
        heads=len(state["blocks.0.c_attn"]),
        layers=layers(state, "blocks."),
        class_layers=layers(state, "cls_blocks."),
        global_token=not layers(state, "cls_blocks."),
        expansion=len(state["blocks.0.fc1.weight"]) // dim,
    )


def particle_net_config(
    state: Mapping[str, Tensor], neighbours: int | Sequence[int], use_counts: bool = True
) -> ParticleNetConfig:
    """Sizes of a ParticleNet, from the shapes of its weights."""
    each = () if isinstance(neighbours, int) else tuple(neighbours)
    channels = []
    for block in range(layers(state, "edge_convs.")):
        prefix = f"edge_convs.{block}.convs."
        widths = [f"{prefix}{layer}.weight" for layer in range(layers(state, prefix))]
        channels.append(tuple(len(state[name]) for name in widths))
    hidden = layers(state, "fc.") - 1
    return ParticleNetConfig(
        features=len(state["bn_fts.weight"]),
        classes=len(state[f"fc.{hidden}.weight"]),
        neighbours=max(each, default=1) if each else neighbours,  # type: ignore[arg-type]
        neighbours_of_blocks=each,
        use_counts=use_counts,
        channels=tuple(channels),
        hidden=tuple(len(state[f"fc.{layer}.0.weight"]) for layer in range(hidden)),
    )


def write(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the weights with weaver's names and shapes, as weaver's `load_state_dict` reads them.

    A `.safetensors` path gives safetensors, any other what `torch.save` writes.
    """
    if not isinstance(model, ParticleTransformer | ParticleNet):
        raise InputError(
            f"weaver has no model like {type(model).__name__}",
            hint="A ParticleNet or a Particle Transformer can be written for weaver",
        )
    state = {}
    for name, value in model.state_dict().items():
        theirs = weaver_name(name, model)
        state[theirs] = value.detach().cpu().reshape(weaver_shape(theirs, value)).contiguous()
    if Path(path).suffix == ".safetensors":
        tensors.write(path, state)
        return
    with atomic_write(Path(path)) as temporary:
        torch.save(state, temporary)


def logits(
    model: ParticleTransformer | ParticleNet,
    points: Tensor | None,
    features: Tensor,
    vectors: Tensor | None,
    mask: Tensor,
) -> Tensor:
    """Logits [B, classes] from tensors laid out as weaver's: [B, c, N], mask [B, 1, N].

    Real particles may stand anywhere in a row. Inputs are cast to the precision of the weights.
    """
    dtype = next(model.parameters()).dtype
    real = mask[:, 0] > 0
    inputs = {"points": points, "features": features, "vectors": vectors}
    rows = {name: x.transpose(1, 2).to(dtype) for name, x in inputs.items() if x is not None}
    if not bool((real.cummin(1).values == real).all()):
        order = torch.argsort((~real).to(torch.int8), dim=1, stable=True)
        real = real.gather(1, order)
        rows = {n: x.gather(1, order[..., None].expand_as(x)) for n, x in rows.items()}
    name = "points" if isinstance(model, ParticleNet) else "vectors"
    if name not in rows:
        raise InputError(f"{type(model).__name__} needs `{name}`, laid out [B, c, N]")
    if isinstance(model, ParticleNet):
        return model(rows["features"], rows[name], real, length=mask.shape[-1])
    return model(rows["features"], rows[name], real)
