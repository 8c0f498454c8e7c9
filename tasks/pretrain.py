"""Pretrain any trunk with any objective on your own unlabelled files.

    sciml run pretrain --trunk pair_transformer --objective masked --data my_jets/ --out runs/mine
    sciml run pretrain --data jets:FOLDER protein:FOLDER symbolic:FILE placement:FOLDER \\
        --pair-dim 8 --trunk-settings '{pair_update: triangle}' --out runs/joint

DATA is a file or folder that a science can read (chosen by its suffix; `jets:FOLDER` names the
reader), the name of a data card, or a folder of .npz graphs. From several, one trunk learns
jointly, with one embedder per science; `temperature` mixes them. Data stays on disk where the file
format allows it, and under torchrun each process reads its own share. The trunk
and the objective are named as in the package, by import path (`my_package.objectives:Mine`) or by
file (`my_trunk.py:MyTrunk`): your own code runs where you name it in the command, never where a
settings file or a saved trunk does.

Where examples have labels, a linear probe on held-out examples measures the embeddings every
`train.validate_every` steps; the objective itself never sees a label. Writes OUT/trunk,
OUT/embedder.safetensors (of several sciences OUT/embedders/SCIENCE.safetensors), metrics.jsonl and
report.html. The recipes of every science start from it:

    sciml run jet_tagging --start runs/mine
    sciml run protein_structure --start runs/joint
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn

from sciml import objectives, own, trunks
from sciml.config import Range, to_dict
from sciml.data import parts, shards
from sciml.errors import InputError, unknown
from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.objectives import probe
from sciml.objectives.corpus import Corpus, suffixes
from sciml.objectives.graphs import read_graphs
from sciml.paths import atomic_write
from sciml.renamed import Formerly
from sciml.report import Page
from sciml.report import plots as shared_plots
from sciml.train import TrainConfig, fit
from sciml.train.log import read_metrics
from sciml.train.parallel import rank_and_world
from sciml.train.sampler import move
from sciml.trunks import start
from sciml.trunks.base import load_state
from sciml.trunks.multihead import MixedCollate, MixedDataset, Mixture

READERS = (
    "sciml.jets.learning.pretraining",
    "sciml.protein.contacts.pretraining",
    "sciml.symbolic.neural.pretraining",
    "sciml.placement.learning.pretraining",
)
"""The modules with the readers of each science."""


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    data: tuple[str, ...] = ("jets-sample/train.parquet",)
    """Files, folders, KIND:PATH, data cards or CARD/FILE of a card; one per science."""
    temperature: Annotated[float, Range(min=0, exclusive=True)] = 4.0
    """Temperature of the mixture of sciences: 1 = by number of examples, large = equally often."""
    reader: Annotated[str, own.CODE] = ""
    """A reader of your own by import path or file, module:function (path -> Corpus), which runs."""
    trunk: Annotated[str, own.CODE] = "pair_transformer"
    """Name of the trunk; or your own by import path or file, my_trunk.py:MyTrunk, which runs it."""
    dim: Annotated[int, Range(min=1)] = 64
    """Width of the trunk."""
    pair_dim: Annotated[int, Range(min=0)] = 4
    """Width of pair or edge features; 0 = none."""
    trunk_settings: dict[str, Any] = field(default_factory=dict)
    """Other settings of the trunk, as YAML: '{depth: 4, heads: 4}'."""
    embedder_settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the embedders by science, as YAML: '{jets: {features: kin}}'."""
    start: str = ""
    """A saved trunk to continue from, or the folder of an earlier pretraining; of your own trunk,
    `trunk` gives the name again."""
    objective: Annotated[str, own.CODE] = "masked"
    """Name of the objective; or your own by import path or file, which runs it."""
    objective_settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the objective, as YAML: '{fraction: 0.4}'."""
    held_out: Annotated[float, Range(min=0, max=0.5, exclusive=True)] = 0.1
    """Share of the examples that is held out from training."""
    max_held_out: Annotated[int, Range(min=1), Formerly("most_held_out")] = 2000
    """Maximum number of held-out examples."""
    probe_examples: Annotated[int, Range(min=0)] = 2000
    """Maximum number of labelled training examples that a probe is fitted to; 0 = no probes."""
    train: TrainConfig = TrainConfig(steps=2000, batch_size=64, lr=1e-3, validate_every=200)
    """Training without labels."""
    seed: int = 0
    """Seed of the split, the weights and the order."""


TINY: dict[str, Any] = {
    "dim": 16,
    "max_held_out": 64,
    "probe_examples": 128,
    "train": {"steps": 8, "batch_size": 16, "log_every": 4, "validate_every": 4},
}


@dataclass
class Learner:
    """One science that the trunk learns from.

    Attributes:
        corpus: its examples.
        training, held_out: indices of examples.
        embedder: its embedder, with `settings` beyond the widths of the trunk.
        objective: around trunk and embedder.
        probes: on held-out examples.
    """

    corpus: Corpus
    training: parts.Indices
    held_out: np.ndarray
    embedder: nn.Module
    settings: dict[str, Any]
    objective: nn.Module
    probes: probe.Probes


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call resumes an interrupted one."""
    began = time.monotonic()
    corpora = read(config)
    splits = {science: split(corpus, config) for science, corpus in corpora.items()}
    torch.manual_seed(config.seed)
    trunk = make_trunk(config)
    embedders = make_embedders(config, corpora, trunk)
    if "name" in config.objective_settings:
        raise InputError("`objective_settings` must not hold `name`: `objective` says which it is")
    build = objectives.build({**config.objective_settings, "name": config.objective})
    learners = {}
    for science, corpus in corpora.items():
        (embedder, settings), (training, held_out) = embedders[science], splits[science]
        learners[science] = Learner(
            corpus, training, held_out, embedder, settings,
            build(trunk, embedder, augment=corpus.augment),
            probe.Probes(corpus, training, held_out, config.probe_examples, config.seed),
        )  # fmt: skip
    before = by_science(learners, lambda one: one.probes.measure(trunk, one.embedder))

    # An objective whose target moves (MoCo, JEPA) has a loss that cannot be compared over time:
    # the last weights are kept (those of the largest number of checks), not of the lowest loss.
    moving = any(hasattr(one.objective, "after_step") for one in learners.values())
    moving = moving and config.train.monitor == "loss"
    train = dataclasses.replace(
        config.train, seed=config.seed, monitor="-checks" if moving else config.train.monitor
    )

    def validate(module: nn.Module) -> dict[str, float]:
        done = sum(r.get("split") == "valid" for r in read_metrics(out / "metrics.jsonl"))
        losses = by_science(learners, lambda one: held_out_loss(one, config))
        if len(learners) > 1:
            losses["loss"] = float(np.mean([losses[f"{name}/loss"] for name in learners]))
        probed = by_science(learners, lambda one: one.probes.measure(trunk, one.embedder))
        return {"checks": done + 1.0, **losses, **probed}

    names = ", ".join(corpus.name for corpus in corpora.values())
    module, data, collate, lengths = together(config, learners)
    result = fit(
        module, data, train, out=out, collate=collate, lengths=lengths, validate=validate,
        title=f"{config.objective} on {names}",
    )  # fmt: skip
    after = by_science(learners, lambda one: one.probes.measure(trunk, one.embedder))
    if rank_and_world()[0] == 0:
        save(config, learners, trunk, before, after, out)
        report(config, learners, result.history, before, after, out, time.monotonic() - began)


