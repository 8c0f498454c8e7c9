"""Nearest neighbours and radius graphs of point clouds, exact, from 10 to a million points.

On a CPU points are sorted into a grid of cells and each query looks only into the cells around it
(numba). The search widens shell by shell until the k-th distance found is smaller than the
distance to the first cell not yet seen, so the result is exact. Clouds that a grid serves badly
(more than three dimensions, or most points crowded in few cells) go to scipy's k-d tree. On a GPU,
and as the reference, distances are formed in blocks of bounded size.

Edges are [2, E] with row 0 the neighbour (source) and row 1 the query point (target), sorted
by target, then by distance, then by index.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.nn.kernels import over_rows

SMALL = 96
"""Graphs of up to this many points are searched pair by pair."""
CROWDED = 64
"""A grid whose fullest cell holds more points than this goes to the k-d tree."""
BLOCK = 1 << 24
"""Distances formed at once on the brute-force path."""


@torch.compiler.disable
def knn(pos: Tensor, k: int, batch: Tensor | None = None, *, loop: bool = False) -> Tensor:
    """The k nearest points of every point, within its own graph.

    Args:
        pos: [n, D] finite coordinates, any unit.
        k: neighbours of a point; a graph of fewer points gives as many as it has.
        batch: [n] int64, the graph of each point, sorted; one graph if None.
        loop: count the point itself as a neighbour.

    Returns:
        edge_index [2, E] int64 on the device of `pos`.

    Raises:
        InputError: k < 1, or `pos` is not a finite [n, D], or `batch` is not sorted.
    """
    if k < 1:
        raise InputError(f"k must be >= 1, got {k}")
    ptr = _pointers(pos, batch)
    if pos.device.type != "cpu":
        return _brute(pos, ptr, k=k, radius=math.inf, loop=loop)
    points = _as_numpy(pos)
    n = len(points)
    nearest = np.full((n, k), -1, dtype=np.int64)
    for start, stop in zip(ptr[:-1], ptr[1:], strict=True):
        part = points[start:stop]
        if stop - start <= SMALL:
            _knn_pairs(part, k, loop, nearest[start:stop])
        else:
            # Cells so small that the k nearest usually lie within the second shell.
            grid = _Grid.build(part, per_cell=max(1.0, k / 12))
            if grid is None:
                _knn_tree(part, k, loop, nearest[start:stop])
            else:
                over_rows(_knn_grid, len(part), *grid.arrays, k, loop, nearest[start:stop])
        nearest[start:stop][nearest[start:stop] >= 0] += start
    filled = nearest >= 0
    edges = np.stack([nearest[filled], np.repeat(np.arange(n), filled.sum(1))])
    return torch.from_numpy(edges)


@torch.compiler.disable
def radius_graph(
    pos: Tensor, radius: float, batch: Tensor | None = None, *, loop: bool = False
) -> Tensor:
    """All pairs of points of one graph that are at most `radius` apart.

    Args:
        pos: [n, D] finite coordinates.
        radius: the cut-off, in the unit of `pos`.
        batch: [n] int64, the graph of each point, sorted; one graph if None.
        loop: count the point itself as a neighbour.

    Returns:
        edge_index [2, E] int64 on the device of `pos`.

    Raises:
        InputError: the radius is not positive, or as for `knn`.
    """
    if not radius > 0:
        raise InputError(f"radius must be > 0, got {radius}")
    ptr = _pointers(pos, batch)
    if pos.device.type != "cpu":
        return _brute(pos, ptr, k=None, radius=radius, loop=loop)
    points = _as_numpy(pos)
    pieces = [np.empty((2, 0), dtype=np.int64)]
    for start, stop in zip(ptr[:-1], ptr[1:], strict=True):
        part = points[start:stop]
        if stop == start:
            continue
        grid = _Grid.build(part, cell=radius)
        if grid is None:
            edges = _radius_tree(part, radius, loop)
        else:
            edges = _radius_edges(grid, radius, loop)
        pieces.append(edges + start)
    return torch.from_numpy(np.concatenate(pieces, axis=1))


def fully_connected(ptr: Tensor, *, loop: bool = False) -> Tensor:
    """Every ordered pair of nodes of each graph, edge_index [2, E] sorted by target.

    Args:
        ptr: [B + 1] int64, where each graph begins, and the total.
        loop: keep the pair of a node with itself.
    """
    sizes = ptr[1:] - ptr[:-1]
    of_node = torch.repeat_interleave(sizes, sizes)
    target = torch.repeat_interleave(torch.arange(len(of_node), device=ptr.device), of_node)
    first = torch.repeat_interleave(torch.cumsum(of_node, 0) - of_node, of_node)
    rank = torch.arange(len(target), device=ptr.device) - first
    source = torch.repeat_interleave(torch.repeat_interleave(ptr[:-1], sizes), of_node) + rank
    edges = torch.stack([source, target])
    return edges if loop else edges[:, source != target]


# ---------------------------------------------------------------- brute force: GPU and reference


def knn_reference(
    pos: Tensor, k: int, batch: Tensor | None = None, *, loop: bool = False
) -> Tensor:
    """`knn` from all pairwise distances, on any device: what the fast path must equal."""
    return _brute(pos, _pointers(pos, batch), k=k, radius=math.inf, loop=loop)


def radius_graph_reference(
    pos: Tensor, radius: float, batch: Tensor | None = None, *, loop: bool = False
) -> Tensor:
    """`radius_graph` from all pairwise distances, on any device."""
    return _brute(pos, _pointers(pos, batch), k=None, radius=radius, loop=loop)


def _brute(pos: Tensor, ptr: np.ndarray, *, k: int | None, radius: float, loop: bool) -> Tensor:
    pieces = [torch.empty((2, 0), dtype=torch.int64, device=pos.device)]
    points = pos.detach().double()
    for start, stop in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        rows = max(1, BLOCK // max(1, stop - start))
        for low in range(start, stop, rows):
            query = torch.arange(low, min(low + rows, stop), device=pos.device)
            square = (points[query, None] - points[None, start:stop]).square().sum(-1)
            allowed = square <= radius * radius
            if not loop:
                allowed[torch.arange(len(query)), query - start] = False
            square = square.masked_fill(~allowed, torch.inf)
            square, order = torch.sort(square, dim=1, stable=True)
            limit = order.shape[1] if k is None else k
            within = torch.isfinite(square[:, :limit])
            source = order[:, :limit][within] + start
            pieces.append(torch.stack([source, query.repeat_interleave(within.sum(1))]))
    return torch.cat(pieces, dim=1)


# ---------------------------------------------------------------- the grid of cells


class _Grid:
    """Points sorted by cell: `arrays` = (sorted points [n, 3], their indices [n], where each cell
    begins [cells + 1], cells along each axis [3], low corner [3], cell size [3])."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self.arrays = arrays

    @classmethod
    def build(cls, points: np.ndarray, *, per_cell: float = 0.0, cell: float = 0.0) -> _Grid | None:
        """A grid of about `per_cell` points per cell, or of cells at least `cell` wide; None where
        a grid does not pay."""
        n, dim = points.shape
        if dim > 3:
            return None
        padded = np.zeros((n, 3))
        padded[:, :dim] = points
        low, extent = padded.min(0), np.ptp(padded, axis=0)
        extended = extent > 0
        if cell > 0:
            # A slightly wider cell: rounding never puts a pair at the cut-off two cells apart.
            counts = np.maximum(extent / (cell * (1 + 1e-9)), 1.0)
        else:
            counts = np.ones(3)
            if extended.any():
                volume = np.exp(np.log(extent[extended]).mean())
                side = (n / per_cell) ** (1 / extended.sum())
                counts[extended] = np.clip(side * extent[extended] / volume, 1, None)
        while np.floor(counts).prod() > max(64, 2 * n):
            counts[counts > 1] = np.maximum(counts[counts > 1] * 0.8, 1.0)
        shape = np.floor(counts).astype(np.int64)
        size = np.where(extended, extent / shape, 1.0)
        position = np.minimum(((padded - low) / size).astype(np.int64), shape - 1)
        of_point = (position[:, 0] * shape[1] + position[:, 1]) * shape[2] + position[:, 2]
        filled = np.bincount(of_point, minlength=int(shape.prod()))
        if cell == 0 and filled.max() > CROWDED * max(1.0, per_cell):
            return None
        order = np.argsort(of_point, kind="stable")
        begins = np.concatenate([[0], np.cumsum(filled)])
        return cls(padded[order], order, begins, shape, low, size)


