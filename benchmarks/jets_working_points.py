"""Working points on jets of another seed: do they have the efficiencies that they were given?

    sciml data make jets --classes QCD:2 Tbqq Hbb --jets 4000 --seed 811 -o fresh.parquet
    python benchmarks/jets_working_points.py --fresh fresh.parquet [--measured FILE ...]

Without Pythia: `--measured` and `--fresh` are the training and the test sample of the package, of
seeds that jets-small has not learned from.

Thresholds are measured on `--measured` (the samples in the package) and applied to `--fresh`, both
from our generator. A share of jets on each side has a binomial error; the pull is the difference of
the two shares over both errors together. For the background the share on the first side is the
working point itself, with the error that a threshold from so many jets has.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def scored(tagger: Any, files: list[str]) -> Any:
    """Probabilities and true classes of labelled jets."""
    from sciml.jets.data.io import open_jets
    from sciml.jets.tagging import labelled

    with open_jets(files) as reader:
        return labelled(tagger, reader, momentum=True)


def comparison(points: Any, fresh: Any, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row per signal, working point and class that both sides have jets of."""
    from sciml.jets.working_points import efficiency

    rows = []
    passing = points.passing(fresh.probabilities)
    for (signal, point, name), first in points.total.items():
        mine = fresh.truth == classes.index(name)
        if name not in (signal, points.background) or not mine.any():
            continue
        value = points.efficiencies[point]
        second = efficiency(passing[signal, value][mine])
        share = value if name == points.background else first.value
        errors = [np.sqrt(max(share * (1 - share), 1 / e.jets) / e.jets) for e in (first, second)]
        rows.append({
            "signal": signal, "working_point": value, "class": name,
            "threshold": round(points.threshold(signal, value), 6),
            "measured": round(first.value, 5), "measured_jets": int(first.jets),
            "fresh": round(second.value, 5), "fresh_jets": int(second.jets),
            "fresh_interval": [round(second.low, 5), round(second.high, 5)],
            "pull": round(float((second.value - share) / np.hypot(*errors)), 2),
        })  # fmt: skip
    return rows


def main() -> None:
    """Measure and write the results."""
    from sciml.jets import JetTagger
    from sciml.jets.data.sample import shipped
    from sciml.jets.working_points import measure

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    samples = [str(shipped(name)) for name in ("train", "test")]
    parser.add_argument("--measured", nargs="+", default=samples)
    parser.add_argument("--fresh", nargs="+", required=True)
    parser.add_argument("--measured-command", default="files", help="what made the others")
    parser.add_argument("--fresh-command", default="", help="what made the fresh jets")
    parser.add_argument("--model", default="jets-small")
    parser.add_argument("--wp", type=float, nargs="+", default=[0.3, 0.1, 0.03, 0.01])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "jets_working_points.json")
    options = parser.parse_args()
    tagger = JetTagger.from_pretrained(options.model, device="cpu")
    first = scored(tagger, options.measured)
    points = measure(
        first.probabilities, first.truth, tagger.classes, efficiencies=options.wp,
        model=options.model,
    )  # fmt: skip
    rows = comparison(points, scored(tagger, options.fresh), tagger.classes)
    pulls = np.array([row["pull"] for row in rows])
    result = {
        "model": options.model,
        "measured_on": "the samples in the package" if options.measured == samples
        else options.measured_command,
        "fresh": options.fresh_command,
        "date": date.today().isoformat(),
        "pulls": {
            "number": len(pulls), "mean": round(float(pulls.mean()), 2),
            "rms": round(float(np.sqrt((pulls**2).mean())), 2),
            "within_1": int((np.abs(pulls) <= 1).sum()),
            "within_2": int((np.abs(pulls) <= 2).sum()),
            "largest": round(float(np.abs(pulls).max()), 2),
        },
        "rows": rows,
    }  # fmt: skip
    print(json.dumps(result["pulls"]))
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
