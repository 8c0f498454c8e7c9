"""Protein contacts from alignments: pretrain on generated families, test on real ones, fold.

1. Families are generated: a fold (made, or one of `structures`), a Potts model on its contacts,
   sequences along a tree. Their column statistics are kept in OUT/features.
2. A network on the shared pair transformer learns distance classes and hidden profiles from them,
   `members` times from different seeds. By further families, thinned to as few as one sequence,
   its probabilities are calibrated.
3. It is compared with couplings on generated families that it has not seen and, with `data`, on
   families with known structures: as it is, and fine-tuned on the families of the other parts.
   Controls: columns shuffled, profiles without couplings, one sequence alone, the trunk left
   random, no pretraining.
4. Chains are folded from the predicted distances.

Writes model.safetensors (for `sciml protein contacts MSA -o FILE --model OUT/model.safetensors`),
metrics.jsonl, scores.json and report.html. What is done is not done again.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sciml.config import Range
from sciml.errors import InputError
from sciml.files import kept
from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.protein import report
from sciml.protein.contacts.calibration import (
    Calibration,
    Sample,
    read_samples,
    thinned,
    write_samples,
)
from sciml.protein.contacts.calibration import fit as fit_calibration
from sciml.protein.contacts.coarse_model import fold
from sciml.protein.contacts.embedder import AlignmentEmbedder
from sciml.protein.contacts.evaluation import (
    Item,
    Predictions,
    by_family,
    contacts_of,
    couplings,
    mean_of,
    rows_of,
)
from sciml.protein.contacts.families import Family, controls, read_families
from sciml.protein.contacts.features import ContactFeatures, contact_features
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
from sciml.report import Page, literal
from sciml.report import plots as shared_plots
from sciml.train import TrainConfig, fit
from sciml.train.log import Bar, read_metrics
from sciml.trunks.start import Start

GROUP = 16


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
    length: tuple[int, int] = (45, 105)
    """Shortest and longest chain of the generated families [residues]."""
    depth: tuple[int, int] = (200, 1600)
    """Fewest and most sequences of a generated family [sequences]."""
    structures: Path | None = None
    """Folder of structures to generate families on; without one, folds are made."""
    without: Path | None = None
    """File of names, one a line, of structures to leave out: homologues of test data."""
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
    """Also measure what must do worse."""
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


def generated(config: Config, out: Path) -> list[Item]:
    """Features of the generated families, made where they are not there yet."""
    count = config.families + config.held_out
    chains = chains_of(config, count)
    group = GROUP if chains is None else 1  # made folds are cheaper together
    items: list[Item] = []
    with Bar("families", count) as bar:
        for start in range(0, count, group):
            size = min(group, count - start)
            made: list[Any] = []

            def make(path: Path, k: int, start: int = start, made: list[Any] = made) -> None:
                if not made:
                    made += families(
                        min(group, count - start),
                        config.seed * 1000 + start,
                        length=config.length,
                        depth=config.depth,
                        folds=None if chains is None else [chains[start % len(chains)]],
                    )
                contact_features(made[k].alignment).write(path, made[k].cb)

            for k in range(size):
                path = out / f"{start + k:04d}.npz"
                features, cb = kept.once(path, ContactFeatures.read, partial(make, k=k))
                items.append(Item(path.stem, features, metrics.distances(cb)))
            bar.update(len(items))
    return items


def real(config: Config, found: list[Family], out: Path) -> list[Item]:
    """Features of the real families and of their controls."""
    items: list[Item] = []
    with Bar("real families", len(found)) as bar:
        for family in found:
            paths = {"": out / f"{family.name}.npz"}
            if config.controls:
                paths |= {name: out / f"{family.name} {name}.npz" for name in controls}
            thin = _thinned(family)
            kinds: dict[str, ContactFeatures] = {}
            for name, path in paths.items():

                def make(path: Path, name: str = name, thin: Family = thin) -> None:
                    alignment = controls[name](thin.alignment) if name else thin.alignment
                    contact_features(alignment).write(path)

                kinds[name] = kept.once(path, ContactFeatures.read, make)[0]
            features = kinds.pop("")
            if config.controls:
                kinds["profiles without couplings"] = features.without_scores()
            items.append(Item(family.name, features, family.distances(), family, kinds))
            bar.update(len(items))
    return items


def _thinned(family: Family, most: int = 4000) -> Family:
    """At most `most` rows: the statistics hardly change, the time does."""
    if family.alignment.depth <= most:
        return family
    rows = np.linspace(0, family.alignment.depth - 1, most).astype(int)
    return replace(family, alignment=family.alignment.select(rows))


def train_on(
    net: ContactNet, items: list[Item], config: TrainConfig, out: Path, crop: int
) -> ContactNet:
    """Train a copy of `net` on families."""
    learner = ContactLearner(copy.deepcopy(net))
    examples = [as_example(item.features, item.distances) for item in items]
    lengths = np.array([len(item.features.nodes) for item in items])
    data = ContactExamples(examples, crop=crop)
    result = fit(learner, data, config, out=out, collate=collate, lengths=lengths)
    return result.module.net  # type: ignore[return-value]


def pretrained(config: Config, known: list[Item], out: Path) -> tuple[list[ContactNet], Any]:
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
    return Start("protein", AlignmentEmbedder, config.net.trunk, config.start)


def calibrated(config: Config, nets: list[ContactNet], out: Path) -> Calibration | None:
    """How far the networks can be trusted, by families of their own thinned to few sequences."""
    if not config.calibration:
        return None
    predictor = ContactPredictor(nets)
    chains = chains_of(config, config.families + config.held_out + config.calibration)
    samples: list[Sample] = []
    with Bar("calibration", config.calibration) as bar:
        for number in range(config.calibration):
            fold_of = None if chains is None else [chains[-1 - number % len(chains)]]
            seed = config.seed * 1000 + 500_000 + number

            def make(path: Path, seed: int = seed, on: list[Fold] | None = fold_of) -> None:
                family = families(1, seed, length=config.length, depth=config.depth, folds=on)[0]
                distances = metrics.distances(family.cb)
                found = map(contact_features, thinned(family.alignment, seed))
                write_samples(path, [
                    Sample.of(predictor.from_features(one).probability, distances, one.neff)
                    for one in found
                ])  # fmt: skip

            samples += kept.once(out / f"{number:04d}.npz", read_samples, make)
            bar.update(number + 1)
    return fit_calibration(samples)


def predictions(
    nets: list[ContactNet] | ContactNet, items: list[Item], path: Path | None = None
) -> Predictions:
    """What networks say of families, and of their controls; kept in `path` (.npz) if given."""

    def predict() -> Predictions:
        predictor = ContactPredictor(nets)
        found: Predictions = {}
        for item in items:
            for kind, features in {"": item.features, **item.controls}.items():
                classes = predictor.from_features(features).distogram
                found.setdefault(kind, {})[item.name] = classes.astype(np.float32)
        return found

    def make(path: Path) -> None:
        with atomic_write(path) as temporary, open(temporary, "wb") as stream:
            arrays = {
                f"{kind}|{name}": classes.astype(np.float16)
                for kind, by_name in predict().items()
                for name, classes in by_name.items()
            }
            np.savez(stream, **arrays)  # type: ignore[arg-type]

    def read(path: Path) -> Predictions:
        with np.load(path) as file:
            keys = [(name, *name.split("|")) for name in file.files]
            found: Predictions = {kind: {} for _, kind, _ in keys}
            for key, kind, family in keys:
                found[kind][family] = file[key].astype(np.float32)
        return found

    return predict() if path is None else kept.once(path, read, make)


def cross_validated(
    items: list[Item],
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
            place = out / f"repeat_{repeat}_part_{part}"
            tuned = train_on(start, known, settings, place, config.crop)
            tested = [items[i] for i in sorted(test)]
            for kind, by_name in predictions(tuned, tested, place / "predictions.npz").items():
                run.setdefault(kind, {}).update(by_name)
        runs.append(run)
    return runs


def real_families(
    config: Config,
    found: list[Family],
    nets: list[ContactNet],
    untrained: list[ContactNet],
    out: Path,
) -> tuple[list[Item], list[dict[str, Any]], Predictions]:
    """What is measured on real families, and the predictions without fine-tuning, to fold."""
    items = real(config, found, out / "features" / "real")
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


def folded(items: list[Item], run: Predictions, count: int, out: Path) -> list[dict[str, Any]]:
    """Fold chains and compare with the truth by TM-score; a chain's row is kept in `out`."""
    rows = []
    with Bar("folding", min(count, len(items))) as bar:
        for item in items[:count]:

            def make(path: Path, item: Item = item) -> None:
                kept.write(path, _fold(item, run[""][item.name]))

            rows.append(kept.once(out / f"{item.name}.json", kept.read, make))
            bar.update(len(rows))
    return rows


