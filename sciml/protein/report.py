"""The report of the recipe `protein_structure`: tables of precision, coarse models, an example."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.protein import plots
from sciml.protein.contacts.evaluation import FamilyFeatures
from sciml.protein.measure import metrics
from sciml.report import Page, literal
from sciml.report.plots import axes

Rows = list[dict[str, Any]]
CONTACTS_CAPTION = (
    "Long-range contacts (24 residues apart or more, CB closer than 8 A); spread: one standard "
    "deviation over networks; families: 95 % interval of the mean over families"
)


def write_scores(out: Path, scores: dict[str, Rows]) -> None:
    """scores.json with all tables, and metrics.jsonl with the rows of those of contacts."""
    with atomic_write(out / "scores.json") as temporary:
        temporary.write_text(dumps(scores, indent=1), encoding="utf-8")
    with atomic_write(out / "metrics.jsonl") as temporary:
        lines = [{"part": part, **row} for part in scores for row in scores[part]]
        text = "".join(dumps(line) + "\n" for line in lines if line["part"] != "folded")
        temporary.write_text(text, encoding="utf-8")


def write_report(
    out: Path,
    scores: dict[str, Rows],
    *,
    families: tuple[int, int],
    start: str,
    losses: Sequence[tuple[int, float]],
    example: FamilyFeatures,
    probability: np.ndarray,
    ca: np.ndarray | None,
) -> None:
    """Write report.html.

    Args:
        out: folder of the run.
        scores: rows by part: "generated", and "real" and "folded" where they were measured.
        families: numbers of generated families, for training and held out.
        start: the pretrained trunk that the network started from; "" = none.
        losses: (step, loss) of the training.
        example: the family that is shown.
        probability: [C, C] its predicted contacts.
        ca: [N, 3] its coarse model [A], where it was folded.
    """
    real = "real" in scores
    page = Page(
        "Protein contacts from alignments",
        lead=f"A network pretrained on {families[0]} generated families, measured on "
        f"{families[1]} others" + (" and on real families." if real else "."),
    )
    if start:
        page.text(f"Started from: {literal(start)}.")
    page.heading("Generated families")
    page.table(scores["generated"], CONTACTS_CAPTION)
    if losses:
        page.figure(_loss_figure(losses), "Training loss")
    if real:
        page.heading("Real families")
        page.table(scores["real"], "Long-range contacts; every family measured by a network that "
                   "has not seen it")  # fmt: skip
    if real and "folded" in scores:
        page.heading("Coarse models")
        _coarse_models(page, scores["folded"])
    page.heading(f"Example: {example.name}")
    if ca is not None:
        page.text("A coarse model from the predicted distances (drag to turn it); its fold may be "
                  "right, its details are not.")  # fmt: skip
        page.html(plots.viewer(ca, plots.chain_colours(len(ca)), example.name))
    truth = np.nan_to_num(example.distances, nan=99.0) < metrics.CONTACT_DISTANCE
    page.figure(plots.contact_figure(probability, truth), "Contacts of one family")
    page.heading("Again")
    page.command(f"sciml run protein_structure --config {settings_file(out)} --out {out}-again")
    page.command("sciml protein contacts MSA.a3m --model OUT/model.safetensors -o contacts.tsv")
    page.write(out / "report.html")


def _coarse_models(page: Page, models: Rows) -> None:
    scores, aligned = ([row[k] for row in models] for k in ("TM-score", "TM-align"))
    page.text(
        f"Mean TM-score {np.mean(scores):.3f} ({min(scores):.3f} to {max(scores):.3f}), each "
        f"residue compared with itself; as TM-align matches them {np.mean(aligned):.3f}."
    )
    page.table(models)


def _loss_figure(losses: Sequence[tuple[int, float]]) -> Any:
    figure, axis = axes(6.0, 3.0)
    axis.plot([step for step, _ in losses], [loss for _, loss in losses])
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    return figure
