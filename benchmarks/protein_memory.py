"""Peak memory of folding against chain length, beside what the estimate says.

    python benchmarks/protein_memory.py --residues 128 256 512 1024

One pass of the published sizes with few Evoformer blocks: blocks work in place and reuse memory, so
that their number only adds parameters (8 MB each). Every length runs in its own process. The
exponent is that of the peak above the memory of the process before the first prediction.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from machine import json_output, resident

HERE = Path(__file__).resolve()
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def measure(n: int, clusters: int, extra: int, blocks: int) -> dict[str, float]:
    """Fold a random alignment of `n` columns; peaks [GiB] before and after, and the estimate."""
    from sciml.protein import Alignment, StructurePredictor
    from sciml.protein.alphafold import memory
    from sciml.protein.alphafold.feature_config import FeatureConfig
    from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig

    config = AlphaFoldConfig(blocks=blocks, extra_blocks=1)
    predictor = StructurePredictor(AlphaFold(config), "cpu")
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(list(LETTERS), n)) for _ in range(clusters + extra)]
    alignment = Alignment.from_sequences(rows)
    sizes = FeatureConfig(clusters=clusters, extra=extra)
    before, started = resident("VmHWM") / 1024, time.process_time()
    predictor.predict(alignment, config=sizes, recycles=0)
    return {
        "residues": n,
        "clusters": clusters,
        "extra": extra,
        "loaded_gib": before,
        "peak_gib": resident("VmHWM") / 1024,
        "estimate_gib": memory.estimate(config, n, sizes).bytes / 2**30,
        "cpu_s": time.process_time() - started,
    }


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--residues", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--clusters", type=int, default=128)
    parser.add_argument("--extra", type=int, default=256)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "protein_memory.json")
    parser.add_argument("--one", action="store_true", help="measure in this process")
    arguments = parser.parse_args()
    if arguments.one:
        sizes = (arguments.clusters, arguments.extra, arguments.blocks)
        print(json.dumps(measure(arguments.residues[0], *sizes)))
        return
    rows = []
    for n in arguments.residues:
        rows.append(json_output(
            sys.executable, HERE, "--one", "--residues", n, "--clusters", arguments.clusters,
            "--extra", arguments.extra, "--blocks", arguments.blocks,
        ))  # fmt: skip
        print(rows[-1], flush=True)
    result = {
        "benchmark": "protein_memory",
        "command": "python benchmarks/protein_memory.py --residues "
        + " ".join(map(str, arguments.residues)),
        "date": time.strftime("%Y-%m-%d"),
        "device": "CPU",
        "blocks": arguments.blocks,
        "rows": rows,
    }
    if len(rows) > 2:
        lengths = np.log([row["residues"] for row in rows])
        above = np.log([row["peak_gib"] - row["loaded_gib"] for row in rows])
        result["exponent"] = float(np.polyfit(lengths, above, 1)[0])
        result["exponent_of_the_longer_half"] = float(np.polyfit(lengths[-2:], above[-2:], 1)[0])
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
