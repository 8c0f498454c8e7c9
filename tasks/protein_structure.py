"""Protein contacts from alignments: pretrain on generated families, test on real ones, fold.

1. Families are generated (a fold, a Potts model on its contacts, sequences along a tree); no
   experimental data goes in. Their column statistics are kept in OUT/features.
2. A network on the shared pair transformer learns distance classes and hidden profiles from them.
3. It is compared with mean-field couplings on generated families that it has not seen and, with
   `data`, on families with known structures: as it is, and fine-tuned family by family. Controls:
   columns shuffled, one sequence alone, the trunk left random, no pretraining.
4. Chains are folded from the predicted distances.

Writes model.safetensors (`sciml protein contacts MSA --model OUT -o contacts.tsv`), metrics.jsonl,
scores.json and report.html.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml.config import Range
from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.protein import metrics, report
from sciml.protein.contact_features import ContactFeatures, contact_features
from sciml.protein.contacts import (
    ContactConfig,
    ContactExamples,
    ContactLearner,
    ContactNet,
    ContactPredictor,
    as_example,
    collate,
)
from sciml.protein.families import Family, controls, read_families
from sciml.protein.folding import fold
from sciml.protein.generate import families
from sciml.report import Page
from sciml.report import plots as shared_plots
from sciml.train import TrainConfig, fit
from sciml.train.log import Bar

GROUP = 16


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    families: Annotated[int, Range(min=2)] = 160
    """Generated families to learn from [families]."""
    held_out: Annotated[int, Range(min=1)] = 16
    """Generated families to measure on [families]."""
    length: tuple[int, int] = (45, 105)
    """Shortest and longest generated chain [residues]."""
    seed: int = 1
    """Seed of families, of the first weights and of training."""
    data: Path | None = None
    """Folder of real families: one folder each with an alignment and a structure."""
    model: str = ""
    """Start from this contact model instead of training one (its training is skipped)."""
    net: ContactConfig = ContactConfig()
    """The network."""
    train: TrainConfig = TrainConfig(steps=1500, batch_size=2, lr=3e-3, warmup=0.05, ema=0.98)
    """Training on generated families."""
    crop: Annotated[int, Range(min=0)] = 68
    """Columns of the windows that training sees [residues]; 0 = whole chains."""
    folds: Annotated[int, Range(min=0)] = 5
    """Parts that the real families are split into for fine-tuning; 0 does not fine-tune."""
    repeats: Annotated[int, Range(min=1)] = 1
    """Repetitions of the fine-tuning with other splits and orders."""
    finetune: TrainConfig = TrainConfig(steps=130, batch_size=2, lr=5e-4, warmup=0.1)
    """Fine-tuning on the other parts' families."""
    controls: bool = True
    """Also measure what must do worse."""
    fold: Annotated[int, Range(min=0)] = 8
    """Chains to fold from predicted distances [chains]."""


TINY = {
    "families": 4,
    "held_out": 2,
    "length": (40, 44),
    "net": {
        "pair_dim": 8,
        "convolutions": 1,
        "trunk": {"dim": 16, "pair_dim": 8, "depth": 1, "heads": 2, "pair_hidden": 8},
    },
    "train": {"steps": 6},
    "finetune": {"steps": 2},
    "folds": 0,
    "fold": 1,
}


@dataclass
class Item:
    """Features, distances [C, C] [A] and, for real families, the mapping to residues."""

    name: str
    features: ContactFeatures
    distances: np.ndarray
    family: Family | None = None
    controls: dict[str, ContactFeatures] | None = None

    def precision(self, scores: np.ndarray) -> dict[str, float]:
        if self.family is not None:
            return self.family.precision(scores)
        return metrics.contact_precision(scores, self.distances)


def generated(config: Config, out: Path) -> list[Item]:
    """Features of the generated families, made where they are not there yet."""
    count = config.families + config.held_out
    items: list[Item] = []
    with Bar("families", count) as bar:
        for group in range(0, count, GROUP):
            size = min(GROUP, count - group)
            paths = [out / f"{group // GROUP:03d}_{k:02d}.npz" for k in range(size)]
            if not all(path.exists() for path in paths):
                seed = config.seed * 1000 + group // GROUP
                made = families(size, seed, length=config.length, at_once=GROUP)
                for path, family in zip(paths, made, strict=True):
                    found = contact_features(family.alignment)
                    with atomic_write(path) as temporary, open(temporary, "wb") as file:
                        np.savez(
                            file,
                            nodes=found.nodes,
                            pairs=found.pairs.astype(np.float16),
                            dca=found.dca.astype(np.float32),
                            cb=family.cb.astype(np.float32),
                        )
            for path in paths:
                with np.load(path) as file:
                    features = ContactFeatures(
                        file["nodes"], file["pairs"].astype(np.float32), file["dca"], 0.0
                    )
                    items.append(Item(path.stem, features, metrics.distances(file["cb"])))
            bar.update(len(items))
    return items


