"""The jets of a data config as training examples, and their embedding for any trunk.

Inputs are grouped as weaver's network scripts do: `pf_points`, `pf_features`, `pf_vectors` and
`pf_mask` describe the collection `pf`; several collections (pf, sv) share one set of nodes. An
input without `length`, or of length 1, holds numbers of the jet: together they are one more node.
Four-momenta give the pair features of the Particle Transformer among all nodes that have them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sciml.data.on_disk import Spill, identity, made_once
from sciml.errors import InputError
from sciml.files.jsons import dumps
from sciml.jets.data.features import all_pairs
from sciml.jets.data.io import expand
from sciml.jets.weaver.config import WeaverConfig
from sciml.objectives.base import Embedder, changed
from sciml.paths import cache_dir

if TYPE_CHECKING:
    from torch_geometric.data import Data

MEMORY = 1 << 28
"""Bytes above which the tensors lie on disk."""
_ROLE = re.compile(r"(.+?)_(points|features|vectors|mask)")
_PAIR_CENTRE, _PAIR_SCALE = -2.0, 4.0
"""About the mean and spread of the four logarithms over the collections of a jet."""


@dataclass(frozen=True)
class Collection:
    """Nodes of one kind: names of the inputs that describe them."""

    features: tuple[str, ...]
    vectors: str = ""
    mask: str = ""
    """"": a node is where any feature is not zero."""


@dataclass(frozen=True)
class Layout:
    """How the inputs of a data config become nodes."""

    collections: tuple[Collection, ...]
    jet: tuple[str, ...]
    """Inputs that hold numbers of the jet itself."""
    widths: dict[str, int]
    """Variables of each input."""

    @classmethod
    def of(cls, config: WeaverConfig) -> Layout:
        """The layout of a config's inputs."""
        groups: dict[str, dict[str, str]] = {}
        jet = []
        for name, entry in config.inputs.items():
            if entry.length in (None, 1):
                jet.append(name)
                continue
            match = _ROLE.fullmatch(name)
            group, role = match.groups() if match else (name, "features")
            groups.setdefault(group, {})[role] = name
        collections = [
            Collection(
                tuple(group[r] for r in ("features", "points") if r in group),
                group.get("vectors", ""),
                group.get("mask", ""),
            )
            for group in groups.values()
            if set(group) != {"mask"}
        ]
        if not collections and not jet:
            raise InputError("has masks alone as inputs", where=config.path)
        widths = {name: len(entry.variables) for name, entry in config.inputs.items()}
        return cls(tuple(collections), tuple(jet), widths)

    def settings(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class ConfigEmbedder(Embedder):
    """Inputs of a data config -> `x` [B, N, dim] and `pair` [B, N, N, pair_dim] of a trunk.

    Args:
        dim: width of node features for the trunk.
        pair_dim: width of pair features for the trunk; 0 gives none.
        layout: of the inputs.
    """

    def __init__(self, dim: int, pair_dim: int, layout: Layout) -> None:
        super().__init__()
        self.dim, self.pair_dim, self.layout = dim, pair_dim, layout

        def network(width: int) -> nn.Module:
            return nn.Sequential(
                nn.Linear(width, 2 * dim), nn.GELU(), nn.LayerNorm(2 * dim), nn.Linear(2 * dim, dim)
            )

        self.nodes = nn.ModuleList(
            network(sum(layout.widths[n] for n in c.features or (c.vectors,)))
            for c in layout.collections
        )
        jet = sum(layout.widths[name] for name in layout.jet)
        self.jet = network(jet) if jet else None
        self.project_pairs = nn.Linear(5, pair_dim) if pair_dim else None

    def forward(self, batch: Data, hidden: Tensor | None = None) -> Data:
        """See the class; nodes of all collections stand at the beginning of a row.

        Raises:
            InputError: nodes are to be hidden: a data config says not what hides them.
        """
        if hidden is not None:
            raise InputError("inputs of a data config cannot be hidden from pretraining")
        x, p4, masks = [], [], []
        for collection, network in zip(self.layout.collections, self.nodes, strict=True):
            features = _features(batch, collection)
            mask = _mask(batch, collection, features)
            vectors = _transposed(batch, collection.vectors) if collection.vectors else None
            x.append(network(features))
            p4.append(features.new_zeros(*mask.shape, 4) if vectors is None else vectors)
            masks.append(mask)
        if self.jet is not None:
            values = [batch[n] for n in self.layout.jet]
            numbers = torch.cat([v.flatten(1) if v.ndim > 1 else v[:, None] for v in values], 1)
            x.append(self.jet(numbers)[:, None])
            p4.append(numbers.new_zeros(numbers.shape[0], 1, 4))
            masks.append(torch.ones_like(numbers[:, :1], dtype=torch.bool))
        nodes, momenta, mask = torch.cat(x, 1), torch.cat(p4, 1), torch.cat(masks, 1)
        if not torch.jit.is_tracing():  # an exported graph keeps every place where it is
            order = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)
            order = order[:, : max(1, int(mask.sum(1).max()))]
            mask = mask.gather(1, order)
            nodes = nodes.gather(1, order[..., None].expand(-1, -1, self.dim))
            momenta = momenta.gather(1, order[..., None].expand(-1, -1, 4))
        nodes = nodes.masked_fill(~mask[..., None], 0.0)
        made = {"x": nodes, "mask": mask}
        if self.project_pairs is not None:
            known = (momenta[..., 3] > 0) & mask
            both = known[:, :, None] & known[:, None, :]
            # a stand-in of unit momentum keeps logarithms and gradients finite
            stand_in = momenta.new_tensor([1.0, 0.0, 0.0, 1.0])
            pairs = all_pairs(torch.where(known[..., None], momenta, stand_in))
            pairs = torch.where(both[..., None], (pairs - _PAIR_CENTRE) / _PAIR_SCALE, 0.0)
            made["pair"] = self.project_pairs(torch.cat([pairs, both[..., None].float()], -1))
        return changed(batch, **made)


