"""Reads and writes the weights of weaver-core's networks, and runs them on its tensors.

ParticleNet, ParticleNeXt, the Particle Transformer in all its versions, and the taggers of
particles and secondary vertices. Both layouts of the Particle Transformer are read: the newer one
(`attn.in_proj.weight`) and that of the published JetClass weights (`attn.in_proj_weight`); so are
the prefixes that training scripts leave (`mod.`, `module.`, `_orig_mod.`). Sizes come from the
shapes; what these do not determine is `sciml.jets.weaver.options`.

weaver's tensors are [B, c, N] with a mask [B, 1, N]; this package's are [B, N, c] and [B, N].
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import check, from_dict
from sciml.errors import InputError, nearest
from sciml.files import tensors
from sciml.jets.networks import two_collections
from sciml.jets.networks.particle_net import ParticleNet
from sciml.jets.networks.particle_next import ParticleNeXt
from sciml.jets.networks.particle_transformer import ParticleTransformer
from sciml.jets.networks.two_collections import (
    COLLECTIONS,
    Collection,
    ParticleNetTagger,
    ParticleNeXtTagger,
    ParticleTransformerTagger,
)
from sciml.jets.weaver import particle_next_sizes, sizes
from sciml.jets.weaver.names import plain_name, weaver_name, weaver_shape
from sciml.jets.weaver.options import WeaverOptions
from sciml.jets.weaver.variants import variant
from sciml.paths import atomic_write
from sciml.weights import loading, pickles

NETWORKS = (
    ParticleTransformer, ParticleNet, ParticleNeXt,
    ParticleTransformerTagger, ParticleNetTagger, ParticleNeXtTagger,
)  # fmt: skip
"""Networks of weaver-core that are built here."""
Network = (
    ParticleTransformer
    | ParticleNet
    | ParticleNeXt
    | ParticleTransformerTagger
    | ParticleNetTagger
    | ParticleNeXtTagger
)


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
    return {plain_name(name): value for name, value in state.items()}


def build(state: Mapping[str, Tensor], *, where: object = None, **options: Any) -> Network:
    """The network of a weaver state dict, with its weights, in eval mode.

    Args:
        state: names to tensors, any of the layouts above.
        where: the file, for messages.
        options: what shapes cannot tell, by the names of `WeaverOptions`.

    Raises:
        InputError: a network that gives no classes of jets, by its name; keys that are missing,
            unknown or of another shape, by weaver's names; options that do not fit, or that are
            needed and not given.
    """
    plain = {name: _plain_option(name, value) for name, value in options.items()}
    chosen, settings = from_dict(WeaverOptions, plain, where="options of the network").resolved()
    state = plain_names(state)
    make: Callable[[], Network]
    try:
        if name := variant(state):
            raise InputError(
                f"holds {name}, which is not built here", hint="weaver-core itself runs it"
            )
        config, kind = _described(state, chosen)
        sizes.compare(config, settings, chosen.network)
        make = lambda: kind(check(config))  # noqa: E731
    except KeyError as error:
        raise InputError(f"the state dict lacks the key {error.args[0]!r}", where=where) from error
    except InputError as error:
        raise InputError(error.what, where=error.where or where, hint=error.hint) from error
    except (IndexError, TypeError, ZeroDivisionError) as error:
        raise InputError(
            f"the state dict has tensors of shapes that no network has ({error})", where=where
        ) from error
    model = cast(Network, loading.build(make, state, where=where))
    load(model, state, where=where)
    model.eval()
    return model


def _plain_option(name: str, value: Any) -> Any:
    if name == "neighbours":
        return (value,) if isinstance(value, int) else tuple(value)
    return tuple(value) if isinstance(value, list) else value


def _described(state: Mapping[str, Tensor], options: WeaverOptions) -> tuple[Any, Any]:
    """Config and class of the network that a state dict belongs to."""

    def has(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in state)

    if has("part.") and has("sv_embed."):
        return sizes.part_tagger_config(state, options), ParticleTransformerTagger
    if has("pn.") and has("sv_conv."):
        return sizes.particle_net_tagger_config(state, options), ParticleNetTagger
    if has("pn.layers.") and has("sv_encode."):
        return particle_next_sizes.tagger_config(state, options), ParticleNeXtTagger
    if has("layers."):
        return particle_next_sizes.network_config(state, options), ParticleNeXt
    if has("edge_convs."):
        return sizes.particle_net_config(state, options), ParticleNet
    if has("blocks.") or has("cls_blocks."):
        return sizes.part_config(state, options), ParticleTransformer
    raise InputError(
        "neither a ParticleNet (edge_convs.*), a ParticleNeXt (layers.*) nor a Particle "
        "Transformer (blocks.*)",
        hint="Its first keys are " + ", ".join(name[:60] for name in list(state)[:3]),
    )


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


def write(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the weights with weaver's names and shapes, as weaver's `load_state_dict` reads them.

    A `.safetensors` path gives safetensors, any other what `torch.save` writes.
    """
    if not isinstance(model, NETWORKS):
        raise InputError(
            f"weaver has no model like {type(model).__name__}",
            hint="A ParticleNet, ParticleNeXt or Particle Transformer can be written for weaver",
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
    model: Network,
    points: Tensor | None,
    features: Tensor,
    vectors: Tensor | None,
    mask: Tensor,
    **more: Tensor,
) -> Tensor:
    """Logits [B, classes] from tensors laid out as weaver's: [B, c, N], mask [B, 1, N].

    Real particles may stand anywhere in a row. Inputs are cast to the precision of the weights, but
    momenta and points to no less than single.

    Args:
        points, features, vectors, mask: of particles; a ParticleNet needs points, a Particle
            Transformer with kinematic pair features four-vectors.
        more: `sv_points`, `sv_features`, `sv_vectors`, `sv_mask` of secondary vertices, for a
            tagger that reads them; `pf_uu`, features of pairs [B, c, N, N], or [B, c, pairs]
            with `pf_uu_idx` [B, 2, pairs], for a network with extra pair features.

    Raises:
        InputError: a tensor is missing.
    """
    named = {"pf_points": points, "pf_features": features, "pf_vectors": vectors, "pf_mask": mask}
    return run(model, {n: x for n, x in (named | more).items() if x is not None})


