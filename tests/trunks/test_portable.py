"""Every trunk is copied, pickled, run in half precision, compiled and exported."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

from sciml import graph, trunks
from sciml.errors import InputError

LAYOUTS = ("dense", "ragged")
SETTINGS = {
    "equivariant": {"name": "equivariant", "irreps": "16x0e+8x1o+4x2e", "depth": 2},
    "equivariant-so2": {"name": "equivariant", "irreps": "8x0e+4x1o+4x3o", "depth": 2},
    "lorentz": {"name": "lorentz", "depth": 2, "beam": True},
    "message_passing": {"name": "message_passing", "depth": 2, "heads": 2, "offset_dim": 3},
    "pair_transformer": {"name": "pair_transformer", "depth": 2, "heads": 2},
    "particle_net": {"name": "particle_net", "k": 4},
    "sequence": {"name": "sequence", "heads": 2, "groups": 2, "encoder_layers": 2},
}


def batch_of(case, layout):
    """Two graphs with features, positions (four-momenta in GeV) and edges."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    items = []
    for n in (5, 7):
        pos = 20 * normal(n, 3)
        if case == "lorentz":
            pos = torch.cat([pos.square().sum(-1, keepdim=True).add(0.02).sqrt(), pos], -1)
        edges = torch.randint(0, n, (2, 12), generator=generator).unique(dim=1)  # with loops
        items.append({"x": normal(n, 16), "pos": pos, "edge_index": edges,
                      "edge_attr": normal(edges.shape[1], 4)})  # fmt: skip
    ragged = graph.make_ragged(items)
    return ragged if layout == "ragged" else graph.dense(ragged)


def build(case, **more):
    torch.manual_seed(0)
    return trunks.build(SETTINGS[case], dim=16, pair_dim=4, **more).eval()


def assert_close(first, second, tolerance=0.0):
    """The same outputs, value by value."""
    assert first.keys() == second.keys()
    for key, value in first.items():
        expected = second[key].to(value.dtype)
        torch.testing.assert_close(value, expected, rtol=tolerance, atol=tolerance)


def outputs(trunk, batch):
    with torch.no_grad():
        return {key: value for key, value in vars(trunk(batch)).items() if value is not None}


def test_every_trunk_has_a_case():
    assert {settings["name"] for settings in SETTINGS.values()} == set(trunks.names())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", SETTINGS)
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda trunk: pickle.loads(pickle.dumps(trunk))],
    ids=["deepcopy", "pickle"],
)  # fmt: skip
def test_a_copy_gives_the_same(case, layout, copied):
    trunk, batch = build(case), batch_of(case, layout)
    twin = copied(trunk)
    assert twin.config == trunk.config
    assert_close(outputs(twin, batch), outputs(trunk, batch))
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in trunk.parameters()}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", SETTINGS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["half", "bfloat16"])
def test_half_precision_stays_near_single(case, layout, dtype):
    """Positions stay in single precision: the batch's features alone are cast."""
    trunk, batch = build(case), batch_of(case, layout)
    expected = outputs(trunk, batch)
    halved = batch.clone()
    for key in halved.keys():
        if halved[key].is_floating_point() and key != "pos":
            halved[key] = halved[key].to(dtype)
    answer = outputs(trunk.to(dtype), halved)
    assert answer["nodes"].dtype == answer["graph"].dtype == dtype
    for key, value in answer.items():
        spread = float(expected[key].std())
        error = float((value.float() - expected[key]).abs().mean())
        assert error < (0.01 if dtype == torch.float16 else 0.05) * spread, (key, error, spread)


def test_four_momenta_stay_in_single_precision():
    """At 1 TeV a mass squared of 0.02 GeV^2 is lost in half precision, products overflow."""
    trunk, batch = build("lorentz").half(), batch_of("lorentz", "dense")
    batch.x, batch.pair = batch.x.half(), batch.pair.half()
    batch.pos *= 50
    answer = outputs(trunk, batch)
    assert answer["vectors"].dtype == torch.float32
    assert all(bool(value.isfinite().all()) for value in answer.values())


@pytest.mark.parametrize("case", SETTINGS)
def test_it_compiles_without_a_graph_break_in_its_own_layout(case):
    more = {"settle": False} if case == "particle_net" else {}
    trunk = build(case, **more)
    batch = batch_of(case, trunk.layout)
    torch._dynamo.reset()
    compiled = torch.compile(trunk, backend="eager", fullgraph=True)
    assert_close(outputs(compiled, batch), outputs(trunk, batch), 1e-6)


@pytest.mark.parametrize("case", SETTINGS)
def test_an_exported_program_gives_the_same(case):
    trunk = build(case)
    batch = batch_of(case, trunk.layout)
    trunk.train()
    program = trunks.export(trunk, batch)
    assert all(module.training for module in trunk.modules())
    trunk.eval()
    other = batch.clone()  # of the same shapes
    other.x = other.x.flip(0) + 0.5
    for example in (batch, other):
        assert_close(program.module()(example.to_dict()), outputs(trunk, example), 1e-5)


def test_an_exported_program_is_saved_and_loaded():
    trunk = build("message_passing")
    batch = batch_of("message_passing", "ragged")
    file = io.BytesIO()
    torch.export.save(trunks.export(trunk, batch), file)
    file.seek(0)
    program = torch.export.load(file)
    assert_close(program.module()(batch.to_dict()), outputs(trunk, batch), 1e-5)


def test_what_cannot_be_exported_says_why():
    with pytest.raises(InputError, match="in the ragged layout, got a dense batch"):
        trunks.export(build("message_passing"), batch_of("message_passing", "dense"))
    batch = batch_of("equivariant", "ragged")
    with pytest.raises(InputError, match="edges computed from a batch"):
        trunks.export(build("equivariant", edges="knn"), batch)
    batch.node_kind = (torch.arange(12) % 2).sort().values
    batch.edge_index = torch.stack([torch.arange(6), torch.arange(6, 12)])
    batch.edge_attr = torch.zeros(6, 4)
    with pytest.raises(InputError, match="how many rows are nets"):
        trunks.export(build("message_passing", hypergraph=True, kinds=2, offset_dim=0), batch)
