"""Protein contacts from alignments: pretrain on generated families, test on real ones, fold.

1. Families are generated: a fold (made, or one of `structures`), a Potts model on its contacts,
   sequences along a tree; thinned versions of them if asked. Their column statistics are kept in
   OUT/features.
2. A network on the shared pair transformer learns distance classes and hidden profiles from them,
   `members` times from different seeds. By further families, thinned to as few as one sequence,
   its probabilities are calibrated.
3. It is compared with couplings on generated families that it has not seen and, with `data`, on
   families with known structures: as it is, and fine-tuned on the families of the other parts.
   Controls: columns shuffled, profiles without couplings, one sequence alone, the trunk left
   random, no pretraining.
4. Chains are folded from the predicted distances.

Writes model.safetensors (for `sciml protein contacts MSA -o FILE --model OUT/model.safetensors`),
metrics.jsonl, scores.json and report.html. Finished parts are not computed again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml.config import Range
from sciml.errors import InputError
from sciml.files import kept
from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.protein.contacts.calibration import (
    Calibration,
    Sample,
    read_samples,
    thinned,
    write_samples,
)
from sciml.protein.contacts.calibration import fit as fit_calibration
from sciml.protein.contacts.contact_potential import contact_potential
from sciml.protein.contacts.embedder import AlignmentEmbedder
from sciml.protein.contacts.evaluation import (
    FamilyFeatures,
    FamilyFiles,
    Predictions,
    by_family,
    contacts_of,
    couplings,
    fold_and_score,
    mean_of,
    predictions_of,
    read_predictions,
    rows_of,
    write_predictions,
)
from sciml.protein.contacts.families import Family, controls, read_families
from sciml.protein.contacts.features import ContactFeatures, contact_features
from sciml.protein.contacts.generated_features import Plan, write_features
from sciml.protein.contacts.network import ContactConfig, ContactNet
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.contacts.synthetic_families import families
from sciml.protein.contacts.topologies import Fold, read_folds
from sciml.protein.contacts.training import (
    ContactExamples,
    ContactLearner,
    as_example,
    collate,
)
from sciml.protein.measure import metrics
from sciml.protein.report import write_report, write_scores
from sciml.train import TrainConfig, fit
from sciml.train.log import Bar, read_metrics
from sciml.trunks.start import Start


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    families: Annotated[int, Range(min=2)] = 144
    """Generated families to learn from [families]."""
    held_out: Annotated[int, Range(min=1)] = 16
    """Generated families to measure on [families]."""
    calibration: Annotated[int, Range(min=0)] = 16
    """Further generated families, thinned to 1, 4, 16, ... sequences, by which the probabilities of
    contacts are calibrated; 0 leaves them as the network gives them [families]."""
    made: Annotated[int, Range(min=0)] = 0
    """Of `families`, how many are on made folds where `structures` are given [families]."""
    thinned: Annotated[int, Range(min=0)] = 0
    """Further versions of each generated family with fewer sequences, to learn from shallow
    alignments, too [versions]."""
    processes: Annotated[int, Range(min=1)] = 1
    """Processes that generate families and compute their statistics [processes]."""
    length: tuple[int, int] = (45, 105)
    """Shortest and longest chain of the generated families [residues]."""
    made_length: tuple[int, int] = (100, 300)
    """Shortest and longest chain of the `made` folds [residues]."""
    depth: tuple[int, int] = (200, 1600)
    """Fewest and most sequences of a generated family [sequences]."""
    structures: Path | None = None
    """Folder of structures to generate families on; without one, folds are made."""
    without: Path | None = None
    """File with the names of structures to leave out, one per line: homologues of test data."""
    seed: int = 1
    """Seed of families, of the first weights and of training."""
    data: Path | None = None
    """Folder of real families: one folder each with an alignment and a structure."""
    model: str = ""
    """Start from this contact model instead of training one (its training is skipped)."""
    start: str = ""
    """Begin training on generated families with what `sciml run pretrain --out FOLDER` wrote: a
    pair transformer that updates its pairs (`pair_update`); its sizes replace those of `net`."""
    members: Annotated[int, Range(min=1)] = 1
    """Networks to train from different seeds; the model is their mean [networks]."""
    net: ContactConfig = ContactConfig()
    """The network."""
    train: TrainConfig = TrainConfig(steps=900, batch_size=2, lr=2e-3, warmup=0.05, ema=0.98)
    """Training on generated families."""
    crop: Annotated[int, Range(min=0)] = 72
    """Columns of the windows that training sees [residues]; 0 = whole chains."""
    folds: Annotated[int, Range(min=0)] = 5
    """Parts that the real families are split into for fine-tuning; 0 does not fine-tune."""
    repeats: Annotated[int, Range(min=1)] = 3
    """Repetitions of the fine-tuning with other splits and seeds."""
    control_repeats: Annotated[int, Range(min=1)] = 3
    """Repetitions of the controls that are trained."""
    finetune: TrainConfig = TrainConfig(steps=60, batch_size=2, lr=5e-4, warmup=0.1)
    """Fine-tuning of the first network on the other parts' families; untrained networks learn at
    `train.lr`."""
    controls: bool = True
    """Also measure controls, which must do worse."""
    fold: Annotated[int, Range(min=0)] = 8
    """Chains to fold from predicted distances [chains]."""


TINY = {
    "families": 4,
    "held_out": 2,
    "calibration": 1,
    "length": (40, 44),
    "depth": (60, 100),
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


def chains_of(config: Config, count: int) -> list[Fold] | None:
    """Structures to generate families on, homologues of test data left out; None: made folds."""
    if config.structures is None:
        return None
    names = config.without.read_text().split("\n") if config.without else []
    return read_folds(
        config.structures,
        length=config.length,
        without=[name.split("\t")[0].strip() for name in names],
        contacts=0.4,
        max_folds=count,
        seed=config.seed,
    )


def generated(config: Config, out: Path) -> tuple[FamilyFiles, FamilyFiles]:
    """Features of the generated families, made where they are missing; read on access.

    Returns:
        the families to learn from, each with its thinned versions, and those to measure on.
    """
    count = config.families + config.held_out
    plan = Plan(
        count,
        chains_of(config, count - config.made),
        config.length,
        config.depth,
        config.seed,
        config.made,
        config.made_length,
        config.thinned,
        config.net.couplings,
    )
    files: list[list[Path]] = []
    with Bar("families", count) as bar:
        for paths in write_features(plan, out, config.processes):
            files.append(paths)
            bar.update(len(files))
    held_out, known = files[: config.held_out], files[config.held_out :]
    every = [path for paths in known for path in paths]
    return FamilyFiles(every), FamilyFiles([paths[0] for paths in held_out])


def real(config: Config, real_families: list[Family], out: Path) -> list[FamilyFeatures]:
    """Features of the real families and of their controls."""
    items: list[FamilyFeatures] = []
    with Bar("real families", len(real_families)) as bar:
        for family in real_families:
            paths = {"": out / f"{family.name}.npz"}
            if config.controls:
                paths |= {name: out / f"{family.name} {name}.npz" for name in controls}
            thin = _thinned(family)
            kinds: dict[str, ContactFeatures] = {}
            for name, path in paths.items():

                def make(path: Path, name: str = name, thin: Family = thin) -> None:
                    alignment = controls[name](thin.alignment) if name else thin.alignment
                    contact_features(alignment, couplings=config.net.couplings).write(path)

                kinds[name] = kept.once(path, ContactFeatures.read, make)[0]
            features = kinds.pop("")
            if config.controls:
                kinds["profiles without couplings"] = features.without_scores()
            items.append(FamilyFeatures(family.name, features, family.distances(), family, kinds))
            bar.update(len(items))
    return items


def _thinned(family: Family, max_rows: int = 4000) -> Family:
    """At most `max_rows` rows: the statistics hardly change, the time does."""
    if family.alignment.depth <= max_rows:
        return family
    rows = np.linspace(0, family.alignment.depth - 1, max_rows).astype(int)
    return replace(family, alignment=family.alignment.select(rows))


class Labelled(Sequence[dict[str, torch.Tensor]]):
    """Families as training examples."""

    def __init__(self, items: Sequence[FamilyFeatures]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        item = self.items[index]
        return as_example(item.features, item.distances)


def train_on(
    net: ContactNet, items: Sequence[FamilyFeatures], config: TrainConfig, out: Path, crop: int
) -> ContactNet:
    """Train a copy of `net` on families."""
    learner = ContactLearner(copy.deepcopy(net))
    lengths = np.array([len(item.features.nodes) for item in items])
    data = ContactExamples(Labelled(items), crop=crop)
    result = fit(learner, data, config, out=out, collate=collate, lengths=lengths)
    return result.module.net  # type: ignore[return-value]


def pretrained(
    config: Config, known: Sequence[FamilyFeatures], out: Path
) -> tuple[list[ContactNet], Any]:
    """The networks, and untrained ones of the same size, enough for every repetition."""
    sizes = first_net(config).config
    untrained = []
    for member in range(max(config.members, config.repeats)):
        torch.manual_seed(config.seed + member)
        untrained.append(ContactNet(sizes))
    if config.model:
        return ContactPredictor.from_pretrained(config.model).nets, untrained
    nets = []
    for member in range(config.members):
        torch.manual_seed(config.seed + member)
        net = first_net(config) if config.start else untrained[member]
        settings = replace(config.train, seed=config.seed + member)
        nets.append(train_on(net, known, settings, out / f"member_{member}", config.crop))
    return nets, untrained


def first_net(config: Config) -> ContactNet:
    """A new network, on the pretrained trunk and embedder where `start` names their folder.

    Raises:
        InputError: `start` is no such folder, or holds what contacts cannot be read from.
    """
    if not config.start:
        return ContactNet(config.net)
    return ContactNet.on(*start_of(config).load(), config.net)


def start_of(config: Config) -> Start:
    """Where the network starts from."""
    return Start("protein", AlignmentEmbedder, config.net.trunk, config.start, own_trunk=None)


def calibrated(config: Config, nets: list[ContactNet], out: Path) -> Calibration | None:
    """Calibration by further families, thinned to few sequences."""
    if not config.calibration:
        return None
    predictor = ContactPredictor(nets)
    chains = chains_of(config, config.families + config.held_out + config.calibration)
    potential = None if chains is None else contact_potential(chains)
    samples: list[Sample] = []
    with Bar("calibration", config.calibration) as bar:
        for number in range(config.calibration):
            fold_of = None if chains is None else [chains[-1 - number % len(chains)]]
            seed = config.seed * 1000 + 500_000 + number

            def make(path: Path, seed: int = seed, on: list[Fold] | None = fold_of) -> None:
                family = families(
                    1, seed, length=config.length, depth=config.depth, folds=on, potential=potential
                )[0]
                distances = metrics.distances(family.cb)
                write_samples(path, [
                    Sample.of(predictor.from_features(one).probability, distances, one.neff)
                    for one in map(predictor.features, thinned(family.alignment, seed))
                ])  # fmt: skip

            samples += kept.once(out / f"{number:04d}.npz", read_samples, make)
            bar.update(number + 1)
    return fit_calibration(samples)


def predictions(
    nets: list[ContactNet] | ContactNet, items: list[FamilyFeatures], path: Path | None = None
) -> Predictions:
    """Distograms of families and of their controls; kept in `path` (.npz) if given."""
    predictor = ContactPredictor(nets)
    if path is None:
        return predictions_of(predictor, items)
    return kept.once(
        path,
        read_predictions,
        lambda file: write_predictions(file, predictions_of(predictor, items)),
    )


def cross_validated(
    items: list[FamilyFeatures],
    nets: list[ContactNet],
    config: Config,
    out: Path,
    *,
    lr: float = 0.0,
    frozen: bool = False,
) -> list[Predictions]:
    """For each repetition: every family predicted by a network fine-tuned on other parts only."""
    runs: list[Predictions] = []
    for repeat in range(config.repeats):
        order = np.random.default_rng([config.seed, repeat]).permutation(len(items))
        run: Predictions = {}
        for part in range(config.folds):
            test = set(order[part :: config.folds].tolist())
            start = copy.deepcopy(nets[repeat % len(nets)])
            if frozen:
                start.trunk.requires_grad_(False)
            known = [item for i, item in enumerate(items) if i not in test]
            settings = replace(
                config.finetune, seed=config.seed + repeat, lr=lr or config.finetune.lr
            )
            folder = out / f"repeat_{repeat}_part_{part}"
            tuned = train_on(start, known, settings, folder, config.crop)
            tested = [items[i] for i in sorted(test)]
            for kind, by_name in predictions(tuned, tested, folder / "predictions.npz").items():
                run.setdefault(kind, {}).update(by_name)
        runs.append(run)
    return runs


def real_families(
    config: Config,
    families: list[Family],
    nets: list[ContactNet],
    untrained: list[ContactNet],
    out: Path,
) -> tuple[list[FamilyFeatures], list[dict[str, Any]], Predictions]:
    """Features of real families, their rows of the table, and predictions of `nets`, to fold."""
    items = real(config, families, out / "features" / "real")
    each = [
        predictions(net, items, out / "predictions" / f"member_{member}.npz")
        for member, net in enumerate(nets)
    ]
    zero = mean_of(each)
    rows = couplings(items)
    rows += rows_of(items, each, "generated families only", with_controls=config.controls)
    if not config.folds:
        return items, rows, zero
    tuned = cross_validated(items, nets[:1], config, out / "finetuned")
    rows += rows_of(items, tuned, "fine-tuned", with_controls=config.controls)
    if config.controls:
        lr, config = config.train.lr, replace(config, repeats=config.control_repeats)
        plain = [replace(item, controls={}) for item in items]
        scratch = cross_validated(plain, untrained, config, out / "no_pretraining", lr=lr)
        rows += rows_of(items, scratch, "no pretraining", with_controls=False)
        frozen = cross_validated(plain, untrained, config, out / "frozen", lr=lr, frozen=True)
        rows += rows_of(items, frozen, "random frozen trunk", with_controls=False)
    with atomic_write(out / "families.json") as temporary:
        temporary.write_text(dumps(by_family(items, zero, mean_of(tuned)), indent=1))
    return items, rows, zero


def folded(
    items: list[FamilyFeatures], run: Predictions, count: int, out: Path
) -> list[dict[str, Any]]:
    """Fold chains and compare with the truth by TM-score; a chain's row is kept in `out`."""
    rows = []
    with Bar("folding", min(count, len(items))) as bar:
        for item in items[:count]:

            def make(path: Path, item: FamilyFeatures = item) -> None:
                kept.write(path, fold_and_score(item, run[""][item.name]))

            rows.append(kept.once(out / f"{item.name}.json", kept.read, make))
            bar.update(len(rows))
    return rows


