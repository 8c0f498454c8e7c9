"""The base of all trunks: calling convention, saving and loading, freezing, heads.

Your own trunk is a config and a class with `encode`:

    @dataclass(frozen=True)
    class MeanFieldConfig(TrunkConfig):
        depth: int = 2
        \"\"\"Number of layers.\"\"\"

    class MeanField(Trunk):
        Config = MeanFieldConfig
        layout = "dense"

        def __init__(self, config):
            super().__init__(config)
            self.layers = nn.ModuleList(nn.Linear(2 * self.dim, self.dim) for _ in ...)

        def encode(self, batch):
            ...
            return Encoded(nodes=x, graph=mean_nodes(batch, x))

`sciml.testing.check_trunk(MeanField(MeanFieldConfig()))` tests its contract, and
`--trunk mean_field.py:MeanField` uses it on the command line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from jaxtyping import Float
from torch import Tensor, nn

from sciml.config import Range, check, from_dict, read_yaml, to_dict
from sciml.errors import InputError, unknown
from sciml.graph import Layout, layout, optional, rows_of, spread, to_layout
from sciml.nn.layers import count_parameters
from sciml.weights.loading import build, check_fit, load_state, once

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any

__all__ = ["Encoded", "Trunk", "TrunkConfig", "check_fit", "load", "load_state", "save"]
MAX_SETTINGS = 1 << 13
"""Longest settings file of a saved trunk [bytes]."""


@dataclass(frozen=True)
class TrunkConfig:
    """Settings that every trunk has; each trunk's own config extends them."""

    dim: Annotated[int, Range(min=1)] = 128
    """Width of node features, in and out."""
    pair_dim: Annotated[int, Range(min=0)] = 0
    """Width of pair or edge features, in; 0 = none are used."""

    @classmethod
    def trunk(cls) -> type[Trunk]:
        """The trunk class that these settings are of."""
        if cls not in _CLASSES:
            raise InputError(
                f"no trunk has the settings {cls.__name__}",
                hint=f"Set `Config = {cls.__name__}` in the Trunk subclass",
            )
        return _CLASSES[cls]


_CLASSES: dict[type[TrunkConfig], type[Trunk]] = {}


@dataclass
class Encoded:
    """The output of a trunk. Rows of padding are zeros.

    Attributes:
        nodes: [B, N, dim] or [S, dim], in the layout of the batch.
        graph: [B, dim], one vector per graph; zeros for a graph without nodes.
        pairs: [B, N, N, P] or None, dense always.
        vectors: [B, N, V, D] or [S, V, D] or None: node vectors that rotate with `pos` (equivariant
            trunks only; D = 3, or 4 for four-vectors).
    """

    nodes: Tensor
    graph: Tensor
    pairs: Tensor | None = None
    vectors: Tensor | None = None


class Trunk(nn.Module):
    """Base of all trunks: batch in, `Encoded` out.

    A subclass sets `Config`, may set `layout`, and defines `encode`. It is built from its config
    alone, so that it can be saved and loaded. In half precision (`trunk.half()`, and features
    alike) `pos` stays in float32: the package's trunks compute geometry in float32 at least.
    """

    Config: ClassVar[type[TrunkConfig]] = TrunkConfig
    layout: ClassVar[Layout | None] = None
    """The layout that `encode` takes: "dense", "ragged", or None if it takes either."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "Config" in cls.__dict__:
            _CLASSES[cls.Config] = cls

    def __init__(self, config: TrunkConfig | None = None) -> None:
        super().__init__()
        if config is None:
            config = self.Config()
        if not isinstance(config, self.Config):
            raise InputError(
                f"{type(self).__name__} needs a {self.Config.__name__}, "
                f"got a {type(config).__name__}"
            )
        self.config = check(config)

    @property
    def dim(self) -> int:
        """Width of node and graph features, in and out."""
        return self.config.dim

    @property
    def pair_dim(self) -> int:
        """Width of pair or edge features it reads; 0 = none."""
        return self.config.pair_dim

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Groups (names of `sciml.testing.GROUPS`) under which the trunk is equivariant.

        `nodes`, `graph` and `pairs` are invariant and `vectors` equivariant when the group acts on
        `pos`. All trunks promise "permutation"; those that never look at `pos` promise no more.
        """
        return ("permutation",)

    def encode(self, batch: Data) -> Encoded:
        """The network itself, on a batch in the layout `self.layout`."""
        raise TypeError(f"{type(self).__name__} must define encode(batch) -> Encoded")

    def forward(self, batch: Data) -> Encoded:
        """Encode a batch in either layout.

        Args:
            batch: keys as in `sciml.graph`; `x` of width `dim`, `pair` or `edge_attr`, if there is
                one, of width `pair_dim`.

        Raises:
            InputError: a key is missing or has the wrong width.
        """
        batch_layout = layout(batch)
        self._check_widths(batch)
        if self.layout in (None, batch_layout):
            return self.encode(batch)
        own = to_layout(batch, cast(Layout, self.layout))
        return _relaid(self.encode(own), batch, own)

    def _check_widths(self, batch: Data) -> None:
        if batch.x.shape[-1] != self.dim:
            raise InputError(f"`x` must have width {self.dim}, got {batch.x.shape[-1]}")
        for key in ("pair", "edge_attr"):
            value = optional(batch, key)
            if value is not None and self.pair_dim and value.shape[-1] != self.pair_dim:
                raise InputError(
                    f"`{key}` must have width {self.pair_dim}, got {value.shape[-1]}",
                    hint="Set the trunk's `pair_dim`, or let the embedder project the pairs",
                )

    def with_head(self, head: nn.Module | int) -> Headed:
        """The trunk with a head: `forward(batch) -> head(encoded)`.

        Args:
            head: a module that takes `Encoded`, or a number of outputs: a linear layer on `graph`.
                The trunk is shared, not copied: a second `with_head` re-heads it.
        """
        return Headed(self, GraphHead(self.dim, head) if isinstance(head, int) else head)

    def freeze(self, *patterns: str) -> Trunk:
        """Stop training parameters whose name matches a pattern; without patterns, all.

        Args:
            patterns: globs on parameter names or on their modules: "blocks.0", "blocks.*.attn*".

        Returns:
            the trunk itself.

        Raises:
            InputError: a pattern that matches nothing.
        """
        _set_trainable(self, patterns or ("*",), False)
        return self

    def unfreeze(self, *patterns: str) -> Trunk:
        """Train these parameters again; see `freeze`. Together they freeze in part."""
        _set_trainable(self, patterns or ("*",), True)
        return self

    def count_parameters(self, trainable_only: bool = False) -> int:
        """Number of parameters."""
        return count_parameters(self, trainable_only)


