"""Jet tagging: pretrain without labels, fine-tune on few, compare with scratch and boosted trees.

1. A trunk learns from jets without labels, by saying what a physicist would compute of each: mass,
   multiplicity, energy correlations, displaced tracks (`--objective masked` hides particles).
2. With a few labelled jets the same network is trained twice, from the pretrained weights and from
   scratch, and boosted trees are fitted to jet-level observables: the same labels for all three.
3. All are measured on jets that none of them saw; the report shows what came out, whichever wins.

Writes model.safetensors (`sciml jets tag FILE --model OUT`), predictions.parquet, metrics.jsonl and
report.html.

Further settings: `--trunk.class-depth 0` reads out the mean over particles instead of a class
token; `--decorrelate 5` keeps the score from sculpting the background's mass (DisCo); `--calibrate
0.1` keeps a tenth of the labelled jets to fit the temperature; `--views` trains with labels on
boosted, turned and smeared jets. `--unlabelled FILES` are further jets: they are pretrained on, and
all that was trained with the labels names them together for one more network, a student. Best are
jets of collisions showered twice (`sciml data make jets --views 2`): what the two jets of one share
is what both learn. `sciml run jet_mass` learns the mass of a jet instead of its class.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml import objectives, own
from sciml.config import Range
from sciml.errors import InputError, unknown
from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.jets import metrics, plots
from sciml.jets.data.columns import COLLISION
from sciml.jets.data.io import common_columns, create, expand
from sciml.jets.data.sample import JetSample, train_and_test
from sciml.jets.learning import views
from sciml.jets.learning.attribution import occlusion
from sciml.jets.learning.baselines import BoostedTrees, observables_of
from sciml.jets.learning.decorrelation import Decorrelated, invariant_mass
from sciml.jets.learning.student import student
from sciml.jets.networks.classifier import TrunkNetwork, default_trunk
from sciml.jets.networks.embedder import FeatureSet, JetEmbedder, collate, raw_batch
from sciml.jets.tagger import JetTagger
from sciml.objectives.probe import fit_head
from sciml.objectives.supervised import Supervised, SupervisedConfig
from sciml.paths import atomic_write
from sciml.report import Page, literal
from sciml.report import plots as shared_plots
from sciml.train import TrainConfig, fit
from sciml.trunks.pair_transformer import PairTransformerConfig
from sciml.trunks.start import Start


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    data: tuple[str, ...] = ()
    """Files of jets (ROOT, Parquet, ...; patterns allowed); none: the samples in the package."""
    test: tuple[str, ...] = ()
    """Files of jets to measure on; none: `test_share` of `data`."""
    test_share: Annotated[float, Range(min=0.01, max=0.9)] = 0.35
    """Share of `data` kept for measuring, if there are no `test` files."""
    unlabelled: tuple[str, ...] = ()
    """Files of further jets, whose labels are not read: for pretraining instead of `data`, and for
    a student; best with several jets of each collision (`sciml data make jets --views 2`)."""
    classes: tuple[str, ...] = ()
    """Classes to tell apart, in this order; none: all that occur."""
    background: str = "QCD"
    """The class that others are measured against."""
    most: Annotated[int, Range(min=0)] = 0
    """Read at most this many jets [jets]; 0 = all."""
    labels: tuple[int, ...] = (100, 1000)
    """Numbers of labelled jets to train with [jets]; 0 = all."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One set of labelled jets, of initial weights and of training order a seed."""
    compare: bool = True
    """Also train from scratch and fit boosted trees; False trains the final model alone."""
    views: bool = False
    """Train with labels on jets boosted, turned about their axis and smeared, anew each time;
    worth a try where labels are few and training is long."""
    head_first: bool = True
    """Start fine-tuning of pretrained weights with a linear probe as the head, not a random one."""
    features: FeatureSet = "full"
    """Particle features: full (17), kinpid (without tracks) or kin (kinematics alone)."""
    decorrelate: Annotated[float, Range(min=0)] = 0.0
    """Weight of the distance correlation between background score and jet mass; 0 = none."""
    calibrate: Annotated[float, Range(min=0, max=0.5)] = 0.0
    """Share of the labelled jets kept out of training to fit the temperature; 0 = no fit."""
    trunk: PairTransformerConfig = field(default_factory=default_trunk)
    """The network of pretraining and tagging; `class_depth` 0 pools, > 0 asks a class token."""
    start: Annotated[str, own.CODE] = ""
    """Instead of `trunk`: another one's name or your own (my_trunk.py:MyTrunk, which runs that
    file), with `dim` and `pair_dim` of `trunk`; or what `sciml run pretrain --out FOLDER` wrote, to
    fine-tune it."""
    own_trunk: Annotated[str, own.CODE] = ""
    """Your own trunk (my_trunk.py:MyTrunk, which runs that file) where folder `start` holds one:
    a folder brings no code."""
    objective: Annotated[str, own.CODE] = "sciml.jets.learning.objectives:JetObservables"
    """What pretraining without labels asks: the observables of a jet, or masked, simclr, jepa, ...,
    or your own by import path or file, which runs it."""
    pretrain: TrainConfig = TrainConfig(steps=900, batch_size=64, lr=1e-3, warmup=0.1)
    """Training without labels, once for all seeds."""
    finetune: TrainConfig = TrainConfig(
        steps=150, batch_size=64, lr=1e-3, warmup=0.1, weight_decay=0.05
    )
    """Training with labels, the same from pretrained weights and from scratch."""
    student: TrainConfig = TrainConfig(
        steps=1500, batch_size=64, lr=2e-3, warmup=0.1, weight_decay=0.01
    )
    """Training of the student, where there are `unlabelled` jets."""
    pretraining: bool = True
    """False: none; the final model is trained from scratch."""
    seed: int = 0
    """Seed of the split into training and test jets, and of pretraining."""


