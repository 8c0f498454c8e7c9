"""Message passing: the promises of a trunk on every kind of edges, and hypergraphs."""

import pytest
import torch
from torch_geometric.data import Data

from sciml import trunks
from sciml.errors import InputError
from sciml.nn.neighbours import knn
from sciml.testing import assert_sensitive, batch_for, check_trunk
from sciml.trunks.edges import edges_of
from sciml.trunks.message_passing import MessageBlock


@pytest.mark.parametrize(
    "settings",
    [
        {"edges": "knn", "k": 3},
        {"edges": "all", "pair_dim": 3},
        {"edges": "radius", "offset_dim": 3},
    ],
)
def test_promises_of_a_trunk(settings: dict) -> None:
    torch.manual_seed(0)
    trunk = trunks.build("message_passing", dim=8, heads=2, depth=2, **settings).double()
    check_trunk(trunk, verbose=False)
    keys = ("x", "pos", "pair") if "pair_dim" in settings else ("x", "pos")
    keys = keys if settings["edges"] != "all" else ("x", "pair")
    assert_sensitive(trunk, keys, batch_for(trunk), verbose=False)


def test_block_equals_the_formula() -> None:
    from sciml.nn.scatter import Adjacency

    torch.manual_seed(0)
    block = MessageBlock(6, 2, 3, expansion=0, dropout=0).double()
    index = torch.tensor([[0, 1, 2, 0], [1, 1, 1, 0]])
    x, attr = torch.randn(3, 6).double(), torch.randn(4, 3).double()
    result = block(x, x, attr, Adjacency.of(index, 3))
    y = block.norm_target(x)  # both norms start alike
    for i in range(3):
        incoming = (index[1] == i).nonzero()[:, 0].tolist()
        parts = []
        for h in range(2):
            rows = slice(3 * h, 3 * h + 3)
            query = block.query(y[i])[rows]
            keys = [block.key(y[index[0, e]])[rows] + block.edge_key[h] @ attr[e] for e in incoming]
            values = [
                block.value(y[index[0, e]])[rows] + block.edge_value[h] @ attr[e] for e in incoming
            ]
            if not incoming:
                parts.append(torch.zeros(3).double())
                continue
            weights = torch.softmax(torch.stack(keys) @ query / 3**0.5, 0)
            parts.append(weights @ torch.stack(values))
        message = block.out(torch.cat(parts))
        gate = torch.sigmoid(block.gate(torch.cat([y[i], message])))
        torch.testing.assert_close(result[i], x[i] + gate * message)


def hypergraph() -> Data:
    """Two circuits: 3 cells and 2 nets, 2 cells and 1 net."""
    torch.manual_seed(0)
    return Data(
        x=torch.randn(8, 8),
        node_kind=torch.tensor([0, 0, 0, 1, 1, 0, 0, 1]),
        edge_index=torch.tensor([[0, 1, 1, 2, 5, 6], [3, 3, 4, 4, 7, 7]]),
        edge_attr=torch.randn(6, 2),
        batch=torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]),
        ptr=torch.tensor([0, 5, 8]),
    )


def test_messages_travel_through_nets() -> None:
    settings = {"hypergraph": True, "kinds": 2, "pair_dim": 2, "heads": 2}
    for depth, reached in ((1, False), (2, True)):
        torch.manual_seed(0)
        trunk = trunks.build("message_passing", dim=8, depth=depth, **settings)
        batch, moved = hypergraph(), hypergraph()
        moved.x[0] = -moved.x[0]
        change = (trunk(moved).nodes - trunk(batch).nodes).abs().amax(1) > 1e-6
        assert change[:2].all() and change[3]  # itself, its net, the net's other cell
        assert change[2] == reached  # two nets away
        assert not change[5:].any()  # the other circuit
        # Nets do not count in the graph's vector.
        encoded = trunk(batch)
        torch.testing.assert_close(encoded.graph[1], encoded.nodes[5:7].mean(0))


def test_edges_found_anew_keep_given_features() -> None:
    trunk = trunks.build("message_passing", dim=8, heads=2, pair_dim=2)
    batch = batch_for(trunk, "dense")
    from sciml.graph import ragged

    flat = ragged(batch)
    index, attr = edges_of(flat, "knn", k=2, radius=1.0)
    assert attr is not None
    assert torch.equal(index, knn(flat.pos, 2, flat.batch))
    for (source, target), features in zip(index.T.tolist(), attr):
        graph = int(flat.batch[target])
        start = int(flat.ptr[graph])
        assert torch.equal(features, batch.pair[graph, target - start, source - start])


def test_nodes_without_edges_and_empty_graphs_are_finite() -> None:
    trunk = trunks.build("message_passing", dim=8, heads=2, depth=1, edges="given")
    batch = Data(
        x=torch.randn(3, 8),
        edge_index=torch.zeros(2, 0, dtype=torch.int64),
        batch=torch.tensor([0, 0, 2]),
        ptr=torch.tensor([0, 2, 2, 3]),
    )
    encoded = trunk(batch)
    assert torch.isfinite(encoded.nodes).all() and not encoded.graph[1].any()
    encoded.nodes.sum().backward()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 3}, "must divide"),
        ({"hypergraph": True}, "kinds"),
        ({"hypergraph": True, "kinds": 2, "edges": "knn"}, "pins as given"),
    ],
)
def test_bad_settings_say_what(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        trunks.build("message_passing", **{"dim": 8, "heads": 2, **settings})


def test_bad_batches_say_what() -> None:
    trunk = trunks.build("message_passing", dim=8, heads=2, hypergraph=True, kinds=2)
    backwards = hypergraph()
    backwards.edge_index = backwards.edge_index.flip(0)
    with pytest.raises(InputError, match="from nodes"):
        trunk(backwards)
    needs_edges = trunks.build("message_passing", dim=8, heads=2, edges="given")
    with pytest.raises(InputError, match="edge_index"):
        needs_edges(batch_for(needs_edges))