def _transposed(batch: Data, name: str) -> Tensor:
    return batch[name].transpose(1, 2)


def _features(batch: Data, collection: Collection) -> Tensor:
    """[B, N, F]."""
    if collection.features:
        return torch.cat([_transposed(batch, name) for name in collection.features], -1)
    vectors = _transposed(batch, collection.vectors)  # in GeV: of any size
    return vectors.sign() * vectors.abs().log1p()


def _mask(batch: Data, collection: Collection, features: Tensor) -> Tensor:
    """[B, N] bool."""
    if collection.mask:
        return batch[collection.mask][:, 0] > 0
    return (features != 0).any(-1)


class ConfiguredJets(Sequence[Any]):
    """Selected jets of some files as a data config describes them; `jets[i]` for `collate`.

    Attributes:
        labels: [n] int64 classes, or [n, targets] float32 values.
        rows: [n] int64, row of each jet in the files read one after the other.
        weights: [n] float32 of the training; 1 where the config has none.
    """

    def __init__(self, arrays: Mapping[str, Any], names: Sequence[str], classes: bool) -> None:
        self.arrays, self.names = arrays, tuple(names)
        self.rows, self.weights = np.asarray(arrays["rows"]), np.asarray(arrays["weights"])
        values = np.asarray(arrays["labels"])
        self.labels = values[:, 0].astype(np.int64) if classes else values.astype(np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        item = {name: torch.as_tensor(np.array(self.arrays[name][index])) for name in self.names}
        return item | {
            "y": torch.as_tensor(self.labels[index]),
            "weight": torch.as_tensor(self.weights[index]),
        }

    @classmethod
    def read(
        cls,
        config: WeaverConfig,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        train: bool = True,
        max_jets: int = 0,
        memory: int = MEMORY,
    ) -> ConfiguredJets:
        """Read files through the config.

        Args:
            config: standardised, with histograms where its weights need them.
            paths: a path, a glob pattern, or a list of them.
            train: the selection and the weights of training, not those of a test.
            max_jets: stop after about so many selected jets; 0 = all.
            memory: bytes above which the tensors lie in the user's cache folder.

        Raises:
            InputError: see `WeaverConfig.batch`; or no jet passes, or a label is not finite.
        """
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {
            name: ("float32", (len(e.variables), *(() if e.length is None else (e.length,))))
            for name, e in config.inputs.items()
        }
        targets = len(config.labels)
        if not targets:
            raise InputError("names no labels to learn", where=config.path)
        columns = shapes | {
            "labels": ("float64", (targets,)), "rows": ("int64", ()), "weights": ("float32", ())
        }  # fmt: skip

        def fill(spill: Spill) -> None:
            taken = 0
            for batch in config.iterate(paths, train=train):
                labels = np.stack(
                    [np.asarray(v, np.float64) for v in batch.labels.values()], axis=1
                )
                if (bad := np.flatnonzero(~np.isfinite(labels).all(1))).size:
                    raise InputError(
                        f"the label of jet {batch.rows[bad[0]]} is not finite",
                        where=config.path, hint="Leave such jets out with `selection`",
                    )  # fmt: skip
                ones = np.ones(len(labels), np.float32)
                rows: dict[str, NDArray[Any]] = {
                    "labels": labels,
                    "rows": batch.rows,
                    "weights": ones if batch.weights is None else batch.weights,
                }
                for name, (_, shape) in shapes.items():
                    value = batch.inputs[name]
                    if value.size != len(value) * int(np.prod(shape)):
                        raise InputError(
                            f"the input {name!r} has lists, and no `length`", where=config.path
                        )
                    rows[name] = value.reshape(len(value), *shape)
                spill.append(rows)
                taken += len(labels)
                if max_jets and taken >= max_jets:
                    break

        options = {
            "files": [identity(path) for path in expand(paths)],
            "config": hashlib.sha256(dumps(config.fitted_options()).encode()).hexdigest(),
            "train": train,
            "max_jets": max_jets,
            "configured": 1,
        }
        arrays = made_once(cache_dir() / "jets", columns, options, fill, memory)
        jets = cls(arrays, list(shapes), config.has_classes)
        if not len(jets):
            raise InputError("no jet passes the selection", where=config.path)
        return jets


class Part(Sequence[Any]):
    """Some jets of `ConfiguredJets`; their mean weight is 1.

    Args:
        jets: all of them.
        chosen: which.
        centre, scale: of the values to predict; None for classes.
    """

    def __init__(
        self, jets: ConfiguredJets, chosen: np.ndarray, centre: Any = None, scale: Any = None
    ) -> None:
        self.jets, self.chosen, self.centre, self.scale = jets, chosen, centre, scale
        self.mean = float(jets.weights[chosen].mean()) or 1.0

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: Any) -> Any:
        item = self.jets[int(self.chosen[index])]
        item["weight"] = item["weight"] / self.mean
        if self.centre is not None:
            item["y"] = (item["y"] - self.centre) / self.scale
        return item


def collate(items: Sequence[Mapping[str, Tensor]]) -> Data:
    """Single jets -> the raw batch of `ConfigEmbedder` and `Supervised`."""
    stacked = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    return raw_batch(stacked)


def raw_batch(inputs: Mapping[str, Tensor]) -> Data:
    """Named tensors of B jets as a batch; `mask` and `x` stand for those that embedding makes."""
    from torch_geometric.data import Data

    some = next(iter(inputs.values()))
    nodes = {"x": some.new_zeros(len(some), 1, 0), "mask": torch.ones(len(some), 1).bool()}
    return Data(**nodes, **inputs)
