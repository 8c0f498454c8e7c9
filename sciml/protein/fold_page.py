"""The page of a folding run: a ranking of all chains, pictures of the best."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.protein import report
from sciml.protein.alphafold.predictor import Job
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.structure import read_chain
from sciml.protein.measure import metrics
from sciml.report import Page
from sciml.train.log import console

if TYPE_CHECKING:
    from sciml.protein.batch import FoldRun

Truth = Callable[[str, int], np.ndarray | None]
"""(chain, residues) -> known distances [N, N] [A], or None."""
PICTURES = 50
"""So many chains, the best, have pictures on the report page; all have a row in its table."""


def _chain_of(row: dict[str, Any]) -> str:
    """A result's chain: its name without the folder of its parameters."""
    return str(row["name"]).rpartition("/")[2]


def write_page(run: FoldRun, jobs: list[Job], rows: list[dict[str, Any]], truth: Truth) -> None:
    """The report of all chains, from the files that the best result of each has in `run.out`."""
    kind = "contact model" if run.params is None else "parameters"
    lead = f"{len(jobs)} chains from {run.input.name}, {kind} {run.parameters}."
    page = Page("Protein folding", lead=lead)
    page.heading("Ranking")
    rows = sorted(rows, key=lambda row: -(row.get("mean_plddt") or 0))
    hidden = ("model", "seconds", "violations")
    page.table([{k: v for k, v in row.items() if k not in hidden} for row in rows])
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        best.setdefault(_chain_of(row), row)
    pictures = list(best.values())[:PICTURES]
    if len(rows) > len(pictures):
        page.text(f"Pictures of the best of each chain, {PICTURES} at most; all have their files.")
    alignments = {job.name: job.alignment for job in jobs}
    for row in pictures:
        _add(page, run, row, alignments[_chain_of(row)], truth)
    page.write(run.out / "report.html")
    console.print(f"{run.out / 'report.html'}")


def _add(page: Page, run: FoldRun, row: dict[str, Any], alignment: Alignment, truth: Truth) -> None:
    """One chain's section."""
    name = row["name"]
    chain = read_chain(run.out / f"{name}.cif")
    with np.load(run.out / f"{name}_distances.npz") as file:
        contacts = np.asarray(file["contacts"], np.float32)
    confidence = json.loads((run.out / f"{name}_confidence.json").read_text(encoding="utf-8"))
    plddt, pae = confidence.get("plddt"), None
    if (run.out / f"{name}_pae.json").exists():
        errors = json.loads((run.out / f"{name}_pae.json").read_text(encoding="utf-8"))
        pae = np.asarray(errors[0]["predicted_aligned_error"])
    if plddt is None:
        note = (
            "A coarse model from predicted distances: its fold may be right, its details are not. "
            f"{row['effective_sequences']:.0f} effective sequences."
        )
        colours = report.chain_colours(len(chain))
    else:
        note = (
            f"Mean pLDDT {row['mean_plddt']:.1f}"
            + ("" if row["ptm"] is None else f", pTM {row['ptm']:.3f}")
            + f", {row['recycles']} recycles, {row['seconds']:.1f} s."
            + (f" Relaxed: {faults(row['violations'])}." if "violations" in row else "")
        )
        colours = report.confidence_colours(chain.bfactors[:, 1])
    real = truth(_chain_of(row), len(contacts))
    report.add_chain(
        page,
        name,
        ca=chain.points(),
        colours=colours,
        alignment=alignment.with_query(0),
        plddt=None if plddt is None else np.asarray(plddt),
        pae=pae,
        contacts=contacts,
        truth=None if real is None else np.nan_to_num(real, nan=99.0) < metrics.CONTACT_DISTANCE,
        note=note,
    )


def faults(violations: dict[str, dict[str, int]]) -> str:
    """The violations before and after relaxation in words."""
    before, after = violations["before"], violations["after"]
    return ", ".join(f"{n.replace('_', ' ')} {before[n]} -> {after[n]}" for n in before)