def together(config: Config, learners: dict[str, Learner]) -> tuple[nn.Module, Any, Any, Any]:
    """(module, data set, collate, lengths) to train on: of one science, or of their mixture."""
    sets = {name: parts.Part(one.corpus.dataset, one.training) for name, one in learners.items()}
    if len(learners) == 1:
        ((name, one),) = learners.items()
        all_lengths = one.corpus.lengths
        lengths = None if all_lengths is None else parts.PartOf(all_lengths, one.training)
        return one.objective, sets[name], one.corpus.collate, lengths
    return (
        Mixture({name: one.objective for name, one in learners.items()}),
        MixedDataset(sets, config.temperature),
        MixedCollate({name: one.corpus.collate for name, one in learners.items()}),
        None,
    )


def by_science(
    learners: dict[str, Learner], measure: Callable[[Learner], dict[str, float]]
) -> dict[str, float]:
    """Metrics of every science, named SCIENCE/METRIC where there are several."""
    values: dict[str, float] = {}
    for science, one in learners.items():
        prefix = f"{science}/" if len(learners) > 1 else ""
        values |= {prefix + name: value for name, value in measure(one).items()}
    return values


# --- data ---------------------------------------------------------------------------------------


def readers() -> dict[str, Any]:
    """Every reader by kind and by suffix: those of the sciences, and graphs."""
    by_kind: dict[str, Any] = {"graphs": read_graphs, ".npz": read_graphs}
    for module in READERS:
        by_kind |= importlib.import_module(module).READERS
    return by_kind


