"""The report of the recipe `alphafold_training`: loss curves, held-out chains, one model in 3D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.protein import plots
from sciml.protein.alphafold.complex_features import chain_numbers
from sciml.protein.alphafold.complex_training import TrainingComplex
from sciml.protein.alphafold.training_data import TrainingChain
from sciml.report import Card, Estimate, Page, literal
from sciml.report.plots import axes

TERMS = {
    "backbone_fape": "backbone FAPE",
    "side_chain_fape": "side-chain FAPE",
    "chi": "torsions",
    "distogram": "distogram",
    "masked_msa": "masked MSA",
    "plddt": "predicted lDDT",
    "pae": "predicted aligned error",
    "resolved": "resolved atoms",
    "violation": "violations",
    "chain_centers": "centres of chains",
}
"""Losses that are drawn, with their names."""
SCORES = ("lDDT-CA", "TM-score", "DockQ", "mean pLDDT")
Records = Sequence[Mapping[str, Any]]


def write_metrics(
    out: Path, stages: Mapping[str, Records], scores: Sequence[Mapping[str, Any]]
) -> None:
    """metrics.jsonl: the records of both stages, then the scores of the held-out chains."""
    lines = [{"stage": stage, **record} for stage, records in stages.items() for record in records]
    lines += [{"event": "score", **row} for row in scores]
    with atomic_write(out / "metrics.jsonl") as temporary:
        temporary.write_text("".join(dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_report(
    out: Path,
    stages: Mapping[str, Records],
    scores: Sequence[Mapping[str, Any]],
    *,
    chains: tuple[int, int],
    distilled: tuple[int, int],
    example: TrainingChain | TrainingComplex,
    ca: np.ndarray,
) -> None:
    """Write report.html.

    Args:
        out: folder of the run.
        stages: records of the trainings, in their order.
        scores: rows of held-out chains by method.
        chains: numbers of chains or complexes, for training and held out.
        distilled: numbers of predictions that were learned from, and of unlabelled alignments.
        example: the held-out chain or complex that is shown.
        ca: [N, 3] its predicted CA positions [A].
    """
    kind = "complexes" if isinstance(example, TrainingComplex) else "chains"
    page = Page(
        "Training of the AlphaFold network",
        lead=f"Trained on {chains[0]} {kind}, measured on {chains[1]} others.",
        run=out,
    )
    page.card(_card(scores, kind))
    if distilled[1]:
        page.text(f"Of {distilled[1]} alignments without structures, {distilled[0]} predictions "
                  "were confident enough to learn from.")  # fmt: skip
    page.heading("Losses")
    page.figure(
        loss_figure(stages),
        f"Losses in training (lines) and on held-out {kind} (dots), before they are weighted.",
        file="metrics.jsonl",
    )
    page.heading(f"Held-out {kind}")
    page.table(_means(scores), f"Mean ± one standard deviation over the held-out {kind}.",
               file="metrics.jsonl")  # fmt: skip
    page.table(scores, f"Each of the held-out {kind}.", file="metrics.jsonl")
    page.heading("A predicted structure")
    numbers, colours = None, plots.chain_colours(len(ca))
    if isinstance(example, TrainingComplex):
        numbers = chain_numbers(example.parts).asym_id
        colours = plots.colours_by_chain(numbers)
    page.component(
        plots.viewer(ca, colours, example.name, numbers),
        f"Predicted CA trace of {literal(example.name)}, held out, coloured "
        + ("blue to red along the chain." if numbers is None else "by chain."),
    )
    page.heading("How to repeat this")
    page.command(f"sciml run alphafold_training --config {settings_file(out)} --out {out}-again")
    page.command("sciml protein fold CHAINS.fasta --params OUT/model.safetensors -o DIR")
    page.write(out / "report.html")


def loss_figure(stages: Mapping[str, Records]) -> Any:
    """Every loss against the steps of all stages, one after another."""
    figure, axis = axes(5.2, 4.2)
    for name, label in TERMS.items():
        curves: dict[str, tuple[list[int], list[float]]] = {"train": ([], []), "valid": ([], [])}
        begin = 0
        for records in stages.values():
            for record in records:
                if name in record and record.get("split") in curves:
                    steps, values = curves[record["split"]]
                    steps.append(begin + int(record["step"]))
                    values.append(float(record[name]))
            begin += max((int(record["step"]) for record in records), default=0)
        if curves["train"][0]:
            (line,) = axis.plot(*curves["train"], label=label)
            axis.plot(*curves["valid"], ".", color=line.get_color())
    axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    if axis.lines:
        axis.legend(frameon=False, fontsize="small")
    return figure


def _card(scores: Sequence[Mapping[str, Any]], kind: str) -> Card:
    """The first score that all have, of each method over the held-out examples."""
    key = next((name for name in SCORES if all(name in row for row in scores)), SCORES[-1])
    means = {
        method: Estimate.of_runs([row[key] for row in scores if row["method"] == method])
        for method in dict.fromkeys(row["method"] for row in scores)
    }
    best = max(means, key=lambda method: means[method].value)
    count = len(scores) // max(len(means), 1)
    return Card(
        "How much does training improve the predicted structure?",
        f"The highest {key} on held-out {kind} is that of **{literal(best)}**.",
        f"Mean {key} of {count} held-out {kind}; higher is better; 95 % interval of the mean.",
        tuple(means.items()), "metrics.jsonl", "Structure prediction",
    )  # fmt: skip


def _means(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for method in dict.fromkeys(row["method"] for row in scores):
        row: dict[str, Any] = {"method": method}
        for name in SCORES:
            values = [line[name] for line in scores if line["method"] == method and name in line]
            if values:
                row[name] = f"{np.mean(values):.3f} ± {np.std(values):.3f}"
        rows.append(row)
    return rows