@numba.njit(cache=True, nogil=True)
def _insert(square, index, distances, neighbours, count, k):
    """Put a candidate into the sorted list of the `count` <= k nearest; returns the new count."""
    if count == k:
        worst = distances[k - 1]
        if square > worst or (square == worst and index > neighbours[k - 1]):
            return count
        slot = k - 1
    else:
        slot = count
        count += 1
    while slot > 0 and (
        distances[slot - 1] > square
        or (distances[slot - 1] == square and neighbours[slot - 1] > index)
    ):
        distances[slot] = distances[slot - 1]
        neighbours[slot] = neighbours[slot - 1]
        slot -= 1
    distances[slot] = square
    neighbours[slot] = index
    return count


@numba.njit(cache=True, nogil=True)
def _knn_pairs(points, k, loop, nearest):
    distances = np.empty(k)
    for i in range(points.shape[0]):
        count = 0
        for j in range(points.shape[0]):
            if i == j and not loop:
                continue
            square = 0.0
            for d in range(points.shape[1]):
                square += (points[i, d] - points[j, d]) ** 2
            count = _insert(square, j, distances, nearest[i], count, k)


@numba.njit(cache=True, nogil=True)
def _knn_grid(start, stop, points, order, begins, shape, low, size, k, loop, indices):
    distances = np.empty(k)
    home = np.empty(3, np.int64)
    for row in range(start, stop):
        i = order[row]
        for d in range(3):
            home[d] = min(np.int64((points[row, d] - low[d]) / size[d]), shape[d] - 1)
        nearest = indices[i]
        count, shell = 0, 0
        while True:
            # All cells whose largest offset along an axis is exactly `shell`: on a face of the
            # cube a run of consecutive cells, elsewhere its two ends.
            for a in range(max(0, home[0] - shell), min(shape[0], home[0] + shell + 1)):
                for b in range(max(0, home[1] - shell), min(shape[1], home[1] + shell + 1)):
                    line = (a * shape[1] + b) * shape[2]
                    face = abs(a - home[0]) == shell or abs(b - home[1]) == shell
                    for end in range(1 if face else 2):
                        first, last = home[2] - shell, home[2] + shell
                        if not face:
                            first = last = last if end else first
                        first, last = max(first, 0), min(last, shape[2] - 1)
                        if first > last:
                            continue
                        for other in range(begins[line + first], begins[line + last + 1]):
                            x = points[row, 0] - points[other, 0]
                            y = points[row, 1] - points[other, 1]
                            z = points[row, 2] - points[other, 2]
                            square = x * x + y * y + z * z
                            if count == k and square > distances[k - 1]:
                                continue
                            j = order[other]
                            if j != i or loop:
                                count = _insert(square, j, distances, nearest, count, k)
            # Distance to the nearest point that could lie outside what has been seen.
            reach = np.inf
            for d in range(3):
                if home[d] - shell > 0:
                    reach = min(reach, points[row, d] - (low[d] + (home[d] - shell) * size[d]))
                if home[d] + shell < shape[d] - 1:
                    high = low[d] + (home[d] + shell + 1) * size[d]
                    reach = min(reach, high - points[row, d])
            reach = max(0.0, reach * (1 - 1e-12))
            if reach == np.inf or (count == k and distances[k - 1] < reach * reach):
                break
            shell += 1