def measured(items: list[Item], score: Any, what: str) -> dict[str, Any]:
    """Mean long-range precision over families of `score(item)` [C, C]."""
    found = [item.precision(score(item)) for item in items]
    row: dict[str, Any] = {"method": what}
    for name in ("P@L", "P@L/2", "P@L/5"):
        row[name] = round(float(np.nanmean([f[name] for f in found])), 4)
    row["families"] = len(items)
    return row


def train_on(
    net: ContactNet, items: list[Item], config: TrainConfig, out: Path, crop: int = 0
) -> ContactNet:
    """Train a copy of `net` on families."""
    learner = ContactLearner(copy.deepcopy(net))
    examples = [as_example(item.features, item.distances) for item in items]
    lengths = np.array([len(item.features.nodes) for item in items])
    data = ContactExamples(examples, crop=crop)
    result = fit(learner, data, config, out=out, collate=collate, lengths=lengths)
    return result.module.net  # type: ignore[return-value]


def probability(net: ContactNet) -> Any:
    """item -> contact probabilities [C, C] of the network."""
    predictor = ContactPredictor(net)
    return lambda item: predictor.from_features(item.features).probability


def control_rows(items: list[Item], net: ContactNet) -> list[dict[str, Any]]:
    """Precision with inputs that hold less."""
    predictor = ContactPredictor(net)
    rows = []
    for name in ("columns shuffled", "one sequence"):
        rows.append(
            measured(
                [item for item in items if item.controls],
                lambda item, name=name: predictor.from_features(item.controls[name]).probability,
                f"network, {name}",
            )
        )
    return rows


def cross_validated(
    items: list[Item], net: ContactNet, config: Config, out: Path, frozen: bool = False
) -> tuple[dict[str, list[dict[str, float]]], dict[str, ContactNet]]:
    """Fine-tune on all parts but one, measure on that one; family-wise, for each repetition."""
    scores: dict[str, list[dict[str, float]]] = {}
    nets: dict[str, ContactNet] = {}
    for repeat in range(config.repeats):
        order = np.random.default_rng([config.seed, repeat]).permutation(len(items))
        for part in range(config.folds):
            test = set(order[part :: config.folds].tolist())
            start = copy.deepcopy(net)
            if frozen:
                start.trunk.requires_grad_(False)
            known = [item for i, item in enumerate(items) if i not in test]
            tuned = train_on(
                start,
                known,
                replace(config.finetune, seed=config.seed + repeat),
                out / f"repeat_{repeat}_part_{part}",
                config.crop,
            )
            score = probability(tuned)
            for i in test:
                scores.setdefault(items[i].name, []).append(items[i].precision(score(items[i])))
                nets[items[i].name] = tuned
    return scores, nets


def averaged(scores: dict[str, list[dict[str, float]]], what: str) -> dict[str, Any]:
    """One row of a table, with the spread over repetitions."""
    row: dict[str, Any] = {"method": what}
    for name in ("P@L", "P@L/2", "P@L/5"):
        runs = np.array([[found[name] for found in runs] for runs in scores.values()])
        means = np.nanmean(runs, 0)
        row[name] = round(float(means.mean()), 4)
        if len(means) > 1:
            row[f"{name} spread"] = round(float(means.std(ddof=1)), 4)
    row["families"] = len(scores)
    return row


def folded(items: list[Item], nets: Any, count: int) -> list[dict[str, Any]]:
    """Fold chains and compare with the truth by TM-score."""
    rows = []
    for item in items[:count]:
        predicted = ContactPredictor(nets(item)).from_features(item.features)
        if item.family is None:
            model = fold(predicted.distances)
            tm = None
        else:
            order = np.argsort(item.family.column)
            columns = item.family.column[order]
            model = fold(predicted.distances[np.ix_(columns, columns)])
            tm = round(metrics.tm_score(model.ca, item.family.ca[order]), 3)
        rows.append({"family": item.name, "residues": len(model.ca), "TM-score": tm})
    return rows


