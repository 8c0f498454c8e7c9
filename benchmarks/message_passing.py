"""Message passing against PyG's layers, and its cost from a thousand to a million nodes.

    python benchmarks/message_passing.py [--largest 1000000] [--out FILE.json]

One layer of width 64, 4 heads, edge features of width 8, forward and backward with gradients of
nodes, edge features and parameters, on a random graph of 100,000 nodes and 1,000,000 edges.
Peers are GATv2Conv, and GPSConv around GATv2Conv with Performer attention (full attention between
100,000 nodes does not fit). Ours is a whole block: two norms, attention with edge features, gate,
and feed-forward layer; also timed without the feed-forward layer, as GATv2Conv has none.
Speed is edges per second of CPU time of the process, the median over rounds in turns; memory is
the peak of the process while one contestant runs in it alone, less what it held before.

The curve is drawn twice, with the exponent of seconds against nodes: on a random graph, whose rows
come from all over the memory and stop fitting the cache as the graph grows, and on a local one,
whose neighbours have near numbers, as in a mesh or a netlist in the order of its hierarchy.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import torch
from machine import forget_peak, json_output, processor, resident
from torch import Tensor

WIDTH, HEADS, EDGE_DIM = 64, 4, 8
HERE = Path(__file__).parent
Step = Callable[[], Tensor]


REACH = 50  # how far apart the numbers of neighbours are in the local graph


def graph(nodes: int, edges: int, local: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """x [nodes, 64], edge_index [2, edges], edge_attr [edges, 8]."""
    torch.manual_seed(0)
    index = torch.randint(0, nodes, (2, edges))
    if local:
        index[1] = index[1].sort().values
        index[0] = (index[1] + torch.randint(-REACH, REACH + 1, (edges,))) % nodes
    return torch.randn(nodes, WIDTH), index, torch.randn(edges, EDGE_DIM)


def ours(nodes: int, edges: int, expansion: float = 2.0, local: bool = False) -> Step:
    """A block of this package; the edges are sorted in every pass, as in a trunk of one layer."""
    from sciml.nn.scatter import Adjacency
    from sciml.trunks.message_passing import MessageBlock

    x, index, attr = graph(nodes, edges, local)
    block = MessageBlock(WIDTH, HEADS, EDGE_DIM, expansion=expansion, dropout=0.0)
    x.requires_grad_()
    attr.requires_grad_()
    return lambda: block(x, x, attr, Adjacency.of(index, nodes)).square().sum()


def gatv2(nodes: int, edges: int) -> Step:
    """PyG's GATv2Conv with edge features."""
    from torch_geometric.nn import GATv2Conv

    x, index, attr = graph(nodes, edges)
    layer = GATv2Conv(WIDTH, WIDTH // HEADS, heads=HEADS, edge_dim=EDGE_DIM, add_self_loops=False)
    x.requires_grad_()
    attr.requires_grad_()
    return lambda: layer(x, index, attr).square().sum()


def gps(nodes: int, edges: int) -> Step:
    """PyG's GPSConv around GATv2Conv, Performer attention."""
    from torch_geometric.nn import GATv2Conv, GPSConv

    x, index, attr = graph(nodes, edges)
    local = GATv2Conv(WIDTH, WIDTH // HEADS, heads=HEADS, edge_dim=EDGE_DIM, add_self_loops=False)
    layer = GPSConv(WIDTH, local, heads=HEADS, attn_type="performer")
    batch = torch.zeros(nodes, dtype=torch.int64)
    x.requires_grad_()
    attr.requires_grad_()
    return lambda: layer(x, index, batch, edge_attr=attr).square().sum()


CONTESTANTS: dict[str, Callable[[int, int], Step]] = {
    "ours": ours,
    "ours, no feed-forward": lambda nodes, edges: ours(nodes, edges, expansion=0.0),
    "GATv2Conv": gatv2,
    "GPSConv": gps,
}


def seconds(step: Step) -> float:
    """CPU seconds of a forward and backward pass."""
    start = time.process_time()
    step().backward()
    return time.process_time() - start


def peak_mib(name: str, nodes: int, edges: int) -> float:
    """Peak memory of a pass in a process of its own, less what graph and layer take, MiB."""
    return json_output(sys.executable, __file__, "--alone", name, nodes, edges)


def alone(name: str, nodes: int, edges: int) -> None:
    """Print the peak memory of one pass."""
    seconds(CONTESTANTS[name](100, 1000))  # libraries loaded, kernels compiled
    step = CONTESTANTS[name](nodes, edges)
    forget_peak()
    before = resident()
    seconds(step)
    print(resident("VmHWM") - before)


def curve(largest: int, local: bool) -> list[dict[str, float]]:
    """Seconds of our block against the size, ten edges a node."""
    rows = []
    size = 1000
    while size <= largest:
        step = ours(size, 10 * size, local=local)
        repeats = max(1, 100_000 // size)
        times = [
            sum(seconds(step) for _ in range(repeats)) / repeats
            for _ in range(3 if size < 1_000_000 else 1)
        ]
        rows.append({"nodes": size, "edges": 10 * size, "seconds": round(min(times), 5),
                     "edges_per_second": round(10 * size / min(times))})  # fmt: skip
        size *= 10
    return rows


def exponent(rows: list[dict[str, float]]) -> float:
    """Slope of log seconds against log nodes, by least squares."""
    x, y = (np.log([row[key] for row in rows]) for key in ("nodes", "seconds"))
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def main() -> None:
    """Measure and write the table and the curve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=1_000_000, help="nodes at the curve's end")
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "message_passing.json")
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.alone:
        name, nodes, edges = options.alone
        return alone(name, int(nodes), int(edges))

    nodes, edges = 100_000, 1_000_000
    steps = {name: make(nodes, edges) for name, make in CONTESTANTS.items()}
    measured: dict[str, list[float]] = {name: [] for name in steps}
    seconds(ours(100, 1000))  # compile
    for _ in range(options.rounds):
        for name, step in steps.items():
            measured[name].append(seconds(step))
    del steps, step
    rates = {name: edges / median(times) for name, times in measured.items()}

    curves = {kind: curve(options.largest, kind == "local") for kind in ("random", "local")}
    result = {
        "what": f"one layer of width {WIDTH}, {nodes} nodes, {edges} edges, forward + backward",
        "unit": "edges per CPU second, one thread",
        "edges_per_second": {name: round(rate) for name, rate in rates.items()},
        "slowest_and_fastest_round": {
            name: [round(edges / max(times)), round(edges / min(times))]
            for name, times in measured.items()
        },
        "ours_over": {name: round(rates["ours"] / rate, 2) for name, rate in rates.items()},
        "peak_mib": {}
        if options.no_memory
        else {name: round(peak_mib(name, nodes, edges)) for name in CONTESTANTS},
        "curves": {
            kind: {"exponent": exponent(rows), "rows": rows} for kind, rows in curves.items()
        },
        "torch": torch.__version__,
        "device": processor(),
        "date": date.today().isoformat(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
