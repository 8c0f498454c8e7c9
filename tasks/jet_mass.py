"""Jet mass: a point estimate and its quantiles from the constituents of a jet.

A network learns the mass in the column `--target` of some jets and is measured on others:
bias and resolution of the point estimate, and how many jets lie below each quantile, which should
be the number in its name. A pretrained trunk (`--start FOLDER`) stands beside the same network with
random weights, trained in as many steps.

Writes model.safetensors (`sciml jets tag FILE --model OUT`), predictions.parquet, metrics.jsonl and
report.html.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml import own
from sciml.config import Range
from sciml.errors import InputError
from sciml.jets.data.io import create
from sciml.jets.data.sample import JetSample, train_and_test
from sciml.jets.networks import regression
from sciml.jets.networks.classifier import TrunkNetwork, default_trunk
from sciml.jets.networks.embedder import FeatureSet, JetEmbedder, collate
from sciml.jets.regressor import JetMassRegressor
from sciml.jets.report import mass_report, write_metrics
from sciml.renamed import Formerly
from sciml.train import TrainConfig, fit
from sciml.trunks.pair_transformer import PairTransformerConfig
from sciml.trunks.start import Parts, Start


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    data: tuple[str, ...] = ()
    """Files of jets (ROOT, Parquet, ...; patterns allowed); none: the samples in the package."""
    test: tuple[str, ...] = ()
    """Files of jets to measure on; none: `test_share` of `data`."""
    test_share: Annotated[float, Range(min=0.01, max=0.9)] = 0.35
    """Share of `data` that is held out for measuring, if there are no `test` files."""
    max_jets: Annotated[int, Range(min=0), Formerly("most")] = 0
    """Read at most this many jets [jets]; 0 = all."""
    target: str = "jet_sdmass"
    """Column of the mass to regress [GeV]; jets without one (0) are left out."""
    quantiles: tuple[float, ...] = (0.16, 0.5, 0.84)
    """Probabilities of the mass quantiles, ascending."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One set of initial weights and one training order per seed."""
    features: FeatureSet = "full"
    """Particle features: full (17), kinpid (without tracks) or kin (kinematics alone)."""
    trunk: PairTransformerConfig = field(default_factory=default_trunk)
    """The network; `class_depth` 0 takes the mean over particles, > 0 adds a class token."""
    start: Annotated[str, own.CODE] = ""
    """Instead of `trunk`: another one's name or your own (my_trunk.py:MyTrunk, which runs that
    file), with `dim` and `pair_dim` of `trunk`; or what `sciml run pretrain --out FOLDER` wrote, to
    fine-tune it."""
    own_trunk: Annotated[str, own.CODE] = ""
    """Your own trunk (my_trunk.py:MyTrunk, which runs that file) where folder `start` holds one:
    a folder brings no code."""
    compare: bool = True
    """Also train from scratch where `start` is a folder."""
    fit: TrainConfig = TrainConfig(steps=150, batch_size=64, lr=1e-3, warmup=0.1, weight_decay=0.05)
    """Training."""
    seed: int = 0
    """Seed of the split into training and test jets."""


TINY: dict[str, Any] = {
    "max_jets": 400,
    "seeds": (0,),
    "trunk": {"dim": 16, "depth": 1, "heads": 2, "bias_hidden": 8},
    "fit": {"steps": 30, "batch_size": 16, "log_every": 5},
}


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call resumes an interrupted run."""
    train, test = (
        part.subset(np.flatnonzero(part.column(config.target) > 0))
        for part in train_and_test(
            config.data, config.test, share=config.test_share, seed=config.seed,
            max_jets=config.max_jets,
            columns=(config.target,),
        )
    )  # fmt: skip
    if not len(train) or not len(test):
        raise InputError(f"no jet has a {config.target} above 0")
    truth = test.column(config.target)
    rows, records, predicted = [], [], np.zeros(0)
    start = start_of(config)
    compared = config.compare and start.folder is not None
    for seed in config.seeds:
        for method in ("pretrained", "scratch") if compared else ("",):
            run = f"mass-scratch-{seed}" if method == "scratch" else f"mass-{seed}"
            begin = start.fresh if method == "scratch" else start.begin
            regressor, history = learn(config, train, begin, seed, out / "runs" / run)
            masses = regressor.predict(test).masses
            row = {"method": method, "seed": seed} if method else {"seed": seed}
            rows.append(row | regression.quality(masses, truth, config.quantiles))
            records += [{"run": run} | record for record in history]
            if seed == config.seeds[0] and method != "scratch":
                predicted = masses
                regressor.save(out / "model.safetensors", notes={"data_sha256": train.sha256()})
    write_metrics(out, records, rows)
    names = regression.names(config.quantiles)
    with create(out / "predictions.parquet") as writer:
        columns = {name: np.ascontiguousarray(predicted[:, i]) for i, name in enumerate(names)}
        writer.write({"row": test.rows, config.target: truth, **columns})
    mass_report(
        rows, predicted[:, 0], truth, out, target=config.target, learned=len(train),
        started_from=str(start),
    )  # fmt: skip


def learn(
    config: Config, train: JetSample, begin: Callable[[], Parts], seed: int, folder: Path
) -> tuple[JetMassRegressor, list[dict[str, Any]]]:
    """A network trained on the masses of jets, and its training history.

    `begin` gives the trunk and embedder that training starts from.
    """
    torch.manual_seed(seed)
    trunk, embedder = begin()
    objective: Any = regression.MassRegression(trunk, embedder, config.quantiles)
    data = regression.MassSample(train, train.column(config.target))
    result = fit(
        objective, data, replace(config.fit, seed=seed), out=folder, collate=collate,
        lengths=train.lengths, title=f"mass, seed {seed}",
    )  # fmt: skip
    network = TrunkNetwork(embedder, trunk, objective.head)
    regressor = JetMassRegressor(network, regression.names(config.quantiles))
    return regressor.cpu().eval(), result.history


def start_of(config: Config) -> Start:
    """The trunk and embedder that training starts from."""
    features = {"features": config.features}
    return Start("jets", JetEmbedder, config.trunk, config.start, config.own_trunk, features)


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
