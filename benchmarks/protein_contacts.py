"""Contacts from alignments: the recipe on families with known structures, as a table.

    python benchmarks/protein_contacts.py --data FAMILIES --structures FOLDS [--without NAMES]
        [--work DIR] [--families 144] [--members 3] [--steps 900]

FAMILIES: one folder a family with an alignment and a structure; the table is measured on them and
nothing is chosen by them. FOLDS: structures to generate the pretraining families on (the chain
files of the PyPI package cgdms 1.0, for example); NAMES: those of them that are homologous to a
family, to be left out. The recipe `protein_structure` does the work in DIR; what DIR holds already
is not done again. Writes benchmarks/results/protein_contacts.json and .md.
"""

from __future__ import annotations

import argparse
import json
import platform
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from sciml.report.markdown import table

COLUMNS = ("P@L", "P@L/2", "P@L/5")


def markdown(result: dict[str, Any]) -> str:
    """The tables as Markdown."""
    rows = []
    for row in result["real"]:
        cells = []
        for name in COLUMNS:
            spread = row.get(f"{name} spread")
            cells.append(f"{row[name]:.3f}" + (f" ± {spread:.3f}" if spread is not None else ""))
        rows.append([row["method"], *cells, row["runs"]])
    lines = [
        f"# {result['what']}",
        "",
        f"{result['families']} families; mean precision of the L, L/2 and L/5 best pairs 24 or "
        "more residues apart (CB within 8 A; L: residues with a column); spread: one standard "
        "deviation over seeds.",
        "",
        table(["method", "P@L", "P@L/2", "P@L/5", "seeds"], rows).rstrip(),
    ]
    coarse = result["coarse models"]
    lines += [
        "",
        "Coarse models folded from distances of the networks trained on generated families only: "
        "mean TM-score "
        f"{coarse['mean']:.3f}, standard deviation {coarse['deviation']:.3f}, "
        f"{coarse['least']:.3f} to {coarse['most']:.3f}; {coarse['above 0.5']} of "
        f"{coarse['families']} above 0.5. As TM-align (tmtools) matches residues: mean "
        f"{coarse['mean by TM-align']:.3f}, {coarse['above 0.5 by TM-align']} above 0.5.",
        "",
        f"Made by `{result['command']}`, {result['date']}, {result['device']}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    import torch

    from sciml.cli import main as sciml

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--structures", type=Path, required=True)
    parser.add_argument("--without", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/protein_contacts"))
    parser.add_argument("--families", type=int, default=144)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--control-repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    a = parser.parse_args()
    command = ["run", "protein_structure", "--out", str(a.work), "--data", str(a.data),
               "--structures", str(a.structures), "--families", str(a.families),
               "--members", str(a.members), "--train.steps", str(a.steps),
               "--control-repeats", str(a.control_repeats), "--fold", "100000"]  # fmt: skip
    command += ["--without", str(a.without)] if a.without else []
    code = sciml(command)
    if code:
        raise SystemExit(code)
    scores = json.loads((a.work / "scores.json").read_text())
    tm, aligned = (np.array([row[k] for row in scores["folded"]]) for k in ("TM-score", "TM-align"))
    result = {
        "what": "Long-range contacts from alignments, held-out families",
        "families": len(tm),
        "generated families": a.families,
        "steps": a.steps,
        "real": scores["real"],
        "generated": scores["generated"],
        "coarse models": {
            "families": len(tm),
            "mean": round(float(tm.mean()), 4),
            "deviation": round(float(tm.std(ddof=1)), 4),
            "least": float(tm.min()),
            "most": float(tm.max()),
            "above 0.5": int((tm > 0.5).sum()),
            "mean by TM-align": round(float(aligned.mean()), 4),
            "above 0.5 by TM-align": int((aligned > 0.5).sum()),
            "mirror image better": sum(r["mirror image"] > r["TM-score"] for r in scores["folded"]),
        },
        "by family": json.loads((a.work / "families.json").read_text()),
        "folded": scores["folded"],
        "command": "python benchmarks/protein_contacts.py --data FAMILIES --structures FOLDS "
        f"--without NAMES --families {a.families} --members {a.members} --steps {a.steps} "
        f"--control-repeats {a.control_repeats}",
        "date": date.today().isoformat(),
        "device": f"{platform.machine()} CPU, one thread, fp32, torch {torch.__version__}",
    }
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "protein_contacts.json").write_text(json.dumps(result, indent=1) + "\n")
    (a.out / "protein_contacts.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