def read(config: Config) -> dict[str, Corpus]:
    """The corpora that `data` names, by science.

    Raises:
        InputError: no such file, kind, card or reader; a reader that refuses the file; or two
            corpora of one science.
    """
    corpora: dict[str, Corpus] = {}
    for data in config.data:
        corpus = read_one(data, config.reader)
        science = str(corpus.settings.get("domain", "own"))
        if science in corpora:
            raise InputError(
                f"is a second corpus of {science}", where=data,
                hint="One embedder serves a science: put the files into one folder",
            )  # fmt: skip
        corpora[science] = corpus
    if not corpora:
        raise InputError("needs at least one file or folder", where="data")
    for science in config.embedder_settings:
        if science not in corpora:
            raise unknown("science in `embedder_settings`", science, corpora)
    return corpora


def read_one(data: str, own_reader: str) -> Corpus:
    """The corpus that one entry of `data` names; see `read`."""
    by_kind = readers()
    kind, colon, rest = data.partition(":")
    named = bool(colon) and kind in by_kind and not Path(data).exists()
    path = Path(rest if named else data)
    if not path.exists():
        path = of_card(str(path))
    if own_reader:
        return own.find("reader", own_reader)(path)
    if named:
        return by_kind[kind](path)
    held = suffixes(path)
    fitting = [suffix for suffix in held if suffix in by_kind]
    if not fitting:
        raise InputError(
            f"nothing reads {', '.join(held[:3]) or 'an empty folder'}", where=path,
            hint="Name the kind, as in KIND:PATH; kinds and suffixes: "
            + ", ".join(sorted(by_kind)),
        )  # fmt: skip
    return by_kind[(fitting[0] == ".parquet" and shards.kind(path)) or fitting[0]](path)


def of_card(data: str) -> Path:
    """The folder of a data card's files (or one file), downloaded or embedded."""
    from sciml.data import card as cards
    from sciml.data import fetch

    name, _, file = data.partition("/")
    if name not in cards.names():
        raise InputError(
            "is neither a file, a folder nor a data card", where=data,
            hint="`sciml data list` shows the cards; KIND:PATH names a reader",
        )  # fmt: skip
    card, _ = cards.read(name)
    if card.distribution:
        files = fetch.get(card)
        if not file:
            return files[0] if len(files) == 1 else files[0].parent
        by_name = {path.name: path for path in files}
        if file not in by_name:
            raise unknown("file of the data card", file, by_name, where=name)
        return by_name[file]
    folder = fetch.folder(card) / file
    if not folder.is_dir():
        raise InputError(
            "has not been made on this machine", where=name, hint=f"{card.command} makes it"
        )
    return folder


def split(corpus: Corpus, config: Config) -> tuple[parts.Indices, np.ndarray]:
    """(training, held-out) indices, drawn by the seed."""
    size = len(corpus.dataset)
    count = min(config.max_held_out, max(1, round(config.held_out * size)))
    return parts.split(size, count, config.seed, corpus.name)


# --- network ------------------------------------------------------------------------------------


CAUSAL: dict[str, dict[str, Any]] = {
    "sequence": {"kind": "decoder"}, "pair_transformer": {"causal": True},
}  # fmt: skip
"""Settings with which a trunk does not look ahead."""


def make_trunk(config: Config) -> Any:
    """A new trunk, or the one to continue from."""
    if config.start:
        path = Path(config.start)
        path = path / "trunk" if start.holds_trunk(path) else path
        return trunks.load(path, config.trunk if own.is_own(config.trunk) else None)
    settings = {"dim": config.dim, "pair_dim": config.pair_dim, **config.trunk_settings}
    if config.objective == "next_token":  # anything else would look ahead
        settings = CAUSAL.get(config.trunk, {}) | settings
    return trunks.build(config.trunk, **settings)


def make_embedders(
    config: Config, corpora: dict[str, Corpus], trunk: Any
) -> dict[str, tuple[nn.Module, dict[str, Any]]]:
    """Each science's embedder and the settings that rebuild it; of a folder in `start`, its own."""
    earlier = start.embedders(Path(config.start)) if config.start else {}
    embedders = {}
    for science, corpus in corpora.items():
        make: Any = corpus.embedder
        settings = {k: v for k, v in corpus.settings.items() if k != "domain"}
        more = config.embedder_settings.get(science) or {}
        if science in earlier:
            held = earlier[science].settings
            more = {k: v for k, v in held.items() if settings.get(k) != v} | more
        try:
            embedder = make(trunk.dim, trunk.pair_dim, **more)
        except TypeError as error:
            raise InputError(
                f"the embedder of {science} does not take {', '.join(map(str, more))} ({error})",
                where="embedder_settings",
            ) from None
        if science in earlier:
            load_state(embedder, earlier[science].state, where=earlier[science].path)
        embedders[science] = (embedder, settings | more)
    return embedders