@numba.njit(cache=True, nogil=True)
def _radius_grid(
    start, stop, points, order, begins, shape, low, size, square_radius, loop, offsets, pairs, out
):
    """Count (`out` empty) or write the neighbours of each point, by distance, then index."""
    home = np.empty(3, np.int64)
    for row in range(start, stop):
        i = order[row]
        for d in range(3):
            home[d] = min(np.int64((points[row, d] - low[d]) / size[d]), shape[d] - 1)
        count = 0
        here = pairs[offsets[i] : offsets[i + 1]]
        distances = np.empty(len(here))
        for a in range(max(0, home[0] - 1), min(shape[0], home[0] + 2)):
            for b in range(max(0, home[1] - 1), min(shape[1], home[1] + 2)):
                for c in range(max(0, home[2] - 1), min(shape[2], home[2] + 2)):
                    cell = (a * shape[1] + b) * shape[2] + c
                    for other in range(begins[cell], begins[cell + 1]):
                        j = order[other]
                        if j == i and not loop:
                            continue
                        square = 0.0
                        for d in range(3):
                            square += (points[row, d] - points[other, d]) ** 2
                        if square <= square_radius:
                            if len(here):
                                _insert(square, j, distances, here, count, len(here))
                            count += 1
        if len(out):
            out[i] = count


