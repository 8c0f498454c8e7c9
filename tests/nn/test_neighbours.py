"""Neighbour search: equal to all pairwise distances on every kind of cloud."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.nn import neighbours
from sciml.nn.neighbours import (
    fully_connected,
    knn,
    knn_reference,
    radius_graph,
    radius_graph_reference,
)


def cloud(kind: str, n: int, dim: int) -> torch.Tensor:
    if kind == "flat":  # much wider along one axis than along the others
        return torch.rand(n, dim) * torch.tensor([100.0] + [1.0] * (dim - 1))
    if kind == "crowded":  # nearly all points in one cell of the grid: the k-d tree's case
        return torch.cat([torch.randn(n - 2, dim) * 1e-3, torch.full((2, dim), 50.0)])
    return torch.randn(n, dim)


@pytest.mark.parametrize("kind", ["normal", "flat", "crowded"])
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("loop", [False, True])
def test_equal_to_brute_force(kind: str, dim: int, loop: bool) -> None:
    torch.manual_seed(dim)
    pos = cloud(kind, 1500, dim)
    batch = torch.sort(torch.randint(0, 3, (1500,))).values
    for k in (1, 7, 33):
        assert torch.equal(knn(pos, k, batch, loop=loop), knn_reference(pos, k, batch, loop=loop))
    radius = 0.05 if kind == "normal" else 0.001
    edges = radius_graph(pos, radius, batch, loop=loop)
    assert torch.equal(edges, radius_graph_reference(pos, radius, batch, loop=loop))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 250), st.integers(1, 3), st.integers(1, 20), st.integers(0, 10**6))
def test_ties_on_a_lattice_give_the_same_distances(n: int, dim: int, k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pos = torch.randint(0, 4, (n, dim), generator=generator).float()

    def distances(edges: torch.Tensor) -> torch.Tensor:
        return (pos[edges[0]] - pos[edges[1]]).norm(dim=1)

    fast, expected = knn(pos, k), knn_reference(pos, k)
    assert torch.equal(fast[1], expected[1])
    assert torch.equal(distances(fast), distances(expected))
    assert torch.equal(radius_graph(pos, 1.0), radius_graph_reference(pos, 1.0))


def test_a_graph_smaller_than_k_gives_what_it_has() -> None:
    edges = knn(torch.randn(5, 3), 16)
    assert edges.shape == (2, 20)
    assert torch.equal(edges[1], torch.arange(5).repeat_interleave(4))
    assert knn(torch.randn(1, 3), 4).shape == (2, 0)
    assert knn(torch.zeros(0, 3), 4).shape == (2, 0)
    assert radius_graph(torch.zeros(0, 3), 1.0).shape == (2, 0)


def test_graphs_do_not_see_each_other() -> None:
    pos = torch.zeros(300, 3)
    batch = torch.arange(300) // 100
    source, target = knn(pos, 10, batch)
    assert torch.equal(batch[source], batch[target])


def test_grid_and_tree_agree() -> None:
    torch.manual_seed(0)
    pos = torch.randn(4000, 3)
    grid = knn(pos, 12)
    nearest = torch.full((4000, 12), -1).numpy()
    neighbours._knn_tree(pos.double().numpy(), 12, False, nearest)
    assert torch.equal(grid[0].view(4000, 12), torch.from_numpy(nearest))


def test_fully_connected_lists_every_pair_once() -> None:
    ptr = torch.tensor([0, 3, 3, 5])
    edges = fully_connected(ptr)
    pairs = set(map(tuple, edges.T.tolist()))
    assert len(pairs) == edges.shape[1] == 3 * 2 + 2 * 1
    assert all(i != j and (i < 3) == (j < 3) for i, j in pairs)
    assert fully_connected(ptr, loop=True).shape[1] == 9 + 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: knn(torch.randn(4, 3), 0), "k must be >= 1"),
        (lambda: knn(torch.full((4, 3), torch.nan), 1), "finite"),
        (lambda: knn(torch.randn(4, 3), 1, torch.tensor([0, 1, 0, 1])), "sorted"),
        (lambda: knn(torch.randn(4, 3), 1, torch.tensor([0, 1])), "`batch` must be"),
        (lambda: radius_graph(torch.randn(4, 3), 0.0), "radius must be > 0"),
    ],
)
def test_bad_input_says_what(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