def main(config: Config, out: Path) -> None:
    if config.net.trunk.pair_update not in ("triangle", "attention", "outer"):
        raise InputError("`net.trunk.pair_update` must not be none: the head reads the pairs")
    torch.manual_seed(config.seed)
    items = generated(config, out / "features")
    known, unseen = items[config.held_out :], items[: config.held_out]
    random_net = ContactNet(config.net)
    if config.model:
        net = ContactPredictor.from_pretrained(config.model).net
    else:
        settings = replace(config.train, seed=config.seed)
        net = train_on(random_net, known, settings, out / "pretraining", config.crop)
    ContactPredictor(net).save(out / "model.safetensors")

    rows = [
        measured(unseen, lambda item: item.features.dca, "mean-field couplings"),
        measured(unseen, probability(net), "network"),
        measured(unseen, probability(random_net), "network, not trained"),
    ]
    scores: dict[str, Any] = {"generated": rows}
    page = Page(
        "Protein contacts from alignments",
        lead=f"A network pretrained on {len(known)} generated families, "
        f"measured on {len(unseen)} others" + (" and on real families." if config.data else "."),
    )
    page.heading("Generated families")
    page.table(rows, "Long-range contacts (24 residues apart or more, CB closer than 8 A)")
    history = out / "pretraining" / "metrics.jsonl"
    if history.exists():
        records = [json.loads(line) for line in history.read_text().splitlines()]
        losses = [(r["step"], r["loss"]) for r in records if "loss" in r and "step" in r]
        if losses:
            page.figure(_curve(losses), "Training loss")

    tested = unseen
    chosen: Any = lambda item: net  # noqa: E731
    if config.data is not None:
        tested, real_rows, chosen = real_families(config, net, random_net, out)
        scores["real"] = real_rows
        page.heading("Real families")
        page.table(real_rows, "Long-range contacts; every family measured by a model that has "
                   "not seen it")  # fmt: skip
    if config.fold:
        scores["folded"] = folded(tested, chosen, config.fold)
        if config.data is not None:
            mean = float(np.nanmean([row["TM-score"] for row in scores["folded"]]))
            page.heading("Coarse models")
            page.text(f"Mean TM-score {mean:.3f}.")
            page.table(scores["folded"])
    first = tested[0]
    predicted = ContactPredictor(chosen(first)).from_features(first.features)
    page.heading(f"Example: {first.name}")
    truth = np.nan_to_num(first.distances, nan=99.0) < metrics.CONTACT_DISTANCE
    page.figure(report.contact_figure(predicted.probability, truth), "Contacts of one family")
    page.heading("Again")
    page.command(f"sciml run protein_structure --config {out / 'config.yaml'} --out {out}-again")
    page.command("sciml protein contacts MSA.a3m --model OUT/model.safetensors -o contacts.tsv")
    with atomic_write(out / "scores.json") as temporary:
        temporary.write_text(json.dumps(scores, indent=1), encoding="utf-8")
    with open(out / "metrics.jsonl", "a", encoding="utf-8") as file:
        for part in ("generated", "real"):
            for row in scores.get(part, []):
                file.write(json.dumps({"part": part, **row}) + "\n")
    page.write(out / "report.html")


def real_families(
    config: Config, net: ContactNet, random_net: ContactNet, out: Path
) -> tuple[list[Item], list[dict[str, Any]], Any]:
    """Everything that is measured on real families."""
    assert config.data is not None
    items = []
    for family in read_families(config.data):
        features = contact_features(_thinned(family).alignment)
        extra = controls(_thinned(family)) if config.controls else None
        items.append(Item(family.name, features, family.distances(), family, extra))
    rows = [
        measured(items, lambda item: item.features.dca, "mean-field couplings"),
        measured(items, probability(net), "network, generated families only"),
    ]
    if config.controls:
        rows += control_rows(items, net)
    chosen: Any = lambda item: net  # noqa: E731
    if config.folds:
        found, nets = cross_validated(items, net, config, out / "finetuned")
        rows.append(averaged(found, "network, fine-tuned"))
        chosen = lambda item: nets[item.name]  # noqa: E731
        if config.controls:
            scratch, _ = cross_validated(items, random_net, config, out / "no_pretraining")
            rows.append(averaged(scratch, "network, no pretraining"))
            frozen, _ = cross_validated(items, random_net, config, out / "frozen", frozen=True)
            rows.append(averaged(frozen, "network, random frozen trunk"))
    return items, rows, chosen


def _thinned(family: Family, most: int = 6000) -> Family:
    """At most `most` rows: the statistics no longer change, the time does."""
    if family.alignment.depth <= most:
        return family
    rows = np.linspace(0, family.alignment.depth - 1, most).astype(int)
    return replace(family, alignment=family.alignment.select(rows))


def _curve(losses: list[tuple[int, float]]) -> Any:
    figure, axis = shared_plots.axes(6.0, 3.0)
    axis.plot([step for step, _ in losses], [loss for _, loss in losses])
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    return figure


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
