"""Equivariant layer against e3nn's default convolution and MACE's interaction block.

    python benchmarks/equivariant.py [--mace-python /path/to/venv/bin/python] [--out FILE.json]

One layer, l <= 2, 64 channels, forward and backward (features, edge vectors' harmonics and all
parameters get gradients), same edges, same radial network 8 -> 64 -> 64 -> weights. Speed is edges
per second of CPU time of the process, the median over rounds in which the contestants take turns.
MACE pins an old e3nn, so it runs in an interpreter of its own (mace-torch installed), started from
here in each round's turn.

The layers are not the same function: all have the 11 paths of natural parity with their own
weights per channel; ours adds normalisation and gate, e3nn's an unused scale, MACE's a product with
the node's element. With --l3 the SO(2) path is timed against the path-by-path product at l <= 3.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machine import processor

NODES, EDGES, CHANNELS, RADIAL = 512, 8192, 64, [8, 64, 64]
HERE = Path(__file__).parent


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """edge_index [2, E], unit vectors [E, 3], radial basis [E, 8]."""
    torch.manual_seed(0)
    index = torch.randint(0, NODES, (2, EDGES))
    index = index[:, torch.argsort(index[1], stable=True)]
    vector = torch.nn.functional.normalize(torch.randn(EDGES, 3), dim=-1)
    return index, vector, torch.randn(EDGES, RADIAL[0])


def ours(lmax: int = 2, so2: bool = False, compiled: bool = False) -> Callable[[], torch.Tensor]:
    """This package's layer with norm, gate and residual."""
    from sciml.nn.irreps import Irrep, aligning_rotation, spherical_harmonics, wigner_matrices
    from sciml.nn.scatter import Adjacency
    from sciml.trunks.equivariant import Geometry, Layer

    index, vector, basis = inputs()
    irreps = tuple(Irrep(CHANNELS, l, (-1) ** l) for l in range(lmax + 1))
    layer: Any = Layer(
        irreps, irreps, lmax=lmax, so2=so2, inputs=RADIAL[0], radial_hidden=64, degree=16
    )
    call = torch.compile(layer) if compiled else layer
    edges = Adjacency.of(index, NODES)
    features = [torch.randn(NODES, ir.width, ir.mul, requires_grad=True) for ir in irreps]
    harmonics = torch.cat(spherical_harmonics(vector, lmax), -1).requires_grad_()
    frames = [m.requires_grad_() for m in wigner_matrices(aligning_rotation(vector), lmax)]

    weight = torch.ones(len(vector))

    def step() -> torch.Tensor:
        geometry = Geometry(
            edges, basis, weight, None if so2 else harmonics, frames if so2 else None
        )
        out = call(features, geometry)
        return sum(part.square().sum() for part in out)

    return step


def e3nn_default(compiled: bool = False) -> Callable[[], torch.Tensor]:
    """`Convolution` of e3nn's own models; as it comes (TorchScript), or under torch.compile."""
    import e3nn
    from e3nn import o3
    from e3nn.nn.models.v2106.points_convolution import Convolution

    mode = "eager" if compiled else "script"
    e3nn.set_optimization_defaults(jit_mode=mode)
    irreps = o3.Irreps(f"{CHANNELS}x0e+{CHANNELS}x1o+{CHANNELS}x2e")
    sh = o3.Irreps.spherical_harmonics(2)
    layer: Any = Convolution(irreps, "1x0e", sh, irreps, RADIAL, 16.0)
    call = torch.compile(layer) if compiled else layer
    index, vector, basis = inputs()
    features = torch.randn(NODES, irreps.dim, requires_grad=True)
    harmonics = o3.spherical_harmonics(sh, vector, True, "component").requires_grad_()
    attribute = torch.ones(NODES, 1)

    def step() -> torch.Tensor:
        return call(features, attribute, index[0], index[1], harmonics, basis).square().sum()

    return step


