"""Pretrain any trunk with any objective on your own unlabelled files.

    sciml run pretrain --trunk pair_transformer --objective masked --data my_jets/ --out runs/mine

DATA is a file or folder that a science can read (its suffix says which; `jets:FOLDER` names the
reader), the name of a data card, or a folder of .npz graphs. Nothing is read into memory as a
whole unless the file format demands it, and under torchrun each process reads its own share. The
trunk and the objective are named as in the package, by import path (`my_package.objectives:Mine`)
or by file (`my_trunk.py:MyTrunk`): your own code runs where you name it in the command, never where
a settings file or a saved trunk does.

Where examples have labels, a linear probe on held-out examples says every `train.validate_every`
steps what the embeddings are worth; the objective itself never sees a label. Writes OUT/trunk
(every science loads it by that path), OUT/embedder.safetensors, metrics.jsonl and report.html.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn

from sciml import objectives, own, trunks
from sciml.config import Range, to_dict
from sciml.errors import InputError, unknown
from sciml.files import tensors
from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.objectives import probe
from sciml.objectives.base import Examples
from sciml.objectives.corpus import Corpus, suffixes
from sciml.objectives.graphs import read_graphs
from sciml.paths import atomic_write
from sciml.report import Page
from sciml.report import plots as shared_plots
from sciml.train import TrainConfig, fit
from sciml.train.log import read_metrics
from sciml.train.parallel import rank_and_world
from sciml.train.sampler import move

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

    data: str = "jets-sample/train.parquet"
    """File, folder, KIND:PATH, data card or CARD/FILE of a card."""
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
    start: str = ""
    """A saved trunk to go on from, not a new one; where it is your own, `trunk` names it again."""
    objective: Annotated[str, own.CODE] = "masked"
    """Name of the objective; or your own by import path or file, which runs it."""
    objective_settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the objective, as YAML: '{fraction: 0.4}'."""
    held_out: Annotated[float, Range(min=0, max=0.5, exclusive=True)] = 0.1
    """Share of the examples that is never trained on."""
    most_held_out: Annotated[int, Range(min=1)] = 2000
    """Most held-out examples [examples]."""
    probe_examples: Annotated[int, Range(min=0)] = 2000
    """Most labelled training examples that a probe is fitted to [examples]; 0 = no probes."""
    train: TrainConfig = TrainConfig(steps=2000, batch_size=64, lr=1e-3, validate_every=200)
    """Training without labels."""
    seed: int = 0
    """Seed of the split, the weights and the order."""