def needed_inputs(model: Network) -> tuple[str, ...]:
    """Names of the tensors that a network reads, in the order of weaver's `forward`."""
    core = getattr(model, "network", model)
    kinds = ["points", "features", "vectors", "mask"]
    if isinstance(core, ParticleTransformer):
        kinds.remove("points")
        if core.pairs is None:
            kinds.remove("vectors")
    elif not (isinstance(core, ParticleNeXt) and core.config.pair_features):
        kinds.remove("vectors")
    collections = COLLECTIONS if core is not model else COLLECTIONS[:1]
    names = [f"{collection}_{kind}" for collection in collections for kind in kinds]
    if isinstance(core, ParticleTransformer) and core.extra_pairs is not None:
        names.append("pf_uu")
    return tuple(names)


def run(model: Network, inputs: Mapping[str, Tensor]) -> Tensor:
    """`logits` from tensors by the names that weaver's data configs give them."""
    names = needed_inputs(model)
    for name in names:
        if name not in inputs:
            kind = type(model).__name__
            raise InputError(f"{kind} needs `{name}`, of the inputs {', '.join(names)}")
    dtype = next(model.parameters()).dtype
    present = [name for name in COLLECTIONS if f"{name}_mask" in names]
    parts = [_collection(inputs, name, names, dtype) for name in present]
    pairs = None
    if "pf_uu" in names:
        pairs = _pairs(inputs, parts[0].mask.shape[1]).permute(0, 2, 3, 1).to(dtype)
    length = sum(part.mask.shape[1] for part in parts)
    if torch.jit.is_tracing():  # one more place, so that a batch of nothing has an axis to work on
        rows = (0, 0, 0, 1)
        parts = [
            Collection(F.pad(p.features, rows), F.pad(p.positions, rows), F.pad(p.mask, (0, 1)))
            for p in parts
        ]
        pairs = None if pairs is None else F.pad(pairs, (0, 0, 0, 1, 0, 1))
    else:
        parts, pairs = _particles_first(parts, pairs)
    if isinstance(model, ParticleTransformerTagger):
        return model(parts, pairs)
    if isinstance(model, ParticleNetTagger):
        return model(parts, length)
    if isinstance(model, ParticleNeXtTagger):
        return model(parts)
    one = parts[0]
    if isinstance(model, ParticleNeXt):
        return model(one.features, one.positions, one.mask)
    if isinstance(model, ParticleNet):
        return model(one.features, one.positions, one.mask, length=length)
    return model(one.features, one.positions, one.mask, pairs)


def _collection(
    inputs: Mapping[str, Tensor], name: str, read: tuple[str, ...], dtype: torch.dtype
) -> Collection:
    features = inputs[f"{name}_features"].transpose(1, 2).to(dtype)
    # kinematics stay in single precision where the network is in half
    wide = torch.promote_types(dtype, torch.float32)
    found = {
        kind: inputs[f"{name}_{kind}"].transpose(1, 2).to(wide)
        for kind in ("points", "vectors") if f"{name}_{kind}" in read
    }  # fmt: skip
    if not found:  # a Particle Transformer without a pair bias
        found["vectors"] = features.new_zeros(*features.shape[:2], 4)
    positions = torch.cat(list(found.values()), -1)
    return Collection(features, positions, inputs[f"{name}_mask"][:, 0] > 0)


def _particles_first(
    parts: list[Collection], pairs: Tensor | None
) -> tuple[list[Collection], Tensor | None]:
    """The same with the real particles of every row in front."""
    result = []
    for part in parts:
        if bool((part.mask.to(torch.int8).cummin(1).values == part.mask).all()):
            result.append(part)
            continue
        if pairs is not None and not result:
            joined, pairs = two_collections.joined([part], pairs)
        else:
            joined, _ = two_collections.joined([part])
        result.append(joined)
    return result, pairs


def _pairs(inputs: Mapping[str, Tensor], length: int) -> Tensor:
    """Features of pairs [B, c, N, N]; entries of a list beyond `length` are padding."""
    values = inputs["pf_uu"]
    if values.ndim == 4:
        return values
    if "pf_uu_idx" not in inputs:
        raise InputError("`pf_uu` [B, c, pairs] needs `pf_uu_idx` [B, 2, pairs]")
    index = inputs["pf_uu_idx"].long().clamp(max=length)
    flat = index[:, 0] * (length + 1) + index[:, 1]
    dense = values.new_zeros(*values.shape[:2], (length + 1) ** 2)
    dense = dense.scatter_add(2, flat[:, None].expand_as(values), values)
    return dense.unflatten(2, (length + 1, length + 1))[:, :, :length, :length]