def mace_block() -> Callable[[], torch.Tensor]:
    """MACE's RealAgnosticInteractionBlock, one element."""
    from mace.modules.blocks import RealAgnosticInteractionBlock  # first: it patches torch.load

    from e3nn import o3  # isort: skip

    irreps = o3.Irreps(f"{CHANNELS}x0e+{CHANNELS}x1o+{CHANNELS}x2e")
    sh = o3.Irreps.spherical_harmonics(2)
    layer: Any = RealAgnosticInteractionBlock(
        node_attrs_irreps=o3.Irreps("1x0e"),
        node_feats_irreps=irreps,
        edge_attrs_irreps=sh,
        edge_feats_irreps=o3.Irreps(f"{RADIAL[0]}x0e"),
        target_irreps=irreps,
        hidden_irreps=irreps,
        avg_num_neighbors=16.0,
        radial_MLP=RADIAL[1:],
    )
    index, vector, basis = inputs()
    features = torch.randn(NODES, irreps.dim, requires_grad=True)
    harmonics = o3.spherical_harmonics(sh, vector, True, "component").requires_grad_()
    attribute = torch.ones(NODES, 1)

    def step() -> torch.Tensor:
        return layer(attribute, features, harmonics, basis, index)[0].square().sum()

    return step


CONTESTANTS: dict[str, Callable[[], Callable[[], torch.Tensor]]] = {
    "ours": ours,
    "ours, torch.compile": lambda: ours(compiled=True),
    "e3nn": e3nn_default,
}
COMPILED_PEERS = {"e3nn, torch.compile": lambda: e3nn_default(compiled=True)}
HIGHER = {
    "l <= 3, paths": lambda: ours(lmax=3),
    "l <= 3, SO(2)": lambda: ours(lmax=3, so2=True),
    "l <= 4, paths": lambda: ours(lmax=4),
    "l <= 4, SO(2)": lambda: ours(lmax=4, so2=True),
}


def seconds(step: Callable[[], torch.Tensor], repeats: int) -> float:
    """CPU seconds of a forward and backward pass."""
    start = time.process_time()
    for _ in range(repeats):
        step().backward()
    return (time.process_time() - start) / repeats


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mace-python", help="interpreter of an environment with mace-torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--compile-peers", action="store_true", help="also e3nn under torch.compile"
    )
    parser.add_argument("--l3", action="store_true", help="also the SO(2) path at l <= 3, 4")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "equivariant.json")
    parser.add_argument("--serve-mace", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.serve_mace:  # the other end of the pipe: a line in, a time out
        answers, sys.stdout = sys.stdout, sys.stderr  # libraries print
        step = mace_block()
        seconds(step, 2)
        for _ in sys.stdin:
            print(seconds(step, options.repeats), file=answers, flush=True)
        return

    makers = dict(CONTESTANTS)
    if options.compile_peers:
        makers.update(COMPILED_PEERS)
    if options.l3:
        makers.update(HIGHER)
    steps = {name: make() for name, make in makers.items()}
    measured: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        seconds(step, 2)  # compile, fill caches
    mace = None
    if options.mace_python:
        mace = subprocess.Popen(
            [options.mace_python, __file__, "--serve-mace", "--repeats", str(options.repeats)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        measured["MACE"] = []
    for _ in range(options.rounds):
        for name, step in steps.items():
            measured[name].append(seconds(step, options.repeats))
        if mace is not None:
            assert mace.stdin is not None and mace.stdout is not None
            mace.stdin.write("go\n")
            mace.stdin.flush()
            measured["MACE"].append(float(mace.stdout.readline()))
    if mace is not None:
        mace.communicate()

    rates = {name: EDGES / median(times) for name, times in measured.items()}
    spread = {
        name: [round(EDGES / max(times)), round(EDGES / min(times))]
        for name, times in measured.items()
    }
    best = rates["ours, torch.compile"]
    result = {
        "what": f"{EDGES} edges, {NODES} nodes, {CHANNELS} channels, l <= 2, forward + backward",
        "unit": "edges per CPU second, one thread",
        "edges_per_second": {name: round(rate) for name, rate in rates.items()},
        "slowest_and_fastest_round": spread,
        "ours_compiled_over": {name: round(best / rate, 2) for name, rate in rates.items()},
        "ours_eager_over": {name: round(rates["ours"] / rate, 2) for name, rate in rates.items()},
        "torch": torch.__version__,
        "device": processor(),
        "date": date.today().isoformat(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
