"""The batch that every trunk takes: nodes, pairs or edges, and positions.

The carrier is `torch_geometric.data.Data`. It comes in two layouts, and every trunk takes both:

    key         dense layout        ragged layout        unit     meaning
    x           [B, N, F]           [S, F]               1        node features
    mask        [B, N] bool         -                    -        True = a real node, not padding
    batch       -                   [S] int64            -        graph of each node, ascending
    ptr         -                   [B + 1] int64        -        first node of each graph, then S
    pos         [B, N, D]           [S, D]               domain   positions or four-momenta
    pair        [B, N, N, P]        -                    1        pair[b, i, j]: from j to i
    edge_index  -                   [2, E] int64         -        rows (source j, target i) into x
    edge_attr   -                   [E, P]               1        features of each edge
    node_kind   [B, N] int64        [S] int64            -        0 = a node, 1 = a net of nodes
    node_*      [B, N, ...]         [S, ...]             own      anything else a node has
    pair_*      [B, N, N, ...]      -                    own      anything else a pair has
    edge_*      -                   [E, ...]             own      anything else an edge has
    all others  [B, ...]            [B, ...]             own      labels and the like, by graph

B graphs, N nodes in the longest, S nodes in all. Only `x` and (`mask` | `batch`, `ptr`) are
required. Positions are in the domain's own unit (jets: GeV; proteins: Angstrom; placement:
microns); a trunk never assumes one. Padded rows may hold anything finite: no result depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from sciml.errors import InputError

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any  # the real class takes two seconds to import: loaded where one is made

Layout = Literal["dense", "ragged"]


class Light(SimpleNamespace):
    """A batch without torch_geometric: for predictions, which are made before that has loaded.

    It has the keys of a `Data`, as attributes and by index; keys that are missing are None where
    `Data` says so. Trunks of this package take it; other code gets a `Data`.
    """

    x = pos = batch = edge_index = edge_attr = None

    def __getitem__(self, key: str) -> Any:
        return vars(self)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value)

    def keys(self) -> list[str]:
        """The keys that are set."""
        return list(vars(self))


def _new(**values: Any) -> Data:
    from torch_geometric.data import Data as Carrier

    return Carrier(**values)


def is_node_key(key: str) -> bool:
    """Whether `key` has a row per node."""
    return key in ("x", "pos") or key.startswith("node_")


def is_pair_key(key: str) -> bool:
    """Whether `key` has an entry per pair of nodes (dense layout)."""
    return key == "pair" or key.startswith("pair_")


def is_edge_key(key: str) -> bool:
    """Whether `key` has a row per edge (ragged layout); `edge_index` itself does not count."""
    return key.startswith("edge_") and key != "edge_index"


_STRUCTURE = ("mask", "batch", "ptr", "edge_index")


def is_graph_key(key: str) -> bool:
    """Whether `key` has a row per graph: a label, a weight, a name."""
    return not (is_node_key(key) or is_pair_key(key) or is_edge_key(key) or key in _STRUCTURE)


def optional(batch: Data, key: str) -> Tensor | None:
    """`batch[key]`, or None where the batch does not hold it."""
    return getattr(batch, key, None)


def layout(batch: Data) -> Layout:
    """Which of the two layouts `batch` has.

    Raises:
        InputError: it has neither `mask` nor `batch`, or no `x`.
    """
    if optional(batch, "x") is None:
        raise InputError("the batch has no node features `x`", hint="Keys: see sciml.graph")
    if optional(batch, "mask") is not None:
        return "dense"
    if optional(batch, "batch") is not None:
        return "ragged"
    raise InputError(
        "the batch has neither `mask` (dense layout) nor `batch` (ragged layout)",
        hint="Make one with sciml.graph.collate or sciml.graph.make_dense",
    )


def number_of_graphs(batch: Data) -> int:
    """B, the number of graphs in the batch."""
    return len(batch.mask) if layout(batch) == "dense" else len(batch.ptr) - 1


def sizes(batch: Data) -> Int[Tensor, " B"]:
    """Real nodes in each graph."""
    return batch.mask.sum(1) if layout(batch) == "dense" else batch.ptr.diff()


def pointers(index: Int[Tensor, " S"], graphs: int) -> Int[Tensor, " P"]:
    """`ptr` [B + 1] of an ascending `batch` vector: where each graph begins, and S at the end."""
    counts = torch.bincount(index, minlength=graphs)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def spread(
    rows: Shaped[Tensor, "S ..."],
    mask: Bool[Tensor, "B N"],
) -> Tensor:
    """Ragged rows [S, ...] -> [B, N, ...] with zeros where `mask` is False."""
    out = rows.new_zeros((mask.numel(), *rows.shape[1:]))
    out = out.index_copy(0, rows_of(mask, len(rows)), rows)
    return out.view(mask.shape + rows.shape[1:])


def rows_of(mask: Bool[Tensor, "B N"], count: int) -> Int[Tensor, " S"]:
    """Where the `count` = S real nodes of `mask` stand among its [B * N] entries, in order."""
    real = mask.flatten()
    if real.device.type == "cpu":
        return real.nonzero()[:, 0]
    # `nonzero`, and a mask as an index, would wait for the device to know how many there are.
    return torch.argsort(~real, stable=True)[:count]


def dense(batch: Data) -> Data:
    """The batch in the dense layout; edges become pairs (several on one pair add up).

    `edge_attr` [E, P] becomes `pair` [B, N, N, P] with zeros where there is no edge. Edges without
    features leave no pair features behind. A dense batch comes back as it is.
    """
    if layout(batch) == "dense":
        return batch
    counts = batch.ptr.diff()
    longest = int(counts.max()) if len(counts) else 0
    mask = torch.arange(longest, device=counts.device) < counts[:, None]
    out: dict[str, Any] = {"mask": mask}
    for key in batch.keys():
        value = batch[key]
        if is_node_key(key):
            out[key] = spread(value, mask)
        elif is_graph_key(key):
            out[key] = value
    edge_index = optional(batch, "edge_index")
    for key in batch.keys():
        if is_edge_key(key) and edge_index is not None:
            value = batch[key]
            source, target = edge_index
            graph = batch.batch[target]
            start = batch.ptr[graph]
            pair = value.new_zeros((len(counts), longest, longest) + value.shape[1:])
            where = (graph, target - start, source - start)
            name = "pair" if key == "edge_attr" else "pair_" + key.removeprefix("edge_")
            out[name] = pair.index_put(where, value, accumulate=True)
    return _new(**out)


def ragged(batch: Data) -> Data:
    """The batch in the ragged layout; pairs become the edges of the complete graph.

    `pair` [B, N, N, P] becomes `edge_index` over all ordered pairs of real nodes of a graph, self
    pairs included, and `edge_attr` [E, P]. A ragged batch comes back as it is.
    """
    if layout(batch) == "ragged":
        return batch
    mask = batch.mask
    rows = mask.flatten().nonzero()[:, 0]
    counts = mask.sum(1)
    ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    out: dict[str, Any] = {"batch": rows // mask.shape[1], "ptr": ptr}
    pairs = None
    for key in batch.keys():
        value = batch[key]
        if is_node_key(key):
            out[key] = value.flatten(0, 1).index_select(0, rows)
        elif is_pair_key(key):
            if pairs is None:
                pairs = (mask[:, :, None] & mask[:, None, :]).nonzero(as_tuple=True)
                row = (mask.flatten().cumsum(0) - 1).view(mask.shape)  # row of a node in `x`
                graph, target, source = pairs
                out["edge_index"] = torch.stack([row[graph, source], row[graph, target]])
            name = "edge_attr" if key == "pair" else "edge_" + key.removeprefix("pair_")
            out[name] = value[pairs]
        elif is_graph_key(key):
            out[key] = value
    return _new(**out)


def to_layout(batch: Data, target: Layout) -> Data:
    """The batch in the layout `target`."""
    return dense(batch) if target == "dense" else ragged(batch)


def make_dense(items: Sequence[Mapping[str, Any] | Data], pad_to: int = 0) -> Data:
    """Pad single graphs into one dense batch.

    Args:
        items: one mapping per graph: `x` [n, F], perhaps `pos` [n, D], `pair` [n, n, P], `node_*`
            [n, ...], `pair_*` [n, n, ...]; any other key is stacked, one row per graph.
        pad_to: pad to at least this many nodes.

    Raises:
        InputError: no item, an item without `x`, or keys that differ between items.
    """
    graphs = _same_keys(items)
    lengths = torch.tensor([len(item["x"]) for item in graphs])
    longest = max(int(lengths.max()), pad_to)
    out: dict[str, Any] = {"mask": torch.arange(longest) < lengths[:, None]}
    for key, first in graphs[0].items():
        values = [item[key] for item in graphs]
        if is_node_key(key) or is_pair_key(key):
            axes = 2 if is_pair_key(key) else 1
            padded = first.new_zeros((len(graphs),) + (longest,) * axes + first.shape[axes:])
            for row, value in zip(padded, values, strict=True):
                n = len(value)
                (row[:n, :n] if axes == 2 else row[:n]).copy_(value)
            out[key] = padded
        elif is_graph_key(key):
            out[key] = torch.stack(values)
    return _new(**out)


def make_ragged(items: Sequence[Mapping[str, Any] | Data]) -> Data:
    """Concatenate single graphs into one ragged batch.

    Args:
        items: one mapping per graph: `x` [n, F], perhaps `pos`, `node_*`, `edge_index` [2, e] in
            the graph, `edge_attr` [e, P], `edge_*`; any other key is stacked. Instead of edges an
            item may hold `pair` [n, n, P]: it becomes the complete graph.

    Raises:
        InputError: no item, an item without `x`, or keys that differ between items.
    """
    graphs = _same_keys(items)
    if any(is_pair_key(key) for key in graphs[0]):
        return ragged(make_dense(graphs))
    lengths = torch.tensor([len(item["x"]) for item in graphs])
    ptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    index = torch.repeat_interleave(torch.arange(len(graphs)), lengths)
    out: dict[str, Any] = {"batch": index, "ptr": ptr}
    for key in graphs[0]:
        values = [item[key] for item in graphs]
        if key == "edge_index":
            shifted = [value + start for value, start in zip(values, ptr, strict=False)]
            out[key] = torch.cat(shifted, dim=1)
        elif is_node_key(key) or is_edge_key(key):
            out[key] = torch.cat(values)
        elif is_graph_key(key):
            out[key] = torch.stack(values)
    return _new(**out)


def collate(items: Sequence[Mapping[str, Any] | Data], layout: Layout = "dense") -> Data:
    """Single graphs -> one batch; `functools.partial(collate, layout="ragged")` for the other."""
    return make_dense(items) if layout == "dense" else make_ragged(items)


def _tensors(item: Any, number: int) -> dict[str, Tensor]:
    values = item if isinstance(item, Mapping) else item.to_dict()
    out = {key: torch.as_tensor(value) for key, value in values.items() if value is not None}
    if "x" not in out:
        raise InputError("a graph has no node features `x`", where=f"item {number}")
    return out


def _same_keys(items: Sequence[Any]) -> list[dict[str, Tensor]]:
    graphs = [_tensors(item, number) for number, item in enumerate(items)]
    if not graphs:
        raise InputError("cannot make a batch of no graphs")
    for number, item in enumerate(graphs):
        differing = set(item) ^ set(graphs[0])
        if differing:
            raise InputError(
                f"graphs of one batch must have the same keys; not in all: {sorted(differing)}",
                where=f"item {number}",
            )
    return graphs


def select(batch: Data, graphs: Sequence[int] | Int[Tensor, " K"]) -> Data:
    """The batch of these graphs only, in this order, padding trimmed."""
    rows = torch.as_tensor(graphs, device=batch.x.device)
    if layout(batch) == "dense":
        mask = batch.mask[rows]
        used = mask.any(0).nonzero()
        longest = int(used.max()) + 1 if len(used) else 0
        out: dict[str, Any] = {"mask": mask[:, :longest]}
        for key in batch.keys():
            if is_node_key(key):
                out[key] = batch[key][rows, :longest]
            elif is_pair_key(key):
                out[key] = batch[key][rows, :longest, :longest]
            elif is_graph_key(key):
                out[key] = batch[key][rows]
        return _new(**out)
    counts = batch.ptr.diff()[rows]
    ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    index = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), counts)
    nodes = torch.arange(int(ptr[-1]), device=rows.device) - ptr[index] + batch.ptr[rows][index]
    out = {"batch": index, "ptr": ptr}
    edge_index = optional(batch, "edge_index")
    edges = torch.zeros(0, dtype=torch.int64)
    if edge_index is not None:
        new = torch.full((len(batch.x),), -1, device=rows.device)
        new[nodes] = torch.arange(len(nodes), device=rows.device)
        moved = new[edge_index]
        edges = (moved >= 0).all(0).nonzero()[:, 0]
        out["edge_index"] = moved[:, edges]
    for key in batch.keys():
        if is_node_key(key):
            out[key] = batch[key][nodes]
        elif is_edge_key(key):
            out[key] = batch[key][edges]
        elif is_graph_key(key):
            out[key] = batch[key][rows]
    return _new(**out)


def split(batch: Data, parts: int) -> list[Data]:
    """The batch in `parts` of nearly equal numbers of graphs (fewer where graphs run out)."""
    every = torch.arange(number_of_graphs(batch))
    return [select(batch, part) for part in every.tensor_split(parts) if len(part)]


def mean_nodes(batch: Data, values: Tensor) -> Tensor:
    """Mean over each graph's real nodes: [B, N, F] or [S, F] -> [B, F]; zeros for no nodes."""
    if layout(batch) == "dense":
        mask = batch.mask.to(values.dtype)
        total = torch.einsum("bn,bnf->bf", mask, values.masked_fill(~batch.mask[..., None], 0))
        return total / mask.sum(1, keepdim=True).clamp(min=1)
    counts = batch.ptr.diff()
    total = values.new_zeros((len(counts), values.shape[-1])).index_add(0, batch.batch, values)
    return total / counts.clamp(min=1)[:, None].to(values.dtype)