def _fold(item: Item, distances: np.ndarray) -> dict[str, Any]:
    """Fold one chain; scores of the model and of its mirror image, where the truth is known.

    "TM-score" compares every residue with itself, "TM-align" (tmtools) those that lie best.
    """
    if item.family is None:
        model = fold(distances, starts=2, steps=200)
        ca = np.round(model.ca, 2).tolist()
        return {"family": item.name, "residues": len(ca), "TM-score": None, "ca": ca}
    order = np.argsort(item.family.column)
    columns = item.family.column[order]
    model = fold(distances[np.ix_(columns, columns)], starts=2, steps=200)
    truth = item.family.ca[order]
    mirrored = model.ca * np.array([1.0, 1.0, -1.0])
    return {
        "family": item.name,
        "residues": len(model.ca),
        "TM-score": round(metrics.tm_score(model.ca, truth), 3),
        "TM-align": round(metrics.tm_score(model.ca, truth, aligned=False), 3),
        "mirror image": round(metrics.tm_score(mirrored, truth), 3),
        "ca": np.round(model.ca, 2).tolist(),
    }


def main(config: Config, out: Path) -> None:
    if config.net.trunk.pair_update not in ("triangle", "attention", "outer"):
        raise InputError("`net.trunk.pair_update` must not be none: the head reads the pairs")
    first_net(config)  # what cannot be built or read is refused before the work begins
    if config.model and config.start:
        raise InputError("`model` is trained already: give `model` or `start`, not both")
    if config.model:
        ContactPredictor.from_pretrained(config.model)
    known_structures = read_families(config.data) if config.data else []
    items = generated(config, out / "features" / "generated")
    known, unseen = items[config.held_out :], items[: config.held_out]
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
    scores: dict[str, Any] = {"generated": rows}
    page = Page(
        "Protein contacts from alignments",
        lead=f"A network pretrained on {len(known)} generated families, "
        f"measured on {len(unseen)} others" + (" and on real families." if config.data else "."),
    )
    if config.start:
        page.text(f"Started from: {literal(str(start_of(config)))}.")
    page.heading("Generated families")
    page.table(
        rows,
        "Long-range contacts (24 residues apart or more, CB closer than 8 A); "
        "spread: one standard deviation over networks; families: where the mean lies in 19 "
        "of 20 draws of as many families",
    )
    records = read_metrics(out / "pretraining" / "member_0" / "metrics.jsonl")
    if losses := [(r["step"], r["loss"]) for r in records if "loss" in r]:
        page.figure(_curve(losses), "Training loss")

    tested = unseen
    if config.data is not None:
        tested, scores["real"], chosen = real_families(
            config, known_structures, nets, untrained, out
        )
        page.heading("Real families")
        page.table(scores["real"], "Long-range contacts; every family measured by a network that "
                   "has not seen it")  # fmt: skip
    if config.fold:
        models = folded(tested, chosen, config.fold, out / "folded")
        traces = {line["family"]: line.pop("ca", None) for line in models}
        scores["folded"] = models
        if config.data is not None:
            page.heading("Coarse models")
            found, aligned = ([line[k] for line in models] for k in ("TM-score", "TM-align"))
            page.text(
                f"Mean TM-score {np.mean(found):.3f} ({min(found):.3f} to {max(found):.3f}), each "
                f"residue compared with itself; as TM-align matches them {np.mean(aligned):.3f}."
            )
            page.table(models)
    first = tested[0]
    page.heading(f"Example: {first.name}")
    if config.fold and traces[first.name] is not None:
        page.text("A coarse model from the predicted distances (drag to turn it); its fold may be "
                  "right, its details are not.")  # fmt: skip
        ca = np.array(traces[first.name])
        page.html(report.viewer(ca, report.chain_colours(len(ca)), first.name))
    truth = np.nan_to_num(first.distances, nan=99.0) < metrics.CONTACT_DISTANCE
    page.figure(report.contact_figure(contacts_of(chosen)(first), truth), "Contacts of one family")
    page.heading("Again")
    page.command(f"sciml run protein_structure --config {settings_file(out)} --out {out}-again")
    page.command("sciml protein contacts MSA.a3m --model OUT/model.safetensors -o contacts.tsv")
    with atomic_write(out / "scores.json") as temporary:
        temporary.write_text(dumps(scores, indent=1), encoding="utf-8")
    with atomic_write(out / "metrics.jsonl") as temporary:
        lines = [{"part": part, **line} for part in scores for line in scores[part]]
        text = "".join(dumps(line) + "\n" for line in lines if line["part"] != "folded")
        temporary.write_text(text, encoding="utf-8")
    page.write(out / "report.html")


def _curve(losses: list[tuple[int, float]]) -> Any:
    figure, axis = shared_plots.axes(6.0, 3.0)
    axis.plot([step for step, _ in losses], [loss for _, loss in losses])
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    return figure


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
