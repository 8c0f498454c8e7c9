"""Waits, graph breaks and kernels of trunks and of what trains and runs, counted without a GPU.

    python benchmarks/waits.py [--out FILE.json]

Per trunk a training step; per objective a training step; per step of the engine beyond the
objective's; per pass of AlphaFold; per token of a beam search.

The pretended device (`sciml.testing.PretendedDevice`) counts what a GPU would make the CPU wait for
and the operations that start kernels, forward and backward; the second step counts, after tables
have been copied. The optimiser is left out: fused AdamW is a few kernels. "own" is the layout that
the trunk computes in, "other" includes the way there and back. Graph breaks are those of
`torch.compile` with the backend "eager", in the own layout. The counts are exact and the same on
every machine; what a kernel or a wait costs is not in them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch

from sciml import graph, objectives, testing, trunks
from sciml.objectives.base import changed
from sciml.objectives.graphs import FeatureEmbedder
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig
from sciml.train import TrainConfig, fit
from sciml.trunks.sequence import Sequence, SequenceConfig

CASES: dict[str, dict[str, Any]] = {
    "equivariant": {"name": "equivariant", "irreps": "16x0e+8x1o+4x2e", "depth": 2},
    "equivariant, SO(2)": {"name": "equivariant", "irreps": "8x0e+4x1o+4x3o", "depth": 2},
    "lorentz": {"name": "lorentz", "depth": 2, "beam": True},
    "message_passing": {"name": "message_passing", "depth": 2, "heads": 2, "offset_dim": 3},
    "pair_transformer": {"name": "pair_transformer", "depth": 2, "heads": 2},
    "particle_net": {"name": "particle_net", "k": 4},
    "sequence": {"name": "sequence", "heads": 2, "groups": 2, "encoder_layers": 2},
}


def build(case: str, **more: Any) -> Any:
    torch.manual_seed(0)
    return trunks.build(CASES[case], dim=16, pair_dim=4, **more)


def batch_of(case: str, layout: str) -> Any:
    """Two graphs with features, positions (four-momenta in GeV) and edges."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    items = []
    for n in (5, 7):
        pos = 20 * normal(n, 3)
        if case == "lorentz":
            pos = torch.cat([pos.square().sum(-1, keepdim=True).add(0.02).sqrt(), pos], -1)
        edges = torch.randint(0, n, (2, 12), generator=generator).unique(dim=1)
        items.append({"x": normal(n, 16), "pos": pos, "edge_index": edges,
                      "edge_attr": normal(edges.shape[1], 4)})  # fmt: skip
    ragged = graph.make_ragged(items)
    return ragged if layout == "ragged" else graph.dense(ragged)


def step(case: str, layout: str) -> dict[str, Any]:
    """Counts of a trunk's second forward and backward pass."""
    batch = batch_of(case, layout)
    with testing.PretendedDevice() as device:
        trunk = device.to_device(build(case).train())
        there = device.to_device(batch)
        for _ in range(2):
            trunk.zero_grad(set_to_none=True)
            device.clear()
            encoded = trunk(there)
            forward = device.operations
            (encoded.nodes.square().sum() + encoded.graph.square().sum()).backward()
        return {
            "faults": device.faults.total(),
            "waits": device.waits.total(),
            "where": sorted({where for _, where in device.waits}),
            "kernels forward": forward,
            "kernels": device.operations,
        }


def breaks(case: str) -> int:
    """Graph breaks of the compiled trunk, in evaluation, in its own layout."""
    trunk = build(case, **({"settle": False} if case == "particle_net" else {})).eval()
    torch._dynamo.reset()
    explained = torch._dynamo.explain(trunk)(batch_of(case, trunk.layout))
    return int(explained.graph_break_count)


OBJECTIVES: dict[str, dict[str, Any]] = {
    **{name: {} for name in objectives.names()},
    "masked": {"keep": 0.1, "swap": 0.1},
    "supervised": {"outputs": 2},
    "supervised, quantiles": {"name": "supervised", "outputs": 1, "loss": "quantile"},
    "supervised, nodes": {"name": "supervised", "outputs": 2, "level": "node"},
    "supervised, pairs": {"name": "supervised", "outputs": 2, "level": "pair"},
}
"""Settings by name; where that is not the objective's own, they say it."""


class Oriented(FeatureEmbedder):
    """The first features of a node are its position, so that a trunk sees how it is rotated."""

    def displaced(self, batch: Any, pos: torch.Tensor) -> Any:
        return changed(batch, pos=pos, x=torch.cat([pos, batch.x[..., 3:]], -1))


def graphs() -> list[dict[str, Any]]:
    """Four graphs with everything that an objective may ask for."""
    return [
        {
            "x": torch.randn(n, 5), "pos": torch.randn(n, 3), "y": n % 2, "domain": n % 2,
            "node_y": torch.arange(n) % 2, "pair_y": torch.arange(n * n).view(n, n) % 2,
        }
        for n in (6, 8, 7, 9)
    ]  # fmt: skip