@torch.no_grad()
def held_out_loss(learner: Learner, config: Config) -> dict[str, float]:
    """The objective on held-out examples, with the same random choices every time."""
    torch.manual_seed(config.seed)
    corpus, indices = learner.corpus, learner.held_out
    device = next(learner.objective.parameters()).device
    sums: dict[str, float] = {}
    total = 0.0
    for begin in range(0, len(indices), config.train.batch_size):
        chosen = indices[begin : begin + config.train.batch_size]
        if len(chosen) < 2 <= len(indices):
            continue  # contrastive objectives compare examples
        examples = [corpus.dataset[int(i)] for i in chosen]
        result = learner.objective(move(corpus.collate(examples), device))
        count = float(result.get("count", len(chosen)))
        total += count
        for key, value in result.items():
            if key != "count":
                sums[key] = sums.get(key, 0.0) + float(value) * count
    return {key: value / max(total, 1e-12) for key, value in sums.items()}


# --- what comes out -----------------------------------------------------------------------------


def save(
    config: Config, learners: dict[str, Learner], trunk: Any, before: dict[str, float],
    after: dict[str, float], out: Path,
) -> None:  # fmt: skip
    """OUT/trunk, the embedders (`sciml.trunks.start`), and OUT/pretrained.json: what they were
    made of."""
    embedders = {name: (one.embedder, one.settings) for name, one in learners.items()}
    start.save(out, trunk.cpu(), embedders)
    corpora = {
        name: {"corpus": one.corpus.name, "examples": len(one.corpus.dataset),
               "reader": one.corpus.settings} for name, one in learners.items()
    }  # fmt: skip
    facts = {"config": to_dict(config), "untrained": before, "pretrained": after}
    several = {"corpora": corpora} if len(corpora) > 1 else next(iter(corpora.values()))
    with atomic_write(out / start.FACTS) as temporary:
        temporary.write_text(dumps({**several, **facts}, indent=1, default=str), encoding="utf-8")


RECIPES = {
    "jets": "jet_tagging", "protein": "protein_structure", "symbolic": "symbolic_math",
    "placement": "circuit_placement",
}  # fmt: skip
"""Science -> a recipe that starts from what was pretrained."""


def report(
    config: Config, learners: dict[str, Learner], history: list[dict[str, Any]],
    before: dict[str, float], after: dict[str, float], out: Path, seconds: float,
) -> None:  # fmt: skip
    """report.html: losses, probes and how to use the trunk."""
    corpora = [one.corpus.name for one in learners.values()]
    sizes = [
        f"{len(one.training):,} examples{f' of {name}' if len(learners) > 1 else ''} without "
        f"labels to learn from, {len(one.held_out):,} held out" for name, one in learners.items()
    ]  # fmt: skip
    page = Page(
        f"Pretraining: {config.trunk} by {config.objective} on {', '.join(corpora)}",
        lead="; ".join(sizes) + ".", run=out, seeds=(config.seed,),
    )  # fmt: skip
    page.heading("Loss")
    page.figure(
        shared_plots.learning_curves({"training": [history]}, ylabel="loss"), "Training loss.",
        file="metrics.jsonl",
    )  # fmt: skip
    checks = [r for r in history if r.get("split") == "valid"]
    if checks:
        page.table([{k: v for k, v in r.items() if k not in ("split", "checks")} for r in checks],
                   "Losses on held-out examples; step: optimiser steps.",
                   file="metrics.jsonl")  # fmt: skip
    if after:
        page.heading("Probes of the embeddings")
        rows = [
            {"trunk": name, **values}
            for name, values in (("untrained", before), ("pretrained", after))
        ]
        page.table(rows, "Probes fitted to labelled training examples, scored on held-out ones.",
                   file="pretrained.json")  # fmt: skip
        for key in (key for key in after if key.endswith("linear_auc")):
            page.text(f"The linear probe's AUC ({key}) changed by "
                      f"**{after[key] - before[key]:+.4f}** against the same trunk with random "
                      "weights.")  # fmt: skip
    page.heading("How to use the trunk")
    commands = [f"sciml run {RECIPES[s]} --start {out}" for s in learners if s in RECIPES]
    if commands:
        page.command("\n".join(commands))
    page.text("From Python:")
    page.command(f"from sciml import trunks\ntrunk = trunks.load({str(out / 'trunk')!r})")
    page.heading("How to repeat this")
    page.command(f"sciml run pretrain --config {settings_file(out)} --out {out}-again")
    page.text(f"Took {seconds:.0f} s with {torch.get_num_threads()} threads.")
    page.write(out / "report.html")


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