def _set_trainable(module: nn.Module, patterns: Iterable[str], trainable: bool) -> None:
    named = dict(module.named_parameters())
    for pattern in patterns:
        matching = [n for n in named if fnmatchcase(n, pattern) or fnmatchcase(n, pattern + ".*")]
        if not matching and named:
            raise unknown("parameter or module", pattern, named)
        for name in matching:
            named[name].requires_grad_(trainable)


def _relaid(encoded: Encoded, target: Data, own: Data) -> Encoded:
    """The encoding of `own` laid out like `given`, the same batch in the other layout."""
    change: Callable[[Tensor], Tensor]
    if layout(target) == "dense":
        mask = target.mask
        change = lambda rows: spread(rows, mask)  # noqa: E731
    else:
        rows = rows_of(own.mask, len(target.batch))
        change = lambda padded: padded.flatten(0, 1).index_select(0, rows)  # noqa: E731
    vectors = encoded.vectors
    return dataclasses.replace(
        encoded,
        nodes=change(encoded.nodes),
        vectors=None if vectors is None else change(vectors),
    )


class GraphHead(nn.Module):
    """One linear layer on the graph's vector."""

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, outputs)

    def forward(self, encoded: Encoded) -> Float[Tensor, "B outputs"]:
        """`Encoded` -> [B, outputs]."""
        return self.linear(encoded.graph)


class NodeHead(nn.Module):
    """One linear layer on each node."""

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, outputs)

    def forward(self, encoded: Encoded) -> Float[Tensor, "*G outputs"]:
        """`Encoded` -> [B, N, outputs] or [S, outputs]."""
        return self.linear(encoded.nodes)


class Headed(nn.Module):
    """A trunk with a head."""

    def __init__(self, trunk: Trunk, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, batch: Data) -> Any:
        """`head(trunk(batch))`."""
        return self.head(self.trunk(batch))


def _paths(path: str | Path) -> tuple[Path, Path]:
    """(weights, settings) of a trunk at `path`: a folder, or a file with or without suffix."""
    path = Path(path)
    if path.suffix in (".safetensors", ".yaml"):
        return path.with_suffix(".safetensors"), path.with_suffix(".yaml")
    return path / "trunk.safetensors", path / "trunk.yaml"


def save(trunk: Trunk, path: str | Path) -> Path:
    """Write a trunk as `.safetensors` (weights) and `.yaml` (name and settings) beside it.

    Args:
        trunk: what to save, its LoRA adapters merged or taken off first.
        path: a folder (gets trunk.safetensors, trunk.yaml), or a file ending in .safetensors.

    Returns:
        the path of the weights.

    Raises:
        InputError: the trunk still has adapters, or the folder cannot be written.
    """
    import yaml

    from sciml.files import tensors
    from sciml.paths import atomic_write
    from sciml.trunks import name_of

    if any(getattr(module, "is_adapter", False) for module in trunk.modules()):
        raise InputError(
            "the trunk still has LoRA adapters",
            hint="Call sciml.trunks.lora.merge(trunk), or save lora.state(trunk) instead",
        )
    weights, settings = _paths(path)
    content = {"trunk": name_of(type(trunk)), "config": to_dict(trunk.config)}
    tensors.write(weights, once(trunk.state_dict()))
    with atomic_write(settings) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return weights


def load(path: str | Path, kind: str | type[Trunk] | None = None) -> Trunk:
    """A trunk that `save` wrote, on the CPU, in the precision it was saved in.

    Args:
        path: the folder, or the .safetensors or .yaml file.
        kind: a trunk of your own, as `sciml.trunks.find` takes it: a file does not bring code.
            Not needed for one whose module has been imported.

    Raises:
        InputError: a file is missing or damaged, names a trunk that neither comes with the package
            nor is `kind`, or the weights do not fit the settings.
    """
    from sciml.files import tensors
    from sciml.paths import existing_file
    from sciml.trunks import named_in_file

    weights, settings = _paths(path)
    if existing_file(settings, "YAML file").stat().st_size > MAX_SETTINGS:
        raise InputError(f"has more than {MAX_SETTINGS} bytes of settings", where=settings)
    content = read_yaml(settings)
    if not isinstance(content.get("trunk"), str):
        raise InputError("must name its `trunk`", where=settings)
    trunk_class = named_in_file(content["trunk"], kind, where=settings)
    config = from_dict(trunk_class.Config, content.get("config") or {}, where=settings)
    state, _ = tensors.read(existing_file(weights, "weights file"))
    trunk = build(lambda: trunk_class(config), state, where=settings)
    floating = [t.dtype for t in state.values() if t.is_floating_point()]
    if floating:
        trunk.to(floating[0])
    load_state(trunk, state, where=weights)
    return trunk
