"""Flavour tagging: b, c, tau, light and gluon jets by one network with several heads.

A network learns the class of small-radius jets and, from the truth of a simulation, three more
things: where each track comes from, which tracks share a vertex, and the true pT of the jet with
its uncertainty. Beside it stands the same network that learns the class alone (`--compare`), and,
with `--control`, one whose other targets are those of other jets. Each is trained with every number
of labels and every seed, and measured on jets of other collisions.

Writes model.safetensors (`sciml jets tag FILE --model OUT`), predictions.parquet, metrics.jsonl and
report.html. More jets: `sciml data make flavour-jets --jets 100000 --seed 1 -o train.parquet`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml import own
from sciml.config import Range
from sciml.errors import InputError
from sciml.jets.data.flavours import FlavourSample
from sciml.jets.data.io import create
from sciml.jets.data.sample import shipped
from sciml.jets.flavour_report import flavour_report
from sciml.jets.flavours import FlavourTagger
from sciml.jets.learning.flavour_metrics import quality
from sciml.jets.networks.classifier import default_trunk
from sciml.jets.networks.embedder import FeatureSet, JetEmbedder, collate
from sciml.jets.networks.flavour import FlavourLoss, FlavourNetwork, FlavourTagging, HeadsConfig
from sciml.jets.report import write_metrics
from sciml.jets.scores import PT
from sciml.train import TrainConfig, fit
from sciml.trunks.pair_transformer import PairTransformerConfig
from sciml.trunks.start import Start


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    data: tuple[str, ...] = ()
    """Files of `sciml data make flavour-jets` (patterns allowed); none: the sample in the
    package."""
    test: tuple[str, ...] = ()
    """Files of jets to measure on; none: `test_share` of the collisions in `data`."""
    test_share: Annotated[float, Range(min=0.01, max=0.9)] = 0.3
    """Share of `data` that is held out for measuring, if there are no `test` files."""
    max_jets: Annotated[int, Range(min=0)] = 0
    """Read at most this many jets [jets]; 0 = all."""
    labels: tuple[int, ...] = (0,)
    """Numbers of labelled jets to train with [jets]; 0 = all."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One set of labelled jets, initial weights and training order per seed."""
    compare: bool = True
    """Also train the same network on the class alone."""
    control: bool = False
    """Also train with the origins, vertices and pT of other jets: what an auxiliary task does that
    teaches nothing."""
    calibrate: Annotated[float, Range(min=0, max=0.5)] = 0.1
    """Share of the labelled jets held out to fit the temperature and the quantiles of pT."""
    features: FeatureSet = "full"
    """Particle features: full (17), kinpid (without tracks) or kin (kinematics alone)."""
    trunk: PairTransformerConfig = field(default_factory=default_trunk)
    """The network below the heads."""
    start: Annotated[str, own.CODE] = ""
    """Instead of `trunk`: another one's name or your own (my_trunk.py:MyTrunk, which runs that
    file), with `dim` and `pair_dim` of `trunk`; or what `sciml run pretrain --out FOLDER` wrote, to
    fine-tune it."""
    own_trunk: Annotated[str, own.CODE] = ""
    """Your own trunk (my_trunk.py:MyTrunk, which runs that file) where folder `start` holds one:
    a folder brings no code."""
    quantiles: tuple[float, ...] = (0.16, 0.5, 0.84)
    """Probabilities of the quantiles of pT, ascending."""
    loss: FlavourLoss = FlavourLoss()
    """Weights of the other heads' losses."""
    fit: TrainConfig = TrainConfig(steps=600, batch_size=64, lr=2e-3, warmup=0.1, weight_decay=0.01)
    """Training; all methods alike."""
    max_passes: Annotated[int, Range(min=1)] = 40
    """Few labelled jets are seen at most this often, in fewer steps than `fit` says."""
    seed: int = 0
    """Seed of the split into training and test jets."""