def learner(name: str) -> Any:
    """An objective on a small pair transformer."""
    torch.manual_seed(0)
    causal = {"causal": True} if name == "next_token" else {}
    trunk = trunks.build("pair_transformer", dim=16, heads=2, depth=1, pair_dim=4, **causal)
    parts = {"augment": lambda graphs: graphs} if name in ("simclr", "moco", "vicreg") else {}
    kind = Oriented if name == "rotation" else FeatureEmbedder
    embedder = kind(5, 16, 0 if causal else 4)
    return objectives.build({"name": name, **OBJECTIVES[name]})(trunk, embedder, **parts)


def objective_step(name: str) -> dict[str, Any]:
    """Counts of the second forward and backward pass: what is checked once is checked before."""
    module, batch = learner(name), graph.make_dense(graphs())
    with testing.PretendedDevice() as device:
        device.to_device(module)
        batch = device.to_device(batch)
        for _ in range(2):
            device.clear()
            module(batch)["loss"].backward()
        return counted(device)


def counted(device: testing.PretendedDevice) -> dict[str, Any]:
    """Faults and waits, and where."""
    return {
        "faults": device.faults.total(), "waits": device.waits.total(),
        "where": sorted({where for _, where in device.waits}),
    }  # fmt: skip


def engine_step() -> dict[str, Any]:
    """Waits of a step of `fit`, supervised: the difference of a long and a short run."""
    totals = []
    for steps in (2, 7):
        config = TrainConfig(steps=steps, batch_size=4, log_every=10**6, checkpoint_every=10**6)
        with testing.PretendedDevice() as device, tempfile.TemporaryDirectory() as folder:
            fit(learner("supervised"), graphs(), config, out=Path(folder),
                collate=graph.make_dense, quiet=True)  # fmt: skip
            totals.append(device.waits.total())
            faults = device.faults.total()
    return {"faults": faults, "waits": (totals[1] - totals[0]) / 5}


def alphafold_pass() -> dict[str, Any]:
    """Counts of a second pass of a small AlphaFold."""
    torch.manual_seed(0)
    n, clusters, extra = 10, 3, 4
    model = AlphaFold(AlphaFoldConfig(
        msa_dim=8, pair_dim=8, extra_dim=8, single_dim=8, blocks=1, extra_blocks=1, msa_heads=1,
        column_heads=1, pair_heads=1, outer_dim=2, triangle_dim=4, structure_dim=8, ipa_heads=1,
        structure_layers=2, templates=None,
    )).eval()  # fmt: skip
    real = torch.ones(1, n)
    real[:, -2:] = 0
    features = {
        "aatype": torch.randint(20, (1, n)), "residue_index": torch.arange(n)[None],
        "seq_mask": real, "target_feat": torch.rand(1, n, 22),
        "msa_feat": torch.rand(1, clusters, n, 49), "msa_mask": real.expand(clusters, n)[None],
        "extra_msa": torch.randint(22, (1, extra, n)),
        "extra_msa_mask": real.expand(extra, n)[None],
        "extra_has_deletion": torch.zeros(1, extra, n),
        "extra_deletion_value": torch.zeros(1, extra, n),
    }  # fmt: skip
    with testing.PretendedDevice() as device, torch.no_grad():
        device.to_device(model)
        features = device.to_device(features)
        previous = None
        for _ in range(2):
            device.clear()
            previous = model(features, previous).recycle()
        return counted(device)


def beam_search_token() -> dict[str, Any]:
    """Waits of a token: the difference of a long and a short search, and where."""
    totals = []
    for length in (8, 24):
        torch.manual_seed(0)
        sizes = SequenceConfig(
            dim=16, heads=2, groups=1, encoder_layers=1, decoder_layers=1, vocabulary=30
        )  # fmt: skip
        model, source = Sequence(sizes).eval(), torch.randint(3, 30, (4, 7))
        with testing.PretendedDevice() as device:
            device.to_device(model)
            source = device.to_device(source)
            device.clear()
            model.beam_search(source, 4, length)
            counts = counted(device)
            totals.append(counts["waits"])
    return {**counts, "waits": (totals[1] - totals[0]) / 16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/waits.json")
    out = parser.parse_args().out
    rows = {}
    for case in CASES:
        own = build(case).layout
        other = "ragged" if own == "dense" else "dense"
        rows[case] = {
            "own layout": own, "own": step(case, own), "other": step(case, other),
            "graph breaks": breaks(case),
        }  # fmt: skip
        print(case, json.dumps(rows[case]))
    facts = {"device": "pretended", "torch": torch.__version__, "date": str(date.today())}
    others = {
        "objectives, a step": {name: objective_step(name) for name in OBJECTIVES},
        "engine, a step": engine_step(),
        "alphafold, a pass": alphafold_pass(),
        "beam search, a token": beam_search_token(),
    }
    print(json.dumps(others, indent=1))
    out.write_text(json.dumps({**facts, "trunks": rows, **others}, indent=1) + "\n")


if __name__ == "__main__":
    main()
