"""Graphs of any origin: an embedder for continuous node features, and a reader of `.npz` files.

For point clouds and graphs that belong to none of the four sciences. A file holds `x` [n, F] and
perhaps `pos` [n, D], `edge_index` [2, e] with `edge_attr` [e, P], `pair` [n, n, P] and a class `y`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.graph import layout, make_dense, make_ragged, mean_nodes, optional
from sciml.objectives.base import Embedder, changed, per_node, real
from sciml.objectives.corpus import Corpus
from sciml.weights.arrays import readable

if TYPE_CHECKING:
    from torch_geometric.data import Data


class FeatureEmbedder(Embedder):
    """Continuous node features, pairs and positions -> a trunk's batch.

    Pair (or edge) features are the given ones, or else radial functions of log distance. A hidden
    node has a learned token for features and for its pairs; its position becomes the centre of
    the visible ones.

    Args:
        features: width F of `x`.
        dim: width of the trunk.
        pair_dim: width of the trunk's pairs; 0 = none.
        pair_features: width of the given pair or edge features; 0 = from distances, if any.
        positions: show where hidden nodes are: position is input, content is the target.
    """

    def __init__(
        self,
        features: int,
        dim: int,
        pair_dim: int = 0,
        pair_features: int = 0,
        positions: bool = False,
    ) -> None:
        super().__init__()
        self.features, self.pair_dim, self.positions = features, pair_dim, positions
        self.pair_features, self.radial = pair_features, 16
        self.linear = nn.Linear(features, dim)
        self.token = nn.Parameter(torch.randn(dim) * 0.02)
        if pair_dim:
            self.pairs = nn.Linear(pair_features or self.radial, pair_dim)
            self.pair_token = nn.Parameter(torch.randn(pair_dim) * 0.02)

    def target_sizes(self) -> dict[str, int]:
        """All features of a node."""
        return {"x": self.features}

    def forward(self, batch: Data, hidden: Tensor | None = None) -> Data:
        """See `Embedder`."""
        if batch.x.shape[-1] != self.features:
            raise InputError(f"nodes must have {self.features} features, got {batch.x.shape[-1]}")
        # Zeros first: what is hidden must not reach the result, not even as NaN.
        x = batch.x if hidden is None else batch.x.masked_fill(hidden.unsqueeze(-1), 0.0)
        values: dict[str, Any] = {"x": self.linear(x)}
        pos = optional(batch, "pos")
        if hidden is not None:
            values["x"] = torch.where(hidden.unsqueeze(-1), self.token, values["x"])
            if pos is not None and not self.positions:
                pos = _centred(pos, hidden, batch)
                values["pos"] = pos
        if self.pair_dim:
            self._add_pairs(values, batch, pos, hidden)
        return changed(batch, **values)

    def _add_pairs(
        self, values: dict[str, Any], batch: Data, pos: Tensor | None, hidden: Tensor | None
    ) -> None:
        """Put `pair` or `edge_attr` of width `pair_dim` into `values`."""
        edges = optional(batch, "edge_index")
        apart = touched = None
        if layout(batch) == "dense":
            key = "pair"
            if pos is not None:
                apart = pos[:, :, None] - pos[:, None]
            if hidden is not None:
                touched = hidden[:, :, None] | hidden[:, None, :]
        elif edges is not None:
            key = "edge_attr"
            source, target = edges
            if pos is not None:
                apart = pos[source] - pos[target]
            if hidden is not None:
                touched = hidden[source] | hidden[target]
        else:
            return
        if self.pair_features:
            raw = optional(batch, key)
        else:
            raw = None if apart is None else self._radial(apart)
        if raw is None:
            return
        if touched is not None and not (self.positions and not self.pair_features):
            raw = raw.masked_fill(touched.unsqueeze(-1), 0.0)
            values[key] = torch.where(touched.unsqueeze(-1), self.pair_token, self.pairs(raw))
        else:
            values[key] = self.pairs(raw)

    def _radial(self, apart: Tensor) -> Tensor:
        """Gaussians of log(1 + |d|)."""
        square = apart.square().sum(-1)
        zero = square == 0
        # A square root's gradient at zero is infinite.
        distance = torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())
        centres = torch.linspace(0, 4, self.radial, device=apart.device, dtype=apart.dtype)
        return torch.exp(-((((distance + 1).log().unsqueeze(-1) - centres) * 4) ** 2) / 2)


def _centred(pos: Tensor, hidden: Tensor, batch: Data) -> Tensor:
    """`pos` with hidden nodes at the centre of their graph's visible ones."""
    seen = (real(batch) & ~hidden).to(pos.dtype).unsqueeze(-1)
    visible = pos.masked_fill(hidden.unsqueeze(-1), 0.0)
    centre = mean_nodes(batch, visible * seen) / mean_nodes(batch, seen).clamp_min(1e-12)
    return torch.where(hidden.unsqueeze(-1), per_node(centre, batch).expand(pos.shape), visible)