def bucket(
    lengths: Sequence[int] | Int[Tensor, " K"],
    batch_size: int,
    *,
    max_nodes: int | None = None,
    max_pairs: int | None = None,
    shuffle: bool = True,
    generator: torch.Generator | None = None,
) -> Iterator[list[int]]:
    """Batches of examples of similar length, so that little of a dense batch is padding.

    Shuffling is by noise on the length (a tenth of it) and a random order of batches: batches
    stay nearly uniform in length but never the same twice.

    Args:
        lengths: nodes in each example.
        batch_size: maximum number of examples in a batch.
        max_nodes: maximum number of padded nodes (examples x longest) in a batch; a longer
            example is a batch of its own.
        max_pairs: maximum number of padded pairs (examples x longest^2) in a batch, likewise.
        shuffle: False gives ascending lengths.
        generator: source of randomness; default torch's global one.

    Yields:
        indices of one batch.
    """
    if batch_size < 1:
        raise InputError(f"`batch_size` must be >= 1, got {batch_size}")
    size = torch.as_tensor(lengths).to(torch.float64)
    noise = torch.rand(len(size), generator=generator, dtype=torch.float64) if shuffle else None
    key = size if noise is None else (size + 1) * (1 + 0.1 * noise) + noise * 1e-3
    batches: list[list[int]] = []
    longest = 0
    for i in torch.argsort(key, stable=True).tolist():
        n = int(size[i])
        grown = max(longest, n)
        count = len(batches[-1]) + 1 if batches else batch_size + 1
        full = count > batch_size
        full |= max_nodes is not None and count * grown > max_nodes
        full |= max_pairs is not None and count * grown * grown > max_pairs
        if full:
            batches.append([])
            grown = n
        batches[-1].append(i)
        longest = grown
    order = torch.randperm(len(batches), generator=generator) if shuffle else range(len(batches))
    for number in order:
        yield batches[int(number)]
