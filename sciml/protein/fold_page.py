"""The report page of a folding run: the ranking of all chains, figures of the best."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.protein import plots
from sciml.protein.alphafold.job import Job
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.residues import GAP
from sciml.protein.io.structure import read_chains
from sciml.protein.measure import metrics
from sciml.protein.result_folder import rank
from sciml.report import Page
from sciml.train.log import console

if TYPE_CHECKING:
    from sciml.protein.fold_settings import FoldRun

TrueDistances = Callable[[str, int], np.ndarray | None]
"""(chain, number of residues) -> CB distances [N, N] [A] of its known structure, or None."""
MAX_FIGURES = 50
"""Number of chains, the best, that have figures on the page; all have a row in its table."""
MAX_PAGE = 4_500_000
"""Characters of the page above which no further chain gets figures: a browser stays quick."""

MATRICES = ("chain_iptm", "chain_actifptm", "chain_pdockq")
"""Of a complex's row: scores of every two chains."""


def _title(key: str) -> str:
    """A key of ranking.json as the head of a column."""
    known = {"ptm": "pTM", "iptm": "ipTM", "mean_plddt": "mean pLDDT", "lddt_ca": "lDDT-CA"}
    return known.get(key, key.replace("_", " "))


def _chain_of(row: dict[str, Any]) -> str:
    """A result's chain: its name without the folder of its parameters."""
    return str(row["name"]).rpartition("/")[2]


def write_page(
    run: FoldRun, jobs: list[Job], rows: list[dict[str, Any]], truth: TrueDistances
) -> None:
    """The report of all chains, from the files that the best result of each has in `run.out`."""
    source = "contact model" if run.params is None else "parameters"
    files = ", ".join(Path(part).name for part in str(run.input).split(":"))
    lead = f"{len(jobs)} queries from {files}, {source} {run.parameters}."
    page = Page("Protein folding", lead=lead, run=run.out)
    page.heading("Ranking")
    rows = sorted(rows, key=lambda row: -rank(row))
    hidden = ("model", "seconds", "violations", "chains", *MATRICES)
    page.table([{_title(k): v for k, v in row.items() if k not in hidden} for row in rows],
               "Predictions, the most confident first.", file="ranking.json")  # fmt: skip
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        best.setdefault(_chain_of(row), row)
    shown = list(best.values())[:MAX_FIGURES]
    known = {job.name: job for job in jobs}
    drawn = 0
    for row in shown:
        if page.size > MAX_PAGE:
            break
        _add(page, run, row, known[_chain_of(row)], truth)
        drawn += 1
    if len(rows) > drawn:
        page.text(
            f"Figures of the best prediction of {drawn} of {len(best)} queries; every prediction "
            "has its files in the folder of the run."
        )
    page.write(run.out / "report.html")
    console.print(f"{run.out / 'report.html'}")


def _add(page: Page, run: FoldRun, row: dict[str, Any], job: Job, truth: TrueDistances) -> None:
    """The section of one chain or complex."""
    name = row["name"]
    chains = read_chains(run.out / f"{name}.cif")
    asym = None if job.chains is None else job.chains.asym_id
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
        colours = plots.chain_colours(len(chains[0]))
    else:
        note = (
            f"Mean pLDDT {row['mean_plddt']:.1f}"
            + ("" if row["ptm"] is None else f", pTM {row['ptm']:.3f}")
            + (f", ipTM {row['iptm']:.3f}" if "iptm" in row else "")
            + f", {row['recycles']} recycles, {row['seconds']:.1f} s."
            + (f" Relaxed: {violation_text(row['violations'])}." if "violations" in row else "")
        )
        colours = (
            plots.confidence_colours(chains[0].bfactors[:, 1])
            if asym is None
            else plots.colours_by_chain(asym)
        )
    known = truth(_chain_of(row), len(contacts))
    add_chain(
        page,
        name,
        ca=np.concatenate([chain.points() for chain in chains]),
        sequence="".join(chain.sequence for chain in chains),
        colours=colours,
        alignment=job.alignment.with_query(0),
        plddt=None if plddt is None else np.asarray(plddt),
        pae=pae,
        contacts=contacts,
        truth=None if known is None else np.nan_to_num(known, nan=99.0) < metrics.CONTACT_DISTANCE,
        note=note,
        chains=asym,
    )
    if job.parts is not None and plddt is not None:
        _add_pairs(page, row, job)