def augment(batch: Data, drop: float = 0.2, jitter: float = 0.1) -> Data:
    """A view: some nodes' features are zeroed, all are multiplied by 1 + noise.

    Args:
        batch: raw batch of continuous features.
        drop: probability of zeroing a node's features.
        jitter: deviation of the noise, relative to each feature.
    """
    x = batch.x * (1 + jitter * torch.randn_like(batch.x))
    gone = torch.rand(x.shape[:-1], device=x.device) < drop
    return changed(batch, x=x.masked_fill(gone.unsqueeze(-1), 0.0))


class GraphFiles:
    """`.npz` files, one graph each, read on access."""

    def __init__(self, files: list[Path], keys: tuple[str, ...]) -> None:
        self.files, self.keys = files, keys

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        content = _read(self.files[i])
        missing = [key for key in self.keys if key not in content]
        if missing:
            raise InputError(f"has no {missing}, which other graphs have", where=self.files[i])
        return {key: _tensor(content[key]) for key in self.keys}


def _read(path: Path) -> Mapping[str, np.ndarray]:
    with readable(path), np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _tensor(values: np.ndarray) -> Tensor:
    wide = np.float32 if np.issubdtype(values.dtype, np.floating) else np.int64
    return torch.from_numpy(np.ascontiguousarray(values, dtype=wide))


_KEYS = ("x", "pos", "edge_index", "edge_attr", "pair")


def read_graphs(path: Path) -> Corpus:
    """A corpus of a folder of `.npz` graphs (or one file).

    Raises:
        InputError: no file, a file that is damaged, or graphs that do not fit together.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.npz"))
    if not files:
        raise InputError("holds no .npz file", where=path)
    first = _read(files[0])
    if "x" not in first or first["x"].ndim != 2:
        raise InputError(
            "needs node features `x` [n, F]", where=files[0], hint=f"It holds {sorted(first)}"
        )
    keys = tuple(key for key in _KEYS if key in first)
    labels, lengths = np.full(len(files), -1), np.zeros(len(files), dtype=np.int64)
    for i, file in enumerate(files):
        content = _read(file)
        if "x" not in content or content["x"].shape[1:] != first["x"].shape[1:]:
            raise InputError(
                f"needs `x` [n, {first['x'].shape[1]}] as in {files[0].name}", where=file
            )
        if not np.isfinite(content["x"]).all():
            raise InputError("has features that are not finite", where=file)
        lengths[i] = len(content["x"])
        labels[i] = int(content["y"]) if "y" in content else -1
    sparse = "edge_index" in keys
    pair_features = (
        first["edge_attr" if sparse else "pair"].shape[-1]
        if ("edge_attr" in keys or "pair" in keys)
        else 0
    )
    features = int(first["x"].shape[1])
    return Corpus(
        name=path.name,
        dataset=GraphFiles(files, keys),
        collate=make_ragged if sparse else make_dense,
        embedder=partial(_embedder, features, pair_features),
        augment=augment,
        labels=labels if (labels >= 0).any() else None,
        classes=tuple(str(c) for c in range(int(labels.max()) + 1)),
        lengths=lengths,
        settings={"domain": "graphs", "features": features, "pair_features": int(pair_features)},
    )


def _embedder(features: int, pair_features: int, dim: int, pair_dim: int) -> Embedder:
    return FeatureEmbedder(features, dim, pair_dim, pair_features)
