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
from sciml.report import Card, Estimate, Page, literal
from sciml.report.plots import axes

Rows = list[dict[str, Any]]
CONTACTS_CAPTION = (
    "Precision of the L, L/2 and L/5 most probable long-range contacts (24 residues apart or more, "
    "CB atoms within 8 Å; L: residues). Spread: one standard deviation over networks. Families: "
    "95 % interval of the mean over families"
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
        run=out,
    )
    page.card(_card(scores["real" if real else "generated"], real))
    if start:
        page.text(f"Started from: {literal(start)}.")
    page.heading("Generated families")
    page.table(scores["generated"], CONTACTS_CAPTION + ".", file="scores.json")
    if losses:
        page.figure(_loss_figure(losses), "Training loss of the first network.",
                    file="pretraining/member_0/metrics.jsonl")  # fmt: skip
    if real:
        page.heading("Real families")
        page.table(scores["real"], CONTACTS_CAPTION + "; every family is predicted by a network "
                   "that has not seen it.", file="scores.json")  # fmt: skip
    if real and "folded" in scores:
        page.heading("Coarse models")
        _coarse_models(page, scores["folded"])
    page.heading("Predicted contacts of one family")
    name = f"family {literal(example.name)}" if real else "a held-out generated family"
    if ca is not None:
        page.component(
            plots.viewer(ca, plots.chain_colours(len(ca)), example.name),
            f"Coarse model of {name} from its predicted distances, blue to red along the chain. "
            "Its fold may be right, its details are not.",
        )
    truth = np.nan_to_num(example.distances, nan=99.0) < metrics.CONTACT_DISTANCE
    page.figure(
        plots.contact_figure(probability, truth),
        f"Contacts of {name}: predicted probability above the diagonal, contacts of the structure "
        "below it.",
    )
    page.heading("How to repeat this")
    page.command(f"sciml run protein_structure --config {settings_file(out)} --out {out}-again")
    page.command("sciml protein contacts MSA.a3m --model OUT/model.safetensors -o contacts.tsv")
    page.write(out / "report.html")


def _card(rows: Rows, real: bool) -> Card:
    """P@L of the network beside that of couplings alone."""

    def estimate(row: dict[str, Any]) -> Estimate:
        low, high = map(float, row["P@L families"].split(" to "))
        return Estimate(row["P@L"], low, high, digits=2)

    known = {row["method"]: row for row in rows}
    names = ("fine-tuned", "generated families only", "network")
    ours = next((known[name] for name in names if name in known), rows[-1])
    rivals = [known[name] for name in ("mean-field couplings", "pseudo-likelihood couplings",
              "network, not trained") if name in known]  # fmt: skip
    best = max(rivals, key=lambda row: row["P@L"], default=ours)
    difference = ours["P@L"] - best["P@L"]
    return Card(
        "Which residues of a protein touch?",
        f"Of the L most probable long-range contacts, {ours['P@L']:.0%} are right, "
        f"{abs(difference):.2f} {'more' if difference >= 0 else 'less'} in precision than by "
        f"{literal(best['method'])}.",
        f"P@L on {ours['families']} {'real' if real else 'held-out generated'} families; higher "
        "is better; 95 % interval of the mean over families.",
        tuple((row["method"], estimate(row)) for row in (ours, *rivals)),
        f"scores.json; {ours['runs']} network{'s' if ours['runs'] > 1 else ''}", "Protein contacts",
    )  # fmt: skip


def _coarse_models(page: Page, models: Rows) -> None:
    scores, aligned = ([row[k] for row in models] for k in ("TM-score", "TM-align"))
    page.text(
        f"Mean TM-score {np.mean(scores):.3f} ({min(scores):.3f} to {max(scores):.3f}), each "
        f"residue compared with itself; as TM-align matches them {np.mean(aligned):.3f}."
    )
    page.table(models, "Coarse models beside the known structures.", file="scores.json")


def _loss_figure(losses: Sequence[tuple[int, float]]) -> Any:
    figure, axis = axes(4.6, 2.9)
    axis.plot([step for step, _ in losses], [loss for _, loss in losses], label="training loss")
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    return figure
