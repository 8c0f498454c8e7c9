"""What large data cost: bytes, core-hours and GPU-hours from rates that are measured here.

    python benchmarks/scale.py [--out FILE.json]

Rates are per CPU second of one core, over small pieces of the data: making (`sciml data make`),
preparing (packing, features), reading and collating (`results/streaming.json`). Costs follow by
multiplication, but for the order, which is measured at full size. GPU-hours are no measurement:
floating-point operations of a training step are counted (`torch.utils.flop_counter`), and a GPU is
taken to do `GPU_FLOPS` of them a second.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from input_pipeline import simulate
from machine import processor

from sciml.report.markdown import table

HERE = Path(__file__).parent
GPU_FLOPS = 1e14
"""Of one GPU: a tenth of an H100's dense bfloat16 peak, as small trunks reach it."""
GOALS = {"jets": 10**8, "protein": 10**6, "symbolic": 10**9}
CELLS = 10**7
TRUNK = {"dim": 128, "pair_dim": 8, "depth": 8}
"""The trunk that GPU-hours are counted for."""


def timed(work: Any) -> tuple[float, Any]:
    """CPU seconds of this process, and what `work` returns."""
    began = time.process_time()
    value = work()
    return time.process_time() - began, value


def jets(folder: Path) -> dict[str, float]:
    """Bytes of a jet in its files and in the cache, CPU seconds of making and packing it."""
    from sciml.jets.data.dataset import JetDataset
    from sciml.jets.data.sample import shipped

    path, size = shipped("train"), 5000
    JetDataset(path, memory=0, cache=folder / "warm")
    seconds, data = timed(lambda: JetDataset(path, memory=0, cache=folder / "cache"))
    made = json.loads((HERE / "results" / "jets_generator.json").read_text())
    cached = sum(file.stat().st_size for file in (folder / "cache").rglob("*.bin"))
    rate = made["rate_of_an_equal_mix"]
    return {
        "make_cpu_s": 1 / rate, "prepare_cpu_s": seconds / size,
        "file_bytes": path.stat().st_size / size, "cache_bytes": cached / len(data),
    }  # fmt: skip


def protein(folder: Path) -> dict[str, float]:
    """The same of an alignment of a generated family."""
    from sciml.data import shards
    from sciml.protein.contacts.pretraining import AlignmentSet
    from sciml.protein.contacts.synthetic_families import make

    make(folder / "warm", count=1, seed=1)
    count = 16
    seconds, _ = timed(lambda: make(folder / "made", count=count, shards=1))
    found = shards.files(folder / "made")
    rows = shards.Rows(found, "alignment")
    data = AlignmentSet(rows, cache=folder / "cache")
    data[0]
    prepared, _ = timed(lambda: [data[i] for i in range(1, 7)])
    cached = [file.stat().st_size for file in (folder / "cache").rglob("*.npz")]
    return {"make_cpu_s": seconds / count, "prepare_cpu_s": prepared / 6,
            "file_bytes": found[0].stat().st_size / count,
            "cache_bytes": float(np.mean(cached))}  # fmt: skip


def symbolic(folder: Path) -> dict[str, float]:
    """The same of an expression."""
    from sciml.symbolic.generate.problems import make
    from sciml.symbolic.neural.pretraining import Expressions

    count = 100_000
    make("bwd", 1000, folder / "warm.jsonl")
    make("bwd", 1000, folder / "warm", shards=1)
    seconds, _ = timed(lambda: make("bwd", count, folder / "made", shards=1))
    os.environ["SCIML_CACHE"] = str(folder / "cache")
    Expressions(folder / "warm", memory=0)
    prepared, _ = timed(lambda: Expressions(folder / "made", memory=0))
    cached = sum(file.stat().st_size for file in (folder / "cache").rglob("*.bin"))
    (file,) = (folder / "made").glob("*.parquet")
    return {"make_cpu_s": seconds / count, "prepare_cpu_s": prepared / count,
            "file_bytes": file.stat().st_size / count,
            "cache_bytes": cached / (count + 1000)}  # fmt: skip


def cells(folder: Path, count: int = 200_000) -> dict[str, float]:
    """A flat design: CPU seconds and bytes per cell of making, writing, reading, one example."""
    from sciml.placement.formats.io import read_design, write_design
    from sciml.placement.generate import standard_cells
    from sciml.placement.learning.embedder import netlist_graph
    from sciml.placement.learning.pretraining import connected_part

    netlist_graph(connected_part(standard_cells(5000, 1), 4000))
    made, design = timed(lambda: standard_cells(count))
    written, _ = timed(lambda: write_design(design, folder / "cells.aux"))
    read, design = timed(lambda: read_design(folder / "cells.aux"))
    cut, _ = timed(lambda: netlist_graph(connected_part(design, 4000)))
    arrays = [v for v in vars(design).values() if isinstance(v, np.ndarray)]
    files = sum(file.stat().st_size for file in folder.glob("cells.*"))
    return {
        "make_cpu_s": made / count, "write_cpu_s": written / count, "read_cpu_s": read / count,
        "example_cpu_s": cut / count, "file_bytes": files / count,
        "memory_bytes": sum(a.nbytes for a in arrays) / count, "measured_cells": count,
    }  # fmt: skip


