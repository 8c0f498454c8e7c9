"""Large alignments: memory and time of reading, filtering and weighting, each in its own process.

    python benchmarks/protein_alignments.py --rows 10000 100000 1000000

Made A3M files of 200 columns: rows from 400 ancestors with 5 to 60 % of their residues changed,
gaps at the ends, insertions in three of ten. The steps are those of `sciml protein contacts`: read,
equal rows out, coverage of half the query, evenly thinned to the rows the network takes, weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import json_output, resident

HERE = Path(__file__).resolve()
COLUMNS = 200


def make(path: Path, rows: int, columns: int = COLUMNS) -> None:
    """Write a made alignment, 20,000 rows at a time."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", np.uint8)
    ancestors = rng.integers(0, 20, (400, columns))
    column = np.arange(columns)
    with open(path, "wb") as file:
        file.write(b">query\n" + letters[ancestors[0]].tobytes() + b"\n")
        for start in range(1, rows, 20_000):
            count = min(20_000, rows - start)
            types = ancestors[rng.integers(0, 400, count)].copy()
            changed = rng.random(types.shape) < rng.uniform(0.05, 0.6, (count, 1))
            types[changed] = rng.integers(0, 20, int(changed.sum()))
            text = letters[types].copy()
            first, last = rng.integers(0, 40, count), columns - rng.integers(0, 40, count)
            text[(column < first[:, None]) | (column >= last[:, None])] = ord("-")
            inserted = rng.random(count) < 0.3
            for k, row in enumerate(text):
                extra = b"acd" if inserted[k] else b""
                half = row[: columns // 2].tobytes() + extra + row[columns // 2 :].tobytes()
                file.write(b">s%d\n" % (start + k) + half + b"\n")


def measure(path: Path) -> dict[str, Any]:
    """CPU seconds of each step, and the process's peak memory after it [GiB]."""
    from sciml.protein import Alignment, read_alignment
    from sciml.protein.contacts.predictor import MAX_DEPTH

    Alignment.from_sequences(["ACD", "ACE"]).neff()  # compiled before the clock starts

    def peak() -> float:
        return resident("VmHWM") / 1024

    steps: dict[str, dict[str, float]] = {}
    before = started = time.process_time()
    loaded = peak()

    def done(step: str) -> None:
        nonlocal started
        now = time.process_time()
        steps[step] = {"cpu_s": round(now - started, 3), "peak_gib": round(peak(), 3)}
        started = now

    alignment = read_alignment(path)
    depth = alignment.depth
    done("read")
    alignment = alignment.deduplicate()
    done("equal rows out")
    alignment = alignment.filter(min_coverage=0.5)
    done("coverage")
    rows = np.unique(np.linspace(0, alignment.depth - 1, MAX_DEPTH).astype(int))
    alignment = alignment.select(rows)
    done("thinned")
    neff = alignment.neff()
    done("weights")
    return {
        "rows": depth,
        "columns": alignment.columns,
        "file_gib": round(path.stat().st_size / 2**30, 4),
        "loaded_gib": round(loaded, 3),
        "peak_gib": round(peak(), 3),
        "cpu_s": round(time.process_time() - before, 2),
        "effective_sequences": round(neff, 1),
        "weighted_rows": alignment.depth,
        "steps": steps,
    }


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--out", type=Path, default=HERE.parent / "results" / "protein_alignments.json"
    )
    parser.add_argument("--one", type=Path, help="measure this file in this process")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    table = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.a3m"
        for rows in arguments.rows:
            make(path, rows)
            table.append(json_output(sys.executable, HERE, "--one", path))
            print(table[-1], flush=True)
    result = {
        "benchmark": "protein_alignments",
        "command": "python benchmarks/protein_alignments.py --rows "
        + " ".join(map(str, arguments.rows)),
        "date": time.strftime("%Y-%m-%d"),
        "device": "CPU, one thread of a shared two-core x86-64 machine",
        "rows": table,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