TINY: dict[str, Any] = {
    "dim": 16,
    "most_held_out": 64,
    "probe_examples": 128,
    "train": {"steps": 8, "batch_size": 16, "log_every": 4, "validate_every": 4},
}


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call goes on where an interrupted one stopped."""
    began = time.monotonic()
    corpus = read(config)
    training, held_out = split(len(corpus.dataset), config)
    torch.manual_seed(config.seed)
    trunk = make_trunk(config)
    embedder = corpus.embedder(trunk.dim, trunk.pair_dim)
    if "name" in config.objective_settings:
        raise InputError("`objective_settings` must not hold `name`: `objective` says which it is")
    settings = {**config.objective_settings, "name": config.objective}
    objective = objectives.build(settings)(trunk, embedder, augment=corpus.augment)
    probes = Probes(config, corpus, training, held_out)
    before = probes.measure(trunk, embedder)

    # An objective whose target moves (MoCo, JEPA) has a loss that cannot be compared over time:
    # the last weights are kept (those of the largest number of checks), not of the lowest loss.
    moving = hasattr(objective, "after_step") and config.train.monitor == "loss"
    train = dataclasses.replace(
        config.train, seed=config.seed, monitor="-checks" if moving else config.train.monitor
    )

    def validate(module: Any) -> dict[str, float]:
        done = sum(r.get("split") == "valid" for r in read_metrics(out / "metrics.jsonl"))
        losses = held_out_loss(module, corpus, held_out, config)
        return {"checks": done + 1.0, **losses, **probes.measure(module.trunk, module.embedder)}

    result = fit(
        objective, Part(corpus.dataset, training), train, out=out, collate=corpus.collate,
        lengths=None if corpus.lengths is None else corpus.lengths[training],
        validate=validate, title=f"{config.objective} on {corpus.name}",
    )  # fmt: skip
    after = probes.measure(trunk, embedder)
    if rank_and_world()[0] == 0:
        save(config, corpus, trunk, embedder, before, after, out)
        report(config, corpus, result.history, before, after, len(training), len(held_out), out,
               time.monotonic() - began)  # fmt: skip


# --- data ---------------------------------------------------------------------------------------


def readers() -> dict[str, Any]:
    """Every reader by kind and by suffix: those of the sciences, and graphs."""
    found: dict[str, Any] = {"graphs": read_graphs, ".npz": read_graphs}
    for module in READERS:
        found |= importlib.import_module(module).READERS
    return found


def read(config: Config) -> Corpus:
    """The corpus that `data` names.

    Raises:
        InputError: no such file, kind, card or reader; or a reader that refuses the file.
    """
    data = config.data
    known = readers()
    kind, colon, rest = data.partition(":")
    if colon and kind in known and not Path(data).exists():
        data, reader = rest, known[kind]
    else:
        reader = None
    path = Path(data)
    if not path.exists():
        path = of_card(data)
    if config.reader:
        return own.find("reader", config.reader)(path)
    if reader is None:
        held = suffixes(path)
        fitting = [s for s in held if s in known]
        if not fitting:
            raise InputError(
                f"nothing reads {', '.join(held[:3]) or 'an empty folder'}", where=path,
                hint="Name the kind, as in KIND:PATH; kinds and suffixes: "
                + ", ".join(sorted(known)),
            )  # fmt: skip
        reader = known[fitting[0]]
    return reader(path)


def of_card(data: str) -> Path:
    """The folder of a data card's files (or one file), downloaded or embedded."""
    from sciml.data import card as cards
    from sciml.data import fetch

    name, _, wanted = data.partition("/")
    if name not in cards.names():
        raise InputError(
            "is neither a file, a folder nor a data card", where=data,
            hint="`sciml data list` shows the cards; KIND:PATH names a reader",
        )  # fmt: skip
    card, _ = cards.read(name)
    if card.distribution:
        files = fetch.get(card)
        if not wanted:
            return files[0] if len(files) == 1 else files[0].parent
        by_name = {path.name: path for path in files}
        if wanted not in by_name:
            raise unknown("file of the data card", wanted, by_name, where=name)
        return by_name[wanted]
    folder = fetch.folder(card) / wanted
    if not folder.is_dir():
        raise InputError(
            "has not been made on this machine", where=name, hint=f"{card.command} makes it"
        )
    return folder


def split(size: int, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """(training, held-out) indices, drawn by the seed."""
    count = min(config.most_held_out, max(1, round(config.held_out * size)))
    if count >= size:
        raise InputError(f"needs at least 2 examples, got {size}", where=config.data)
    order = np.random.default_rng(config.seed).permutation(size)
    return np.sort(order[count:]), np.sort(order[:count])


class Part(Sequence):
    """Some examples of a data set."""

    def __init__(self, dataset: Examples, indices: np.ndarray) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: Any) -> Any:
        return self.dataset[int(self.indices[i])]


# --- network ------------------------------------------------------------------------------------


CAUSAL: dict[str, dict[str, Any]] = {
    "sequence": {"kind": "decoder"}, "pair_transformer": {"causal": True},
}  # fmt: skip
"""Settings with which a trunk does not look ahead."""


def make_trunk(config: Config) -> Any:
    """A new trunk, or the one to go on from."""
    if config.start:
        return trunks.load(config.start, config.trunk if own.is_own(config.trunk) else None)
    settings = {"dim": config.dim, "pair_dim": config.pair_dim, **config.trunk_settings}
    if config.objective == "next_token":  # anything else would look ahead
        settings = CAUSAL.get(config.trunk, {}) | settings
    return trunks.build(config.trunk, **settings)


@torch.no_grad()
def held_out_loss(
    module: nn.Module, corpus: Corpus, indices: np.ndarray, config: Config
) -> dict[str, float]:
    """The objective on held-out examples, with the same random choices every time."""
    torch.manual_seed(config.seed)
    device = next(module.parameters()).device
    sums: dict[str, float] = {}
    total = 0.0
    for start in range(0, len(indices), config.train.batch_size):
        chosen = indices[start : start + config.train.batch_size]
        if len(chosen) < 2 <= len(indices):
            continue  # contrastive objectives compare examples
        result = module(move(corpus.collate([corpus.dataset[int(i)] for i in chosen]), device))
        count = float(result.get("count", len(chosen)))
        total += count
        for key, value in result.items():
            if key != "count":
                sums[key] = sums.get(key, 0.0) + float(value) * count
    return {key: value / max(total, 1e-12) for key, value in sums.items()}


