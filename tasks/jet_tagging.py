"""Jet tagging: pretrain without labels, fine-tune on few, compare with scratch and boosted trees.

1. A trunk learns from jets without labels, by predicting the observables of each: mass,
   multiplicity, energy correlations, displaced tracks (`--objective masked` hides particles).
2. With a few labelled jets the same network is trained twice, from the pretrained weights and from
   scratch, and boosted trees are fitted to jet-level observables: the same labels for all three.
3. All are measured on jets that none of them saw; the report shows the result, whichever wins.

Writes model.safetensors (`sciml jets tag FILE --model OUT`), predictions.parquet, metrics.jsonl and
report.html.

Further settings: `--trunk.class-depth 0` reads out the mean over particles instead of a class
token; `--plane mass` weights jets so that all classes have one spectrum of masses, and
`--decorrelate 5` keeps the score from sculpting the background's mass (DisCo); `--calibrate 0.1`
keeps a tenth of the labelled jets to fit the temperature; `--views` trains with labels on boosted,
rotated and smeared jets. `--unlabelled FILES` are further jets: they serve pretraining, and the
ensemble of all models that were trained with the labels gives them pseudo-labels, from which one
more network, the student, learns. Best are hard-scatter events showered twice (`sciml data make
jets --views 2`): pretraining predicts the other jet of the same event, and both get one
pseudo-label. `sciml run jet_mass` learns the mass of a jet instead of its class.

With `--data-config CONFIG.yaml` one network learns what a weaver data config says instead: its
selection, new variables, inputs, labels (classes, or values under `type: custom`) and weights, with
the settings `finetune`; steps 1 to 3 are left out. data_config.yaml is the config with the fitted
standardisation; predictions.parquet has the test jets with the observers.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml import objectives, own
from sciml.config import Range
from sciml.errors import InputError, unknown
from sciml.jets.configured import ConfiguredTagger, class_names
from sciml.jets.configured_results import configured_results
from sciml.jets.data.columns import HARD_EVENT
from sciml.jets.data.io import common_columns, expand
from sciml.jets.data.sample import JetSample, train_and_test
from sciml.jets.learning import views
from sciml.jets.learning.baselines import BoostedTrees, observables_of
from sciml.jets.learning.decorrelation import Decorrelated
from sciml.jets.learning.planing import planed
from sciml.jets.learning.student import student
from sciml.jets.networks.classifier import TrunkNetwork, default_trunk
from sciml.jets.networks.embedder import FeatureSet, JetEmbedder, collate
from sciml.jets.report import Comparison, tagging_report
from sciml.jets.tagger import JetTagger
from sciml.jets.weaver.config import WeaverConfig
from sciml.jets.weaver.examples import ConfigEmbedder, ConfiguredJets, Layout, Part
from sciml.jets.weaver.examples import collate as join_inputs
from sciml.objectives.probe import fit_head
from sciml.objectives.supervised import Supervised, SupervisedConfig
from sciml.renamed import Formerly
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
    """Share of `data` that is held out for measuring, if there are no `test` files."""
    unlabelled: tuple[str, ...] = ()
    """Files of further jets, whose labels are not read: for pretraining instead of `data`, and for
    a student; best with several jets per hard-scatter event (`sciml data make jets --views 2`)."""
    data_config: str = ""
    """A weaver data config (YAML) that says what is learned from `data`; see above."""
    classes: tuple[str, ...] = ()
    """Classes to distinguish, in this order; none: all that occur."""
    background: str = "QCD"
    """The class that others are measured against."""
    weight: str = ""
    """Column of the weights of jets, >= 0, which count in training, calibration and every metric;
    none: all jets count alike."""
    max_jets: Annotated[int, Range(min=0), Formerly("most")] = 0
    """Read at most this many jets [jets]; 0 = all."""
    labels: tuple[int, ...] = (100, 1000)
    """Numbers of labelled jets to train with [jets]; 0 = all."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One set of labelled jets, initial weights and training order per seed."""
    compare: bool = True
    """Also train from scratch and fit boosted trees; False trains the final model alone."""
    views: bool = False
    """Train with labels on jets boosted, rotated about their axis and smeared, anew each time;
    worth a try where labels are few and training is long."""
    head_first: bool = True
    """Start fine-tuning of pretrained weights with a linear probe as the head, not a random one."""
    features: FeatureSet = "full"
    """Particle features: full (17), kinpid (without tracks) or kin (kinematics alone)."""
    decorrelate: Annotated[float, Range(min=0)] = 0.0
    """Weight of the distance correlation between background score and jet mass; 0 = none."""
    plane: tuple[str, ...] = ()
    """Spectra (mass, pt) that all classes are weighted to have in common in training (planing);
    what else in a jet tells its mass is still learned, which `decorrelate` forbids."""
    calibrate: Annotated[float, Range(min=0, max=0.5)] = 0.0
    """Share of the labelled jets held out to fit the temperature; 0 = no fit."""
    trunk: PairTransformerConfig = field(default_factory=default_trunk)
    """The network of pretraining and tagging; `class_depth` 0 takes the mean over particles, > 0
    adds a class token."""
    start: Annotated[str, own.CODE] = ""
    """Instead of `trunk`: another one's name or your own (my_trunk.py:MyTrunk, which runs that
    file), with `dim` and `pair_dim` of `trunk`; or what `sciml run pretrain --out FOLDER` wrote, to
    fine-tune it."""
    own_trunk: Annotated[str, own.CODE] = ""
    """Your own trunk (my_trunk.py:MyTrunk, which runs that file) where folder `start` holds one:
    a folder brings no code."""
    objective: Annotated[str, own.CODE] = "sciml.jets.learning.objectives:JetObservables"
    """The task of pretraining without labels: the observables of a jet, or masked, simclr, jepa,
    ..., or your own by import path or file, which runs it."""
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
    "max_jets": 400,
    "labels": (60,),
    "seeds": (0, 1, 2),
    "trunk": {"dim": 16, "depth": 1, "heads": 2, "bias_hidden": 8},
    "pretrain": {"steps": 12, "batch_size": 16, "log_every": 4},
    "finetune": {"steps": 10, "batch_size": 16, "log_every": 5},
    "student": {"steps": 10, "batch_size": 16, "log_every": 5},
}


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call resumes an interrupted run."""
    began = time.monotonic()
    if config.data_config:
        learn_data_config(config, out)
        return
    train, test = read(config)
    unlabelled = Unlabelled.read(config)
    pretrained = pretrain(config, train, unlabelled, out) if config.pretraining else None
    methods = ["pretrained"] if pretrained else ["scratch"]
    if config.compare:
        methods += ["scratch", "boosted trees"] if pretrained else ["boosted trees"]
    if unlabelled:
        methods += ["student"]
    best = "student" if unlabelled else methods[0]
    # Of many jets only those with labels are needed.
    observed = config.compare and not train.on_disk
    train_observables: Any = observables_of(train) if observed else None
    test_observables: Any = observables_of(test) if config.compare else None

    comparison = Comparison(test, config.background, config.seeds)
    for count in config.labels:
        for seed in config.seeds:
            index = draw_labels(train, count, seed)
            labelled = train.subset(index)
            ensemble: list[np.ndarray] = []  # probabilities of the unlabelled jets by each method
            for method in methods:
                if method == "boosted trees":
                    trees = BoostedTrees(len(train.classes), seed)
                    seen = train_observables[index] if observed else observables_of(labelled)
                    trees.fit(seen, labelled.y, labelled.weights)
                    comparison.add(method, len(index), seed, trees.predict(test_observables))
                    if unlabelled:
                        ensemble.append(trees.predict(unlabelled.observables))
                    continue
                start = None if method == "scratch" else pretrained
                folder = out / "runs" / f"{method}-{len(index)}-{seed}"
                if method == "student":
                    pseudo_labels = np.mean(ensemble, axis=0)
                    tagger, history = finetune(
                        config, labelled, start, seed, folder, unlabelled, pseudo_labels
                    )
                else:
                    tagger, history = finetune(config, labelled, start, seed, folder)
                    if unlabelled:
                        ensemble.append(tagger.predict(unlabelled.jets).probabilities)
                scores = tagger.predict(test).probabilities
                comparison.add(method, len(index), seed, scores, history)
                if method == best and seed == config.seeds[0]:
                    # the last one stays: that of the largest number of labels
                    tagger.save(out / "model.safetensors", notes={"data_sha256": train.sha256()})
    comparison.write(out)
    started_from = str(start_of(config)) if config.pretraining and config.start else ""
    tagging_report(
        comparison, train, out, best=best, started_from=started_from,
        seconds=time.monotonic() - began,
    )  # fmt: skip


def read(config: Config) -> tuple[JetSample, JetSample]:
    """Jets to learn from and jets to measure on."""
    train, test = train_and_test(
        config.data, config.test, share=config.test_share, seed=config.seed,
        max_jets=config.max_jets, classes=config.classes, weight=config.weight,
    )  # fmt: skip
    if (config.weight or config.plane) and config.unlabelled:
        raise InputError("weights are of labelled jets: they cannot be used with `unlabelled`")
    if len(train.classes) < 2:
        raise InputError(
            f"needs jets of at least two classes, found {list(train.classes)}",
            where=", ".join(config.data) or None,
        )
    if config.background not in train.classes:
        raise unknown("background class", config.background, train.classes)
    if config.plane:
        train = planed(train, config.plane)
    return train, test


@dataclass(frozen=True)
class Unlabelled:
    """Jets whose labels are not read.

    Attributes:
        jets: the jets.
        event_ids: [len(jets)] the hard-scatter event of each jet, if the files have it.
    """

    jets: JetSample
    event_ids: np.ndarray | None

    @cached_property
    def observables(self) -> np.ndarray:
        """[len(jets), observables] for boosted trees."""
        return observables_of(self.jets)

    @classmethod
    def read(cls, config: Config) -> Unlabelled | None:
        """The `unlabelled` jets, if there are any."""
        if not config.unlabelled:
            return None
        paired = HARD_EVENT in common_columns(expand(config.unlabelled))
        columns = [HARD_EVENT] if paired else []
        limit = config.max_jets or None
        jets = JetSample.read(config.unlabelled, max_jets=limit, columns=columns)
        return cls(jets, jets.column(HARD_EVENT) if paired else None)


def pretrain(config: Config, train: JetSample, unlabelled: Unlabelled | None, out: Path) -> Any:
    """The trunk and its embedder, trained on all jets to learn from, without their labels."""
    if start_of(config).folder:
        return start_of(config).load()
    torch.manual_seed(config.seed)
    objective = objectives.build(config.objective)(*network_parts(config), augment=views.augment)
    settings = replace(config.pretrain, seed=config.seed)
    jets = unlabelled.jets if unlabelled else train
    examples: Any = jets
    join = collate
    if unlabelled and unlabelled.event_ids is not None:
        examples, join = views.Views(jets, unlabelled.event_ids), views.collate
    fit(
        objective, examples, settings, out=out / "pretrain", collate=join, lengths=jets.lengths,
        title="pretraining",
    )  # fmt: skip
    return objective


def draw_labels(train: JetSample, count: int, seed: int) -> np.ndarray:
    """Indices of `count` jets (0 = all), in the proportions of the classes, each at least once."""
    if count == 0 or count >= len(train):
        return np.arange(len(train))
    order = np.random.default_rng(1000 + seed).permutation(len(train))
    classes = train.y[order]
    first = [np.flatnonzero(classes == c)[0] for c in np.unique(classes)]
    rest = np.setdiff1d(np.arange(len(order)), first)
    return np.sort(order[np.concatenate([first, rest])[: max(count, len(first))].astype(int)])


def finetune(
    config: Config, labelled: JetSample, start: Any, seed: int, folder: Path,
    unlabelled: Unlabelled | None = None, pseudo_labels: np.ndarray | None = None,
) -> tuple[JetTagger, list[dict[str, Any]]]:  # fmt: skip
    """A tagger trained on labelled jets, from pretrained weights or (None) from scratch.

    With `pseudo_labels`, class probabilities of the `unlabelled` jets by an ensemble, it is a
    student, which learns from both.
    """
    torch.manual_seed(seed)
    trunk, embedder = network_parts(config, start)
    settings = SupervisedConfig(outputs=len(labelled.classes))
    is_student = unlabelled is not None and pseudo_labels is not None
    noise = views.augment if config.views or is_student else None
    objective: Any = Supervised(trunk, embedder, settings, augment=noise)
    if config.decorrelate:
        objective = Decorrelated(
            trunk, embedder, settings, strength=config.decorrelate, augment=noise,
            background=labelled.classes.index(config.background),
        )  # fmt: skip
    held_out = round(config.calibrate * len(labelled))  # jets to fit the temperature
    order = np.random.default_rng(seed).permutation(len(labelled))
    training = labelled.subset(np.sort(order[held_out:]))
    history: list[dict[str, Any]] = []

    def learn(model: Supervised, data: Any, lengths: np.ndarray, join: Any) -> None:
        settings = replace(config.student if is_student else config.finetune, seed=seed)
        result = fit(
            model, data, settings, out=folder, collate=join, lengths=lengths, title=folder.name
        )
        history.extend(result.history)

    if unlabelled is not None and pseudo_labels is not None:
        student(
            objective, training, unlabelled.jets, pseudo_labels, learn, views=unlabelled.event_ids
        )
    else:
        if start is not None and config.head_first:
            fit_head(objective, training, collate, torch.from_numpy(training.y))
        learn(objective, training, training.lengths, collate)
    tagger = JetTagger(TrunkNetwork(embedder, trunk, objective.head), labelled.classes).cpu().eval()
    if held_out:
        tagger.calibrate(labelled.subset(np.sort(order[:held_out])))
    return tagger, history


def network_parts(config: Config, start: Any = None) -> tuple[Any, Any]:
    """A trunk and its embedder: fresh ones, or copies of the pretrained ones."""
    if start is not None:
        return copy.deepcopy(start.trunk), copy.deepcopy(start.embedder)
    return start_of(config).fresh()


def start_of(config: Config) -> Start:
    """The trunk and embedder that training starts from."""
    features = {"features": config.features}
    return Start("jets", JetEmbedder, config.trunk, config.start, config.own_trunk, features)


def learn_data_config(config: Config, out: Path) -> None:
    """One network on the inputs of a weaver data config, measured on jets it has not seen."""
    if not config.data:
        raise InputError("a data config needs files of jets", hint="Name them with --data")
    fitted = WeaverConfig.load(config.data_config)
    fitted.prepare(config.data)
    fitted.save(out / "data_config.yaml")
    jets = ConfiguredJets.read(fitted, config.data, max_jets=config.max_jets)
    order = np.random.default_rng(config.seed).permutation(len(jets))
    count = 0 if config.test else max(1, round(config.test_share * len(jets)))
    held_out, index = np.sort(order[:count]), np.sort(order[count:])
    if not len(index):
        raise InputError(f"{len(jets)} jets pass the selection: too few", where=config.data_config)
    names = class_names(fitted)
    centre: Any = None
    scale: Any = None
    if not fitted.has_classes:
        values = torch.from_numpy(jets.labels[index])
        centre, scale = values.mean(0), values.std(0, correction=0).clamp_min(1e-6)

    torch.manual_seed(config.seed)
    layout = Layout.of(fitted)
    start = Start("jets", ConfigEmbedder, config.trunk, config.start, config.own_trunk,
                  {"layout": layout})  # fmt: skip
    if start.folder:
        raise InputError("a data config has inputs of its own: `start` must be no folder")
    trunk, embedder = start.fresh()
    loss: Any = "cross_entropy" if fitted.has_classes else "smooth_l1"
    settings = SupervisedConfig(outputs=len(names), loss=loss)
    objective = Supervised(trunk, embedder, settings)
    trained = fit(
        objective, Part(jets, index, centre, scale), replace(config.finetune, seed=config.seed),
        out=out / "runs" / "data-config", collate=join_inputs, title="data config",
    )  # fmt: skip
    tagger = ConfiguredTagger(
        trunk, embedder, objective.head, fitted, names, fitted.has_classes
    ).cpu().eval()  # fmt: skip
    if centre is not None:
        tagger.centre.copy_(centre)
        tagger.scale.copy_(scale)
    tagger.save(out / "model.safetensors")
    configured_results(
        tagger, config.test or config.data, out, background=config.background,
        held_out=None if config.test else held_out, learned=len(index), history=trained.history,
    )  # fmt: skip


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