def main(config: Config, out: Path) -> None:
    if config.net.trunk.pair_update not in ("triangle", "attention", "outer"):
        raise InputError("`net.trunk.pair_update` must not be none: the head reads the pairs")
    first_net(config)  # what cannot be built or read is refused before the work begins
    if config.model and config.start:
        raise InputError("`model` is trained already: give `model` or `start`, not both")
    if config.model:
        ContactPredictor.from_pretrained(config.model)
    known_structures = read_families(config.data) if config.data else []
    known, held_out = generated(config, out / "features" / "generated")
    unseen = list(held_out)
    nets, untrained = pretrained(config, known, out / "pretraining")
    calibration = calibrated(config, nets, out / "calibration")
    ContactPredictor(nets, calibration=calibration).save(out / "model.safetensors")

    chosen = predictions(nets, unseen)
    rows = couplings(unseen)
    rows += rows_of(unseen, [predictions(net, unseen) for net in nets], "network",
                    with_controls=False)  # fmt: skip
    rows += rows_of(unseen, [predictions(untrained[0], unseen)], "network, not trained",
                    with_controls=False)  # fmt: skip
    if config.start:
        scratch = train_on(
            untrained[0], known, replace(config.train, seed=config.seed),
            out / "pretraining" / "scratch", config.crop,
        )  # fmt: skip
        rows += rows_of(unseen, [predictions(scratch, unseen)], "network, from scratch",
                        with_controls=False)  # fmt: skip
    scores: dict[str, list[dict[str, Any]]] = {"generated": rows}

    tested = unseen
    if config.data is not None:
        tested, scores["real"], chosen = real_families(
            config, known_structures, nets, untrained, out
        )
    ca: dict[str, Any] = {}
    if config.fold:
        scores["folded"] = folded(tested, chosen, config.fold, out / "folded")
        ca = {row["family"]: np.array(row.pop("ca")) for row in scores["folded"]}
    write_scores(out, scores)
    records = read_metrics(out / "pretraining" / "member_0" / "metrics.jsonl")
    write_report(
        out,
        scores,
        families=(config.families, config.held_out),
        start=str(start_of(config)) if config.start else "",
        losses=[(r["step"], r["loss"]) for r in records if "loss" in r],
        example=tested[0],
        probability=contacts_of(chosen)(tested[0]),
        ca=ca.get(tested[0].name),
    )


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