class Probes:
    """Linear and nearest-neighbour probes on held-out examples, where there are labels."""

    def __init__(
        self, config: Config, corpus: Corpus, training: np.ndarray, held_out: np.ndarray
    ) -> None:
        self.corpus, self.ready = corpus, False
        if corpus.labels is None or not config.probe_examples:
            return
        labels = corpus.labels
        known = training[labels[training] >= 0]
        order = np.random.default_rng(config.seed).permutation(len(known))
        self.fit_on = known[order[: config.probe_examples]]
        self.test_on = held_out[labels[held_out] >= 0]
        classes = np.unique(labels[self.fit_on])
        self.test_on = self.test_on[np.isin(labels[self.test_on], classes)]
        self.ready = len(classes) > 1 and len(self.test_on) > 0 and len(self.fit_on) >= 10

    def measure(self, trunk: Any, embedder: nn.Module) -> dict[str, float]:
        """Accuracy and AUC of both probes; nothing where there are too few labels."""
        if not self.ready:
            return {}
        values = {}
        for name, indices in (("fit", self.fit_on), ("test", self.test_on)):
            values[name] = probe.embed(
                trunk, embedder, self.corpus.dataset, self.corpus.collate, indices=indices
            )
        fit_labels, test_labels = (
            torch.as_tensor(self.corpus.labels[indices], dtype=torch.int64)  # type: ignore[index]
            for indices in (self.fit_on, self.test_on)
        )
        return probe.probe(values["fit"], fit_labels, values["test"], test_labels)


# --- what comes out -----------------------------------------------------------------------------


def save(
    config: Config, corpus: Corpus, trunk: Any, embedder: nn.Module, before: dict[str, float],
    after: dict[str, float], out: Path,
) -> None:  # fmt: skip
    """OUT/trunk, OUT/embedder.safetensors and what they were made of, OUT/pretrained.json."""
    trunks.save(trunk.cpu(), out / "trunk")
    tensors.write(out / "embedder.safetensors", embedder.state_dict())
    facts = {"corpus": corpus.name, "examples": len(corpus.dataset), "reader": corpus.settings,
             "config": to_dict(config), "untrained": before, "pretrained": after}  # fmt: skip
    with atomic_write(out / "pretrained.json") as temporary:
        temporary.write_text(dumps(facts, indent=1, default=str), encoding="utf-8")


def report(
    config: Config, corpus: Corpus, history: list[dict[str, Any]], before: dict[str, float],
    after: dict[str, float], trained: int, held_out: int, out: Path, seconds: float,
) -> None:  # fmt: skip
    """report.html: losses, probes and how to use the trunk."""
    page = Page(
        f"Pretraining: {config.trunk} by {config.objective} on {corpus.name}",
        lead=f"{trained:,} examples without labels to learn from, {held_out:,} held out.",
    )
    page.heading("Loss")
    page.figure(shared_plots.learning_curves({"training": [history]}, ylabel="loss"))
    checks = [r for r in history if r.get("split") == "valid"]
    if checks:
        page.table([{k: v for k, v in r.items() if k not in ("split", "checks")} for r in checks],
                   "Held-out examples; step counts optimiser steps.")  # fmt: skip
    if after:
        page.heading("What the embeddings are worth")
        rows = [
            {"trunk": name, **values}
            for name, values in (("untrained", before), ("pretrained", after))
        ]
        page.table(rows, "Probes fitted to labelled training examples, scored on held-out ones.")
        gain = after["linear_auc"] - before["linear_auc"]
        page.text(f"The linear probe's AUC changed by **{gain:+.4f}** against the same trunk "
                  "with random weights.")  # fmt: skip
    page.heading("Use it")
    page.text("Every science loads the trunk by its path; from Python:")
    page.command(f"from sciml import trunks\ntrunk = trunks.load({str(out / 'trunk')!r})")
    page.heading("Again")
    page.command(f"sciml run pretrain --config {settings_file(out)} --out {out}-again")
    page.text(f"Took {seconds:.0f} s with {torch.get_num_threads()} threads.")
    page.write(out / "report.html")


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