def _radius_edges(grid: _Grid, radius: float, loop: bool) -> np.ndarray:
    n = len(grid.arrays[1])
    counts, nothing = np.zeros(n, dtype=np.int64), np.zeros(0, dtype=np.int64)
    flat = np.zeros(n + 1, dtype=np.int64)
    over_rows(_radius_grid, n, *grid.arrays, radius**2, loop, flat, nothing, counts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    source = np.empty(offsets[-1], dtype=np.int64)
    over_rows(_radius_grid, n, *grid.arrays, radius**2, loop, offsets, source, nothing)
    return np.stack([source, np.repeat(np.arange(n), counts)])


# ---------------------------------------------------------------- the k-d tree


def _knn_tree(points: np.ndarray, k: int, loop: bool, nearest: np.ndarray) -> None:
    from scipy.spatial import cKDTree

    limit = min(len(points), k if loop else k + 1)
    distances, index = cKDTree(points).query(points, limit)
    distances, index = distances.reshape(len(points), limit), index.reshape(len(points), limit)
    if not loop:
        # The point itself goes last, wherever ties have put it (or left it out).
        distances = np.where(index == np.arange(len(points))[:, None], np.inf, distances)
    order = np.lexsort((index, distances), axis=1)[:, : min(k, len(points) - (not loop))]
    nearest[:, : order.shape[1]] = np.take_along_axis(index, order, axis=1)


def _radius_tree(points: np.ndarray, radius: float, loop: bool) -> np.ndarray:
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    lists = tree.query_ball_point(points, radius)
    target = np.repeat(np.arange(len(points)), [len(near) for near in lists])
    source = np.concatenate([np.asarray(near, dtype=np.int64) for near in lists])
    square = np.square(points[source] - points[target]).sum(1)
    proper = np.ones(len(source), dtype=bool) if loop else source != target
    order = np.lexsort((source[proper], square[proper], target[proper]))
    return np.stack([source[proper][order], target[proper][order]])


def _as_numpy(pos: Tensor) -> np.ndarray:
    return np.ascontiguousarray(pos.detach().double().numpy())


def _pointers(pos: Tensor, batch: Tensor | None) -> np.ndarray:
    """Check the input and return where each graph begins, [B + 1]."""
    if pos.dim() != 2 or pos.shape[1] < 1 or not pos.is_floating_point():
        raise InputError(f"positions must be floating point [n, D], got {list(pos.shape)}")
    if not torch.isfinite(pos).all():
        raise InputError("positions must be finite, got nan or infinity")
    if batch is None:
        return np.array([0, len(pos)])
    if batch.shape != pos.shape[:1]:
        raise InputError(f"`batch` must be [{len(pos)}], got {list(batch.shape)}")
    if len(batch) > 1 and bool((batch[1:] < batch[:-1]).any()):
        raise InputError("`batch` must be sorted: the nodes of a graph lie together")
    counts = torch.bincount(batch).cpu().numpy()
    return np.concatenate([[0], np.cumsum(counts)])