TINY: dict[str, Any] = {
    "most": 400,
    "labels": (60,),
    "seeds": (0, 1, 2),
    "trunk": {"dim": 16, "depth": 1, "heads": 2, "bias_hidden": 8},
    "pretrain": {"steps": 12, "batch_size": 16, "log_every": 4},
    "finetune": {"steps": 10, "batch_size": 16, "log_every": 5},
    "student": {"steps": 10, "batch_size": 16, "log_every": 5},
}


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call goes on where an interrupted one stopped."""
    began = time.monotonic()
    train, test = read(config)
    further = Further.read(config)
    pretrained = pretrain(config, train, further, out) if config.pretraining else None
    methods = ["pretrained"] if pretrained else ["scratch"]
    if config.compare:
        methods = (
            [*methods, "scratch", "boosted trees"] if pretrained else [*methods, "boosted trees"]
        )
    if further:
        methods = [*methods, "student"]
    observed = (observables_of(train), observables_of(test)) if config.compare else None
    observed_further = observables_of(further.jets) if further and config.compare else None

    results = Results()
    for count in config.labels:
        for seed in config.seeds:
            index = draw_labels(train, count, seed)
            chosen = train.subset(index)
            votes: list[np.ndarray] = []
            for method in methods:
                if method == "boosted trees" and observed:
                    trees = BoostedTrees(len(train.classes), seed).fit(observed[0][index], chosen.y)
                    results.add(config, method, len(index), seed, trees.predict(observed[1]), test)
                    if observed_further is not None:
                        votes.append(trees.predict(observed_further))
                    continue
                start = None if method == "scratch" else pretrained
                folder = out / "runs" / f"{method}-{len(index)}-{seed}"
                heard = votes if method == "student" else []
                tagger, history = finetune(config, chosen, start, seed, folder, further, heard)
                if further and method != "student":
                    votes.append(tagger.predict(further.jets).probabilities)
                scores = tagger.predict(test).probabilities
                results.add(config, method, len(index), seed, scores, test, history)
                if method == kept_of(methods) and seed == config.seeds[0]:
                    # the last one stays: that of the largest number of labels
                    tagger.save(out / "model.safetensors", notes={"data_sha256": train.sha256()})
    results.write(out, test)
    report(config, results, train, test, out, time.monotonic() - began)


def kept_of(methods: list[str]) -> str:
    """The method whose model is kept and shown: the student, or the first one."""
    return "student" if "student" in methods else methods[0]


def read(config: Config) -> tuple[JetSample, JetSample]:
    """Jets to learn from and jets to measure on."""
    train, test = train_and_test(
        config.data, config.test, share=config.test_share, seed=config.seed, most=config.most,
        classes=config.classes,
    )  # fmt: skip
    if len(train.classes) < 2:
        raise InputError(
            f"needs jets of at least two classes, found {list(train.classes)}",
            where=", ".join(config.data) or None,
        )
    if config.background not in train.classes:
        raise unknown("background class", config.background, train.classes)
    return train, test


@dataclass(frozen=True)
class Further:
    """Jets without labels.

    Attributes:
        jets: the jets.
        collisions: [len(jets)] the number of each jet's collision, if the files tell.
    """

    jets: JetSample
    collisions: np.ndarray | None

    @classmethod
    def read(cls, config: Config) -> Further | None:
        """The `unlabelled` jets, if there are any."""
        if not config.unlabelled:
            return None
        paired = COLLISION in common_columns(expand(config.unlabelled))
        most = config.most or None
        jets = JetSample.read(config.unlabelled, most=most, columns=[COLLISION] if paired else [])
        return cls(jets, jets.column(COLLISION) if paired else None)


def pretrain(config: Config, train: JetSample, further: Further | None, out: Path) -> Any:
    """The trunk and its embedder, trained on all jets to learn from, without their labels."""
    if start_of(config).folder:
        return start_of(config).load()
    torch.manual_seed(config.seed)
    objective = objectives.build(config.objective)(*network_parts(config), augment=views.augment)
    settings = replace(config.pretrain, seed=config.seed)
    jets = further.jets if further else train
    examples: Any = jets
    join = collate
    if further and further.collisions is not None:
        examples, join = views.Views(jets, further.collisions), views.collate
    fit(
        objective, examples, settings, out=out / "pretrain", collate=join, lengths=jets.lengths,
        title="pretraining",
    )  # fmt: skip
    return objective


def draw_labels(train: JetSample, count: int, seed: int) -> np.ndarray:
    """Places of `count` jets (0 = all), the classes in their own proportions, at least one each."""
    if count == 0 or count >= len(train):
        return np.arange(len(train))
    order = np.random.default_rng(1000 + seed).permutation(len(train))
    classes = train.y[order]
    first = [np.flatnonzero(classes == c)[0] for c in np.unique(classes)]
    rest = np.setdiff1d(np.arange(len(order)), first)
    return np.sort(order[np.concatenate([first, rest])[: max(count, len(first))].astype(int)])


def finetune(
    config: Config, chosen: JetSample, start: Any, seed: int, folder: Path,
    further: Further | None = None, votes: Sequence[np.ndarray] = (),
) -> tuple[JetTagger, list[dict[str, Any]]]:  # fmt: skip
    """A tagger trained on labelled jets, from pretrained weights or (None) from scratch.

    With `votes`, what others say of the `further` jets, it is a student of both.
    """
    torch.manual_seed(seed)
    trunk, embedder = network_parts(config, start)
    settings = SupervisedConfig(outputs=len(chosen.classes))
    noise = views.augment if config.views or votes else None
    objective: Any = Supervised(trunk, embedder, settings, augment=noise)
    if config.decorrelate:
        objective = Decorrelated(
            trunk, embedder, settings, strength=config.decorrelate, augment=noise,
            background=chosen.classes.index(config.background),
        )  # fmt: skip
    kept = round(config.calibrate * len(chosen))
    order = np.random.default_rng(seed).permutation(len(chosen))
    learned = chosen.subset(np.sort(order[kept:]))
    history: list[dict[str, Any]] = []

    def learn(model: Supervised, data: Any, lengths: np.ndarray, join: Any) -> None:
        settings = replace(config.student if votes else config.finetune, seed=seed)
        result = fit(
            model, data, settings, out=folder, collate=join, lengths=lengths, title=folder.name
        )
        history.extend(result.history)

    if further and votes:
        scores = np.mean(votes, axis=0)
        student(objective, learned, further.jets, scores, learn, views=further.collisions)
    else:
        if start is not None and config.head_first:
            fit_head(objective, learned, collate, torch.from_numpy(learned.y))
        learn(objective, learned, learned.lengths, collate)
    tagger = JetTagger(TrunkNetwork(embedder, trunk, objective.head), chosen.classes).cpu().eval()
    if kept:
        tagger.calibrate(chosen.subset(np.sort(order[:kept])))
    return tagger, history


def network_parts(config: Config, start: Any = None) -> tuple[Any, Any]:
    """A trunk and its embedder: fresh ones, or copies of the pretrained ones."""
    if start is not None:
        return copy.deepcopy(start.trunk), copy.deepcopy(start.embedder)
    return start_of(config).fresh()


def start_of(config: Config) -> Start:
    """Where the network starts from."""
    features = {"features": config.features}
    return Start("jets", JetEmbedder, config.trunk, config.start, config.own_trunk, features)


@dataclass
class Results:
    """What was measured: one row a run, the first seed's predictions, the training histories."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    histories: dict[str, list[list[dict[str, Any]]]] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, config: Config, method: str, labels: int, seed: int, scores: np.ndarray,
        test: JetSample, history: list[dict[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        """Measure one run; the largest number of labels of the first seed is kept for plots."""
        found = metrics.evaluate(
            scores, test.y, test.classes, background=config.background, bootstraps=100
        )
        areas = [
            v
            for k, v in found.items()
            if k.startswith("auc_") and isinstance(v, float) and "error" not in k
        ]
        row = {"method": method, "labels": labels, "seed": seed, "mean_auc": float(np.mean(areas))}
        self.rows.append(row | found)
        if seed == config.seeds[0]:
            self.scores[method] = scores
        if history is not None:
            self.histories.setdefault(f"{method}, {labels} labels", []).append(history)
            name = {"run": f"{method}-{labels}-{seed}"}
            self.records += [name | record for record in history]

    def write(self, out: Path, test: JetSample) -> None:
        """metrics.jsonl (training records, then one line of scores a run), predictions.parquet."""
        lines = self.records + [{"event": "score"} | row for row in self.rows]
        with atomic_write(out / "metrics.jsonl") as temporary:
            temporary.write_text("".join(dumps(x, default=str) + "\n" for x in lines))
        columns: dict[str, Any] = {"row": test.rows, "label": test.y}
        for method, scores in self.scores.items():
            for place, name in enumerate(test.classes):
                columns[f"{method.replace(' ', '_')}_{name}"] = np.ascontiguousarray(
                    scores[:, place]
                )
        with create(out / "predictions.parquet") as writer:
            writer.write(columns)


def report(
    config: Config, results: Results, train: JetSample, test: JetSample, out: Path, seconds: float
) -> None:
    """report.html: one page that says what was run, on what, and what came out."""
    rows, classes = results.rows, test.classes
    methods = list(dict.fromkeys(row["method"] for row in rows))
    sizes = sorted({row["labels"] for row in rows})
    page = Page(
        "Jet tagging with few labels",
        lead=f"{len(train)} jets to learn from, {len(test)} others to measure on, classes: "
        f"{literal(', '.join(map(plots.label, classes)))}. Spread: standard deviation over "
        f"{len(config.seeds)} seeds (labels drawn, weights, order).",
    )
    page.text(verdict(rows, sizes, methods))
    if config.pretraining and config.start:
        page.text(f"Started from: {literal(str(start_of(config)))}.")
    if len(sizes) > 1 or len(methods) > 1:
        page.heading("Score against labels")
        figure, axis = shared_plots.axes()
        by_method = {m: [values(rows, m, n, "mean_auc") for n in sizes] for m in methods}
        shared_plots.efficiency(axis, sizes, by_method)
        axis.set_xlabel("labelled jets")
        axis.set_ylabel(shared_plots.literal(f"mean AUC against {plots.label(config.background)}"))
        page.figure(figure, "Mean over seeds; the bars reach from the worst to the best seed.")
    page.heading("Label efficiency")
    table = []
    for size in sizes:
        for method in methods:
            row = {"labels": size, "method": method}
            for key in ("accuracy", "mean_auc"):
                row[key.replace("_", " ")] = shared_plots.spread(values(rows, method, size, key))
            for name in classes:
                if name != config.background:
                    found = values(rows, method, size, f"auc_{name}")
                    row[f"AUC {plots.label(name)}"] = shared_plots.spread(found)
            table.append(row)
    page.table(table, f"AUC of each class against {literal(plots.label(config.background))}.")

    background = classes.index(config.background)
    signal = max(
        (n for n in classes if n != config.background),
        key=lambda n: int((test.y == classes.index(n)).sum()),
    )
    place = classes.index(signal)
    page.heading(f"{plots.label(signal)} against {plots.label(config.background)}")
    among = (test.y == place) | (test.y == background)
    truth = test.y[among] == place
    curves = {
        method: (metrics.discriminant(scores[among], place, background), truth)
        for method, scores in results.scores.items()
    }
    page.figure(
        plots.rejection_curves(curves, title=f"{sizes[-1]} labels, seed {config.seeds[0]}"),
        "Background rejection against signal efficiency; bands: 68 % of bootstrap samples.",
    )
    last = [r for r in rows if r["labels"] == sizes[-1] and r["seed"] == config.seeds[0]]
    page.table(
        [
            {"method": r["method"]}
            | {f"rejection at {e} %": str(r[f"rejection_{signal}_{e}"]) for e in (30, 50)}
            for r in last
        ],
        "Error: bootstrap. Where no background jet passes, a lower limit at 95 % confidence.",
    )
    best = kept_of(methods)
    page.heading("Confusion, scores, calibration")
    scores = results.scores[best]
    page.figure(plots.confusion(scores, test.y, classes), f"Rows sum to one; {best}.")
    page.figure(plots.score_distributions(scores, test.y, classes, signal), best)
    page.figure(
        plots.calibration({m: (s, test.y) for m, s in results.scores.items()}), "Reliability"
    )
    among = np.flatnonzero(test.y == background)
    page.figure(
        plots.mass_sculpting(
            invariant_mass(raw_batch(test.subset(among).dense())).numpy(),
            metrics.discriminant(scores[among], place, background),
        ),
        f"Mass of {literal(plots.label(config.background))} jets that pass a cut on the score of "
        f"{literal(plots.label(signal))}; `--decorrelate` flattens what a cut carves.",
    )
    page.heading("One jet")
    chosen = int(np.argmax(np.where(test.y == place, scores[:, place], -1)))
    tagger = JetTagger.from_pretrained(out / "model.safetensors")
    jet = test.subset([chosen]).dense()
    if int(jet.lengths[0]) > 1:
        page.figure(
            plots.attribution(jet, occlusion(tagger, jet, signal, config.background)),
            f"The {literal(plots.label(signal))} jet with the highest score: what each constituent "
            f"adds to the log odds against {literal(plots.label(config.background))}, found by "
            "leaving it out.",
        )
    page.heading("The jets")
    images = test.subset(np.arange(min(2000, len(test))))
    page.figure(plots.jet_images(images.dense(), images.y, classes), "Mean pT per cell, GeV.")
    if results.histories:
        page.heading("Training")
        page.figure(
            shared_plots.learning_curves(results.histories, ylabel="training loss"),
            "Mean over seeds, range shaded.",
        )
    page.heading("Again")
    page.command(f"sciml run jet_tagging --config {settings_file(out)} --out {out}-again")
    page.command(f"sciml jets tag FILE -o scores.root --model {out / 'model.safetensors'}")
    page.text(f"Took {seconds:.0f} s with {torch.get_num_threads()} threads.")
    page.write(out / "report.html")


def values(rows: list[dict[str, Any]], method: str, size: int, key: str) -> list[float]:
    """One metric of a method at a number of labels, a value a seed."""
    return [r[key] for r in rows if r["method"] == method and r["labels"] == size and key in r]


def verdict(rows: list[dict[str, Any]], sizes: list[int], methods: list[str]) -> str:
    """Who is ahead at each number of labels, in words, and whether seeds could explain it."""
    if len(methods) < 2:
        return ""
    said = []
    for size in sizes:
        means = {m: np.mean(values(rows, m, size, "mean_auc")) for m in methods}
        first, second = sorted(methods, key=lambda m: -means[m])[:2]
        spread = max(np.std(values(rows, m, size, "mean_auc")) for m in (first, second))
        gap = means[first] - means[second]
        note = "" if gap > spread else ", less than the spread over seeds"
        said.append(f"{size} labels: **{first}** is ahead of {second} by {gap:.4f} in AUC{note}.")
        if {"pretrained", "scratch"} <= set(methods):
            pairs = zip(
                values(rows, "pretrained", size, "mean_auc"),
                values(rows, "scratch", size, "mean_auc"),
            )
            gains = [a - b for a, b in pairs]
            said.append(f"Pretraining against scratch: {shared_plots.spread(gains)}.")
    return " ".join(said)


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