def _add_pairs(page: Page, row: dict[str, Any], job: Job) -> None:
    """What a complex has beyond a chain: ipTM of every two chains, coverage of each."""
    assert job.parts is not None
    names = row["chains"]
    if "chain_iptm" in row:
        figure = plots.iptm_figure(np.asarray(row["chain_iptm"]), names)
        page.figure(figure, "ipTM of every two chains")
        scores = {key: np.asarray(row[key]) for key in MATRICES if key in row}
        titles = {"chain_iptm": "ipTM", "chain_actifptm": "actifpTM", "chain_pdockq": "pDockQ"}
        page.table([
            {"chains": f"{names[i]} {names[j]}"}
            | {titles[key]: round(float(value[i, j]), 3) for key, value in scores.items()}
            for i in range(len(names)) for j in range(i + 1, len(names))
        ], "Scores of every two chains")  # fmt: skip
    rows, start = [], 0
    for chain in job.parts.chains:
        own = chain.unpaired
        filled = [
            (part.rows[1:] != GAP).any(1).sum() for part in [chain.paired] if part is not None
        ]
        rows.append({
            "chains": " ".join(names[start : start + chain.copies]),
            "residues": len(chain.sequence),
            "sequences": own.depth,
            "effective": round(own.neff(), 1),
            "paired": int(sum(filled)),
            "mean coverage": f"{own.coverage().mean():.0%}",
        })  # fmt: skip
        start += chain.copies
    page.table(
        rows, f"Sequences of each chain; {job.parts.paired_depth - 1} rows pair chains or copies"
    )


def add_chain(
    page: Page,
    name: str,
    *,
    ca: np.ndarray,
    colours: list[str],
    sequence: str = "",
    alignment: Alignment | None = None,
    plddt: np.ndarray | None = None,
    pae: np.ndarray | None = None,
    contacts: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    note: str = "",
    chains: np.ndarray | None = None,
) -> None:
    """Add the section of one chain; figures of what is None are left out.

    `chains`: of a complex, the number of each residue's chain, from 1.
    """
    page.heading(name)
    if note:
        page.text(note)
    of_chain = None if plddt is None or chains is not None else plddt
    page.component(
        plots.viewer(ca, colours, name, chains, sequence=sequence, plddt=of_chain),
        "CA trace of the prediction, coloured by "
        + ("chain." if chains is not None else "residue number, blue to red." if plddt is None
           else "predicted confidence (pLDDT)."),
        file=f"{name}.cif",
    )  # fmt: skip
    if alignment is not None:
        page.figure(
            plots.coverage_figure(alignment, chains=chains),
            "Multiple sequence alignment: rows by identity to the query; line: number of "
            "sequences that cover a residue.",
        )
    if plddt is not None:
        page.figure(plots.plddt_figure(plddt, chains), "Predicted lDDT per residue.",
                    file=f"{name}_confidence.json")  # fmt: skip
    if pae is not None:
        page.figure(plots.pae_figure(pae, chains), "Predicted aligned error.",
                    file=f"{name}_pae.json")  # fmt: skip
    if contacts is not None:
        page.figure(
            plots.contact_figure(contacts, truth, chains=chains),
            "Predicted contacts (CB atoms within 8 Å)"
            + (", above the diagonal; below it those of the known structure."
               if truth is not None else "."),
            file=f"{name}_distances.npz",
        )  # fmt: skip


def violation_text(violations: dict[str, dict[str, int]]) -> str:
    """Violations before and after relaxation, as text."""
    before, after = violations["before"], violations["after"]
    return ", ".join(f"{n.replace('_', ' ')} {before[n]} -> {after[n]}" for n in before)
