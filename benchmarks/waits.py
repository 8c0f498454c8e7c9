"""Waits, graph breaks and kernels of one training step of each trunk, counted without a GPU.

    python benchmarks/waits.py [--out FILE.json]

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
from datetime import date
from pathlib import Path
from typing import Any

import torch

from sciml import graph, testing, trunks

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
    out.write_text(json.dumps({**facts, "trunks": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
