"""The report page of a folding run: the ranking of all chains, figures of the best."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.protein import plots
from sciml.protein.alphafold.job import Job
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.structure import read_chain
from sciml.protein.measure import metrics
from sciml.report import Page
from sciml.train.log import console

if TYPE_CHECKING:
    from sciml.protein.fold_settings import FoldRun

TrueDistances = Callable[[str, int], np.ndarray | None]
"""(chain, number of residues) -> CB distances [N, N] [A] of its known structure, or None."""
MAX_FIGURES = 50
"""Number of chains, the best, that have figures on the page; all have a row in its table."""


def _chain_of(row: dict[str, Any]) -> str:
    """A result's chain: its name without the folder of its parameters."""
    return str(row["name"]).rpartition("/")[2]


def write_page(
    run: FoldRun, jobs: list[Job], rows: list[dict[str, Any]], truth: TrueDistances
) -> None:
    """The report of all chains, from the files that the best result of each has in `run.out`."""
    source = "contact model" if run.params is None else "parameters"
    lead = f"{len(jobs)} chains from {run.input.name}, {source} {run.parameters}."
    page = Page("Protein folding", lead=lead)
    page.heading("Ranking")
    rows = sorted(rows, key=lambda row: -(row.get("mean_plddt") or 0))
    hidden = ("model", "seconds", "violations")
    page.table([{k: v for k, v in row.items() if k not in hidden} for row in rows])
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        best.setdefault(_chain_of(row), row)
    shown = list(best.values())[:MAX_FIGURES]
    if len(rows) > len(shown):
        page.text(f"Figures of the best of each chain, {MAX_FIGURES} at most; all have files.")
    alignments = {job.name: job.alignment for job in jobs}
    for row in shown:
        _add(page, run, row, alignments[_chain_of(row)], truth)
    page.write(run.out / "report.html")
    console.print(f"{run.out / 'report.html'}")


def _add(
    page: Page, run: FoldRun, row: dict[str, Any], alignment: Alignment, truth: TrueDistances
) -> None:
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
        colours = plots.chain_colours(len(chain))
    else:
        note = (
            f"Mean pLDDT {row['mean_plddt']:.1f}"
            + ("" if row["ptm"] is None else f", pTM {row['ptm']:.3f}")
            + f", {row['recycles']} recycles, {row['seconds']:.1f} s."
            + (f" Relaxed: {violation_text(row['violations'])}." if "violations" in row else "")
        )
        colours = plots.confidence_colours(chain.bfactors[:, 1])
    known = truth(_chain_of(row), len(contacts))
    add_chain(
        page,
        name,
        ca=chain.points(),
        colours=colours,
        alignment=alignment.with_query(0),
        plddt=None if plddt is None else np.asarray(plddt),
        pae=pae,
        contacts=contacts,
        truth=None if known is None else np.nan_to_num(known, nan=99.0) < metrics.CONTACT_DISTANCE,
        note=note,
    )


def add_chain(
    page: Page,
    name: str,
    *,
    ca: np.ndarray,
    colours: list[str],
    alignment: Alignment | None = None,
    plddt: np.ndarray | None = None,
    pae: np.ndarray | None = None,
    contacts: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    note: str = "",
) -> None:
    """Add the section of one chain; figures of what is None are left out."""
    page.heading(name)
    if note:
        page.text(note)
    page.html(plots.viewer(ca, colours, name))
    if alignment is not None:
        page.figure(plots.coverage_figure(alignment), "Sequences of the alignment")
    if plddt is not None:
        page.figure(plots.plddt_figure(plddt), "Confidence along the chain")
    if pae is not None:
        page.figure(plots.pae_figure(pae), "Predicted aligned error")
    if contacts is not None:
        page.figure(
            plots.contact_figure(contacts, truth), "Contacts closer than 8 A between CB atoms"
        )


def violation_text(violations: dict[str, dict[str, int]]) -> str:
    """Violations before and after relaxation, as text."""
    before, after = violations["before"], violations["after"]
    return ", ".join(f"{n.replace('_', ' ')} {before[n]} -> {after[n]}" for n in before)