TINY: dict[str, Any] = {
    "max_jets": 500,
    "seeds": (0,),
    "trunk": {"dim": 16, "depth": 1, "heads": 2, "bias_hidden": 8},
    "fit": {"steps": 24, "batch_size": 16, "log_every": 8},
}


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call resumes an interrupted run."""
    train, test = read(config)
    methods = ["all heads"] + ["class alone"] * config.compare + ["shuffled"] * config.control
    rows: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    scores: dict[str, np.ndarray] = {}
    for count in config.labels:
        for seed in config.seeds:
            labelled = draw(train, count, seed)
            for method in methods:
                run = f"{method.replace(' ', '-')}-{len(labelled)}-{seed}"
                tagger, history = learn(config, labelled, method, seed, out / "runs" / run)
                row = {"method": method, "labels": len(labelled), "seed": seed}
                rows.append(row | quality(tagger, test, method == "all heads"))
                records += [{"run": run} | record for record in history]
                if seed == config.seeds[0]:  # the last stays: that of the largest number of labels
                    scores[method] = np.asarray(tagger.predict(test))
                    if method == "all heads":
                        tagger.save(out / "model.safetensors")
                        names = tagger.names
    write_metrics(out, records, rows)
    columns: dict[str, Any] = {"label": test.y.numpy(), "aux_truth_pt": test.truth_pt.numpy()}
    for index, name in enumerate(names):
        columns[name] = np.ascontiguousarray(scores["all heads"][:, index])
    with create(out / "predictions.parquet") as writer:
        writer.write(columns)
    flavour_report(rows, scores, test, len(train), out)


def read(config: Config) -> tuple[FlavourSample, FlavourSample]:
    """Jets to learn from and jets of other collisions to measure on."""
    files: Any = list(config.data) or [shipped("flavours")]
    jets = FlavourSample.read(files, max_jets=config.max_jets)
    if "b" not in jets.classes or len(jets.classes) < 2:
        raise InputError(f"needs b jets and others, found {list(jets.classes)}")
    if config.test:
        return jets, FlavourSample.read(list(config.test), classes=jets.classes)
    return jets.split(config.test_share, config.seed)


def draw(train: FlavourSample, count: int, seed: int) -> FlavourSample:
    """`count` jets (0 = all) at random."""
    if count == 0 or count >= len(train):
        return train
    order = np.random.default_rng(1000 + seed).permutation(len(train))
    return train.subset(np.sort(order[:count]))


def learn(
    config: Config, labelled: FlavourSample, method: str, seed: int, folder: Path
) -> tuple[FlavourTagger, list[dict[str, Any]]]:
    """A tagger trained on labelled jets, calibrated on a share of them, and its history."""
    torch.manual_seed(seed)
    trunk, embedder = start_of(config).begin()
    heads = HeadsConfig(len(labelled.classes), config.quantiles)
    network: Any = FlavourNetwork(embedder, trunk, heads)
    training, held_out = labelled.split(config.calibrate, seed)
    if method == "shuffled":
        training = training.shuffled(seed)
    loss = FlavourLoss(0, 0, 0) if method == "class alone" else config.loss
    passes = math.ceil(config.max_passes * len(training) / config.fit.batch_size)
    settings = replace(config.fit, seed=seed, steps=min(config.fit.steps or passes, passes))
    result = fit(
        FlavourTagging(network, loss), training, settings, out=folder, collate=collate,
        lengths=training.lengths, title=folder.name,
    )  # fmt: skip
    names = (*labelled.classes, *(f"{PT}{100 * level:g}" for level in config.quantiles))
    tagger = FlavourTagger(network, names).cpu().eval()
    if len(held_out):
        tagger.calibrate(held_out)
    return tagger, result.history


def start_of(config: Config) -> Start:
    """The trunk and embedder that training starts from."""
    features = {"features": config.features}
    return Start("jets", JetEmbedder, config.trunk, config.start, config.own_trunk, features)


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
