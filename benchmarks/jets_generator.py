"""Speed of the generator: jets per second on one core, per class.

python benchmarks/jets_generator.py [JETS A CLASS] [OUT.json]
"""

import json
import platform
import sys
import time
from pathlib import Path

import numpy as np

from sciml.jets.data.columns import CLASSES
from sciml.jets.simulation import jet_table as simulation


def main(jets: int, out: Path) -> None:
    """Times one chunk of every class, Pythia's start included, numba's compilation not."""
    simulation.jets_of_chunk("QCD", 0, 2, 0)
    rows = []
    for name in CLASSES:
        began = time.process_time()
        table = simulation.jets_of_chunk(name, 1, jets, 0)
        seconds = time.process_time() - began
        made = json.loads(table.schema.metadata[b"sciml.jets"])
        rows.append(
            {
                "class": name,
                "jets_per_cpu_second": round(jets / seconds, 1),
                "events_per_jet": round(made["events"] / jets, 2),
                "mean_constituents": round(float(np.mean(table["jet_nparticles"])), 1),
            }
        )
        print(rows[-1], flush=True)
    rates = np.array([row["jets_per_cpu_second"] for row in rows])
    result = {
        "jets_per_class": jets,
        "mean_of_rates": round(float(rates.mean()), 1),
        "rate_of_an_equal_mix": round(float(len(rates) / (1 / rates).sum()), 1),
        "classes": rows,
        "processor": platform.processor() or platform.machine(),
        "date": time.strftime("%Y-%m-%d"),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print({k: v for k, v in result.items() if k != "classes"})


if __name__ == "__main__":
    arguments = sys.argv[1:]
    folder = Path(__file__).parent / "results"
    main(
        int(arguments[0]) if arguments else 300,
        Path(arguments[1]) if len(arguments) > 1 else folder / "jets_generator.json",
    )