def flops() -> dict[str, float]:
    """Floating-point operations of one example, forward and backward, masked modelling."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from sciml import objectives, trunks
    from sciml.jets.data.sample import shipped
    from sciml.jets.learning.pretraining import read_jets
    from sciml.protein.contacts.embedder import AlignmentEmbedder
    from sciml.protein.contacts.pretraining import collate as collate_proteins
    from sciml.symbolic.neural import pretraining as expressions

    torch.manual_seed(0)
    jet_corpus = read_jets(shipped("test"))
    some = [jet_corpus.dataset[i] for i in range(16)]
    columns = 100
    protein_batch = collate_proteins(
        [{"x": torch.rand(columns, 26), "pair": torch.rand(columns, columns, 25)}] * 2
    )
    tokens = [[int(t) for t in torch.randint(10, 20, (40,))] for _ in range(8)]
    made = {
        "jets": (jet_corpus.embedder, jet_corpus.collate(some), 16),
        "protein": (AlignmentEmbedder, protein_batch, 2),
        "symbolic": (expressions.TokenEmbedder, expressions.collate(tokens), 8),
    }
    counted = {}
    for science, (embedder, batch, size) in made.items():
        trunk = trunks.build("pair_transformer", **TRUNK)
        module = objectives.build("masked")(trunk, embedder(trunk.dim, trunk.pair_dim))
        with FlopCounterMode(display=False) as counter:
            module(batch)["loss"].backward()
        counted[science] = counter.get_total_flops() / size
    return counted


COSTS = {
    "examples": "examples", "files_tb": "files [TB]", "cache_tb": "cache [TB]",
    "make_core_hours": "making [core-hours]", "prepare_core_hours": "preparing [core-hours]",
    "read_core_hours_per_epoch": "reading [core-hours per epoch]",
    "gflops_per_example": "GFLOP per example, forward and backward",
    "gpu_hours_per_epoch": "training [GPU-hours per epoch]",
    "reader_cores_per_gpu": "reader cores that one GPU needs",
    "cells": "cells", "files_gb": "files [GB]", "memory_gb": "in memory [GB]",
    "read_core_minutes": "reading [core-minutes]",
    "example_core_seconds": "cutting one example out [core-seconds]",
}  # fmt: skip


def tables(result: dict[str, Any]) -> str:
    """The results as Markdown."""
    parts = []
    for names in (list(GOALS), ["placement"]):
        of = [result["costs"][name] for name in names]
        rows = [(text, *(f"{one[key]:,.3g}" for one in of)) for key, text in COSTS.items()
                if key in of[0]]  # fmt: skip
        parts.append(table(("", *names), rows))
    runs = [(name, run["readers_per_gpu"], f"{run['examples_per_s']:,}",
             *(f"{run['busy'][k]:.0%}" for k in ("GPUs", "readers", "links", "storage")),
             run["bottleneck"])
            for name, several in result["pipeline"].items() for run in several]  # fmt: skip
    heads = ("data", "readers per GPU", "examples/s", "GPUs busy", "readers busy", "links busy",
             "storage busy", "bottleneck")  # fmt: skip
    return "\n".join([*parts, table(heads, runs)])


def main() -> None:
    """Measure, multiply, simulate, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "scale.json")
    options = parser.parse_args()
    streaming = json.loads((HERE / "results" / "streaming.json").read_text())
    reading = {row["what"]: row["rate"] for row in streaming["rows"]
               if row["side"] == "sciml" and row["turn"] == "later"}  # fmt: skip
    counted = flops()
    costs: dict[str, dict[str, float]] = {}
    pipeline: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for science, measure in (("jets", jets), ("protein", protein), ("symbolic", symbolic)):
            folder = Path(temporary) / science
            folder.mkdir()
            one, goal = measure(folder), GOALS[science]
            hours = goal / 3600
            gpu_rate = GPU_FLOPS / counted[science]
            costs[science] = {
                "examples": goal, **{key: float(f"{value:.4g}") for key, value in one.items()},
                "files_tb": one["file_bytes"] * goal / 1e12,
                "cache_tb": one["cache_bytes"] * goal / 1e12,
                "make_core_hours": one["make_cpu_s"] * hours,
                "prepare_core_hours": one["prepare_cpu_s"] * hours,
                "read_core_hours_per_epoch": hours / reading[science],
                "gflops_per_example": counted[science] / 1e9,
                "gpu_hours_per_epoch": hours / gpu_rate,
                "reader_cores_per_gpu": gpu_rate / reading[science],
            }  # fmt: skip
            pipeline[science] = [
                simulate(gpu_rate, reading[science], one["cache_bytes"], readers=readers)
                for readers in (4, 16, 64)
            ]
            print(science, costs[science], flush=True)
        design = cells(Path(temporary))
    costs["placement"] = {key: float(f"{value:.4g}") for key, value in design.items()} | {
        "cells": CELLS, "files_gb": design["file_bytes"] * CELLS / 1e9,
        "memory_gb": design["memory_bytes"] * CELLS / 1e9,
        "make_core_hours": design["make_cpu_s"] * CELLS / 3600,
        "read_core_minutes": design["read_cpu_s"] * CELLS / 60,
        "example_core_seconds": design["example_cpu_s"] * CELLS,
    }  # fmt: skip
    rounded = {name: {k: float(f"{v:.3g}") for k, v in values.items()}
               for name, values in costs.items()}  # fmt: skip
    facts = {"date": str(date.today()), "processor": processor(), "gpu_flops": GPU_FLOPS,
             "trunk": TRUNK, "load": os.getloadavg()[0]}  # fmt: skip
    result = {**facts, "costs": rounded, "pipeline": pipeline}
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(tables(result))


if __name__ == "__main__":
    main()
