"""The two layouts say the same, and nothing is lost on the way between them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from sciml import graph, testing
from sciml.errors import InputError


def items(sizes=(4, 0, 2), pair=True, generator=None):
    made = []
    for number, n in enumerate(sizes):
        item = {
            "x": torch.randn(n, 3),
            "pos": torch.randn(n, 2),
            "node_kind": torch.arange(n),
            "y": torch.tensor(number),
        }
        if pair:
            item["pair"] = torch.randn(n, n, 2)
        made.append(item)
    return made


def test_dense_pads_with_zeros_and_keeps_every_number():
    made = items()
    batch = graph.make_dense(made, pad_to=6)
    assert batch.x.shape == (3, 6, 3) and batch.pair.shape == (3, 6, 6, 2)
    assert batch.mask.sum(1).tolist() == [4, 0, 2]
    assert batch.y.tolist() == [0, 1, 2]
    assert batch.node_kind.dtype == torch.int64
    assert torch.equal(batch.x[2, :2], made[2]["x"])
    assert torch.equal(batch.pair[0, :4, :4], made[0]["pair"])
    assert batch.x[~batch.mask].abs().sum() == 0


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any))
@settings(max_examples=30, deadline=None)
def test_dense_to_ragged_and_back_is_the_same(sizes):
    batch = graph.make_dense(items(sizes))
    back = graph.dense(graph.ragged(batch))
    for key in batch.keys():
        assert torch.equal(back[key], batch[key]), key


def test_ragged_to_dense_and_back_keeps_nodes_in_order():
    batch = testing.random_batch(layout="ragged", sizes=(3, 5, 1))
    del batch.edge_index
    back = graph.ragged(graph.dense(batch))
    for key in ("x", "pos", "batch", "ptr"):
        assert torch.equal(back[key], batch[key]), key


def test_edges_become_pairs_from_source_to_target():
    item = {
        "x": torch.zeros(3, 1),
        "edge_index": torch.tensor([[0, 2, 2], [1, 0, 0]]),
        "edge_attr": torch.tensor([[1.0], [10.0], [100.0]]),
    }
    first = {**item, "x": torch.zeros(2, 1), "edge_index": item["edge_index"].clamp(max=1)}
    pair = graph.dense(graph.make_ragged([first, item])).pair[1, ..., 0]
    expected = torch.zeros(3, 3)
    expected[1, 0] = 1.0  # node 1 receives from node 0
    expected[0, 2] = 110.0  # two edges on one pair add up
    assert torch.equal(pair, expected)


def test_a_mask_with_holes_is_as_good_as_a_prefix():
    batch = graph.make_dense(items((4,)))
    holes = graph.make_dense(items((4,), pair=False))
    holes.mask = torch.tensor([[True, False, True, True]])
    ragged = graph.ragged(holes)
    assert torch.equal(ragged.x, holes.x[0, [0, 2, 3]])
    assert graph.sizes(batch).tolist() == [4] and graph.sizes(holes).tolist() == [3]


def test_ragged_edges_point_within_their_graph():
    made = [{"x": torch.randn(n, 1), "edge_index": torch.tensor([[0], [n - 1]])} for n in (2, 3, 4)]
    batch = graph.make_ragged(made)
    assert batch.edge_index.tolist() == [[0, 2, 5], [1, 4, 8]]
    assert graph.layout(batch) == "ragged" and graph.number_of_graphs(batch) == 3


def test_agrees_with_batches_of_torch_geometric():
    """A PyG Batch is a ragged batch as it is."""
    singles = [Data(x=torch.randn(n, 2), edge_index=torch.tensor([[0], [1]])) for n in (2, 5)]
    theirs = Batch.from_data_list(singles)
    ours = graph.make_ragged(singles)
    for key in ("x", "batch", "ptr", "edge_index"):
        assert torch.equal(theirs[key], ours[key]), key
    assert torch.equal(graph.dense(theirs).x, graph.dense(ours).x)


@pytest.mark.parametrize("layout", ["dense", "ragged"])
def test_select_and_split_give_the_graphs_themselves(layout):
    batch = testing.random_batch(sizes=(3, 0, 5, 2), pair_dim=2, layout=layout)
    batch.y = torch.arange(4)
    picked = graph.select(batch, [2, 0])
    assert graph.sizes(picked).tolist() == [5, 3] and picked.y.tolist() == [2, 0]
    parts = graph.split(batch, 3)
    assert sum(graph.number_of_graphs(part) for part in parts) == 4
    alone = graph.split(batch, 4)
    again = [{k: v for k, v in _single(part).items()} for part in alone]
    rebuilt = graph.collate(again, layout)
    assert torch.equal(graph.dense(rebuilt).x, graph.dense(batch).x)
    if layout == "ragged":
        assert torch.equal(rebuilt.edge_index, batch.edge_index)
        assert torch.equal(rebuilt.edge_attr, batch.edge_attr)


def _single(part):
    """A batch of one graph -> that graph."""
    out = {}
    for key in part.keys():
        if key in ("mask", "batch", "ptr"):
            continue
        value = part[key]
        per_row = graph.layout(part) == "ragged" and not graph.is_graph_key(key)
        out[key] = value if per_row else value[0]
    return out


def test_mean_nodes_ignores_padding_and_is_zero_for_no_nodes():
    batch = graph.make_dense(items())
    batch.x[~batch.mask] = torch.nan
    mean = graph.mean_nodes(batch, batch.x)
    assert torch.allclose(mean[0], batch.x[0].mean(0))
    assert torch.equal(mean[1], torch.zeros(3))
    ragged = graph.ragged(batch)
    assert torch.allclose(graph.mean_nodes(ragged, ragged.x), mean)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from([None, 50]),
)
@settings(max_examples=50, deadline=None)
def test_buckets_hold_every_example_once_within_limits(lengths, size, shuffle, most):
    batches = list(graph.bucket(lengths, size, max_nodes=most, shuffle=shuffle))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) <= size
        assert most is None or len(batch) == 1 or len(batch) * longest <= most


def test_buckets_save_padding_and_differ_each_time():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(10, 100, (1000,), generator=generator)

    def padded(batches):
        return sum(len(b) * int(lengths[b].max()) for b in batches) / int(lengths.sum())

    first = list(graph.bucket(lengths, 32, generator=generator))
    second = list(graph.bucket(lengths, 32, generator=generator))
    assert first != second
    unsorted = padded(torch.randperm(1000, generator=generator).split(32))
    assert padded(first) < 1.15 < 1.6 < unsorted
    assert max(len(b) for b in graph.bucket(lengths, 64, max_pairs=64 * 50**2)) <= 64


def test_bad_batches_say_what_is_missing():
    with pytest.raises(InputError, match="no node features"):
        graph.layout(Data(pos=torch.zeros(1, 2)))
    with pytest.raises(InputError, match="neither `mask`"):
        graph.layout(Data(x=torch.zeros(1, 2)))
    with pytest.raises(InputError, match="item 1.*pos"):
        graph.make_dense(
            [{"x": torch.zeros(1, 2), "pos": torch.zeros(1, 2)}, {"x": torch.zeros(1, 2)}]
        )
    with pytest.raises(InputError, match="no graphs"):
        graph.collate([])
    with pytest.raises(InputError, match="batch_size"):
        list(graph.bucket([1], 0))
