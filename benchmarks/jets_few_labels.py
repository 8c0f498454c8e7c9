"""Jets with few labels, and jets of another simulation: two tables over three seeds.

    python benchmarks/jets_few_labels.py --table labels --data train.parquet --test test.parquet \
        --related other_classes.parquet
    python benchmarks/jets_few_labels.py --table shift --data source.parquet \
        --target target.parquet --test target_test.parquet

labels: 0.1, 1, 3, 10 and 100 % of the labels of `--jets` jets; the same small network from scratch,
after pretraining on jets without labels (`--candidates`), and after supervised training on other
classes (`--related`); boosted trees on observables of the jet stand beside them. For each start the
best of the learning rates (`--rates`) and times (`--longer`) is taken: by 2,000 further labelled
jets (validation) after training with 1 %. All train on other views of the jets. What was pretrained
starts with a linear probe as its head (`fit_head`). A seed is one of everything: pretraining,
labels, weights, order. Pretrained weights are saved in FILE.starts/.

With `--views` (`sciml data make jets --views 2`, never with labels) SimCLR compares the jets of a
hard-scatter event, or the targets are the observables of the other jet. At the label budgets of
`--taught` Noisy Student is added: an ensemble of three networks from scratch and boosted trees
gives pseudo-labels, shared by the jets of an event, and a student learns from these and from the
labels. As a control, a student with a pseudo-label for each jet on its own.

shift: labels in the source (Pythia's shower, JetClass's detector) and none in the target (Vincia, a
shifted detector: `sciml data make jets --shower vincia --detector shifted`), with the same mix of
classes; source only, source with randomised detectors, domain-adversarial, Noisy Student, and an
oracle with the target's labels. All take the same number of steps, the student's teacher as many
again. A teacher of short training is not confident, so the student learns from the most confident
jets of each class, half of the target in all, whatever their confidence.

Measured on held-out jets: the mean over classes of the AUC against QCD. Each row is written at
once, and rows in the file are not repeated. Writes FILE.json, FILE.md.
"""

from __future__ import annotations

import argparse
import copy
import functools
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from scipy.stats import ttest_ind
from torch import nn

from sciml import objectives, trunks
from sciml.jets import metrics
from sciml.jets.data.columns import HARD_EVENT
from sciml.jets.data.sample import JetSample
from sciml.jets.learning.baselines import BoostedTrees, observables_of
from sciml.jets.learning.student import student
from sciml.jets.learning.views import Views, augment, other_detector
from sciml.jets.learning.views import collate as collate_views
from sciml.jets.networks.classifier import TrunkNetwork
from sciml.jets.networks.embedder import JetEmbedder, collate
from sciml.jets.tagger import JetTagger
from sciml.objectives.adversarial import AdversarialConfig, DomainAdversarial
from sciml.objectives.probe import fit_head
from sciml.objectives.self_training import Joined
from sciml.objectives.supervised import Supervised, SupervisedConfig
from sciml.paths import atomic_write
from sciml.report import markdown
from sciml.train import TrainConfig, fit

HERE = Path(__file__).parent
TRUNK = {
    "name": "pair_transformer", "dim": 32, "pair_dim": 4, "depth": 2, "heads": 4,
    "bias_hidden": 16, "symmetric_pairs": True, "class_depth": 1,
}  # fmt: skip
FRACTIONS = (0.001, 0.01, 0.03, 0.1, 1.0)
"""Shares of the labels."""
STEPS = {20: 60, 200: 150, 600: 200, 2_000: 300, 20_000: 450}
"""Labelled jets, and the steps of 64 jets that are trained with them; `--longer` times as many."""
SHIFT = 300
CANDIDATES = {
    "masked": "masked", "simclr": "simclr",
    "observables": "sciml.jets.learning.objectives:JetObservables",
    "simclr of views": {"name": "simclr", "temperature": 0.1},
    "observables of views": "sciml.jets.learning.objectives:JetObservables",
}  # fmt: skip
TEACHERS = 3
"""Networks of a committee."""
RATES = (1e-3, 2e-3)
VALIDATION = 2000


def new_parts(seed: int, start: Any = None) -> tuple[Any, Any]:
    """A trunk and its embedder: copies of trained ones, or fresh ones."""
    torch.manual_seed(seed)
    if start is not None:
        return copy.deepcopy(start[0]), copy.deepcopy(start[1])
    trunk = trunks.build(TRUNK)
    return trunk, JetEmbedder(trunk.dim, trunk.pair_dim)


def train(
    objective: nn.Module, data: Any, lengths: np.ndarray, steps: int, seed: int,
    join: Any = collate, rate: float = 2e-3,
) -> None:  # fmt: skip
    """Train in place."""
    settings = TrainConfig(
        steps=steps, batch_size=64, lr=rate, warmup=0.1, weight_decay=0.01, seed=seed,
        checkpoint_every=steps, log_every=steps,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        fit(objective, data, settings, out=Path(folder), collate=join, lengths=lengths)


def supervised(
    data: JetSample, steps: int, seed: int, start: Any = None, rate: float = 2e-3, noise: Any = None
) -> Any:
    """A classifier of the jets' classes."""
    config = SupervisedConfig(outputs=len(data.classes))
    model = Supervised(*new_parts(seed, start), config, augment=noise)
    if start is not None:
        fit_head(model, data, collate, torch.from_numpy(data.y))
    train(model, data, data.lengths, steps, seed, rate=rate)
    return model


def measure(made: Any, test: JetSample) -> dict[str, float]:
    """Mean AUC against QCD, and accuracy, of a model or of scores [n, classes]."""
    scores = made if isinstance(made, np.ndarray) else answers(made, test)
    values: dict[str, Any] = metrics.evaluate(scores, test.y, test.classes, bootstraps=2)
    areas = [float(values[f"auc_{n}"]) for n in test.classes if f"auc_{n}" in values]
    return {"mean_auc": float(np.mean(areas)), "accuracy": float(values["accuracy"])}


def shuffled(sample: JetSample, count: int, seed: int) -> JetSample:
    """`count` jets of a sample."""
    order = np.random.default_rng(seed).permutation(len(sample))
    return sample.subset(order[:count])


class Rows:
    """Rows on disk; a row in the file is not repeated."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        done = {"validation": old.get("validation", {}), "rows": old.get("rows", [])}
        self.content = {**settings, **done}

    def add(self, key: dict[str, Any], test: JetSample, make: Callable[[], Any]) -> None:
        """Train, measure and write the row `key`, unless it is in the file."""
        if any(key.items() <= row.items() for row in self.content["rows"]):
            return
        began = time.process_time()
        row = key | measure(make(), test) | {"cpu_seconds": round(time.process_time() - began, 1)}
        print(json.dumps(row), flush=True)
        self.content["rows"].append(row)
        self.content["date"] = date.today().isoformat()
        self.path.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")

    def scores(self, down: str, name: str, method: str) -> np.ndarray:
        """Mean AUC of one cell, per seed."""
        rows = self.content["rows"]
        return np.array([r["mean_auc"] for r in rows if r[down] == name and r["method"] == method])

    def table(self, down: str) -> str:
        """A Markdown table of the mean AUC: mean and standard deviation over seeds, and whether
        Welch's t-test finds a difference from the first method at 5 %."""
        rows = self.content["rows"]
        heads = list(dict.fromkeys(row["method"] for row in rows))
        lines = []
        for name in sorted({row[down] for row in rows}, key=share_of):
            first, cells = self.scores(down, name, heads[0]), []
            for head in heads:
                scores = self.scores(down, name, head)
                if not len(scores):
                    cells.append("")
                    continue
                text = f"{scores.mean():.4f} ± {scores.std(ddof=min(1, len(scores) - 1)):.4f}"
                if head != heads[0] and min(len(scores), len(first)) > 1:
                    significant = ttest_ind(scores, first, equal_var=False).pvalue < 0.05
                    better = "better" if scores.mean() > first.mean() else "worse"
                    text += f" ({better})" if significant else " (no difference)"
                cells.append(text)
            lines.append([name, *cells])
        return markdown.table([down, *heads], lines)


def share_of(name: str) -> float:
    """The number in a name like "1 % (980)"; 0 without one."""
    number = name.split(" %")[0]
    return float(number) if number.replace(".", "").isdigit() else 0.0


def worth(rows: Rows, share: str = "1 %") -> str:
    """Number of labels that scratch needs to reach the other methods with few labels."""
    names = sorted({row["labels"] for row in rows.content["rows"]}, key=share_of)
    methods = dict.fromkeys(row["method"] for row in rows.content["rows"])
    few = next((name for name in names if name.startswith(f"{share} ")), names[0])
    lines = []
    for way in methods:
        scores = rows.scores("labels", few, way)
        if way == "scratch" or not len(scores):
            continue
        below = [n for n in names if rows.scores("labels", n, "scratch").mean() < scores.mean()]
        above = [name for name in names if name not in below]
        bounds = [f"more than {n}" for n in below[-1:]] + [f"at most {n}" for n in above[:1]]
        lines.append(f"- {way}: {' and '.join(bounds)}")
    return (
        f"What each reaches with {few} of the labels, scratch needs so many for:\n\n"
        + "\n".join(lines)
    )


def steps_with(labels: int, longer: float) -> int:
    """Steps of training with so many labels: between those of `STEPS`, by the logarithm."""
    return round(longer * np.interp(np.log(labels), np.log(list(STEPS)), list(STEPS.values())))


def draws(
    pool: JetSample, seed: int, fractions: Sequence[float]
) -> Iterator[tuple[str, JetSample]]:
    """(name of the share, labelled jets) of every row, for one seed."""
    for fraction in fractions:
        chosen = shuffled(pool, max(12, round(fraction * len(pool))), 1000 + seed)
        yield f"{100 * fraction:g} % ({len(chosen)})", chosen


def tree_rows(
    pool: JetSample, test: JetSample, seed: int, fractions: Sequence[float], rows: Rows
) -> None:
    """Boosted trees on the same observables, with the same labels."""
    values = observables_of(test)
    for labels, chosen in draws(pool, seed, fractions):

        def scores(chosen: JetSample = chosen) -> np.ndarray:
            trees = BoostedTrees(len(pool.classes), seed).fit(observables_of(chosen), chosen.y)
            return trees.predict(values)

        rows.add({"labels": labels, "method": "boosted trees", "seed": seed}, test, scores)


def answers(model: Any, jets: JetSample) -> np.ndarray:
    """Probabilities [n, classes] of a classifier, without noise."""
    network = TrunkNetwork(model.embedder, model.trunk, model.head)
    return JetTagger(network, jets.classes).eval().predict(jets).probabilities


def taught(
    labelled: JetSample, unlabelled: JetSample, scores: np.ndarray, steps: int, seed: int, *,
    start: Any = None, rate: float = 2e-3, noise: Any = other_detector, **choice: Any,
) -> Any:  # fmt: skip
    """A student that starts in some way; see `student` for `choice`."""
    config = SupervisedConfig(outputs=len(labelled.classes))
    network = Supervised(*new_parts(seed, start), config, augment=noise)

    def learn(model: Any, data: Any, lengths: np.ndarray, join: Any) -> None:
        train(model, data, lengths, steps, seed, join, rate)

    return student(network, labelled, unlabelled, scores, learn, **choice)


def student_of_itself(
    source: JetSample, target: JetSample, steps: int, seed: int, per_class: int
) -> Any:
    """A student of pseudo-labels of the target by a network trained on the source."""
    pseudo_labels = answers(supervised(source, steps, seed), target)
    return taught(source, target, pseudo_labels, steps, seed, per_class=per_class)


def labels_table(options: argparse.Namespace, rows: Rows) -> None:
    """Fractions of the labels."""
    everything = shuffled(JetSample.read(options.data), options.jets + VALIDATION, 0)
    pool = everything.subset(range(options.jets))
    validation = everything.subset(range(options.jets, len(everything)))
    test = shuffled(JetSample.read(options.test, classes=pool.classes), options.test_jets, 0)
    few = shuffled(pool, round(0.01 * len(pool)), 99)
    pairs, event_ids = cast(JetSample, None), np.zeros(0)
    if options.views:
        pairs = JetSample.read(options.views, classes=pool.classes, columns=[HARD_EVENT])
        event_ids = pairs.column(HARD_EVENT)
    made: dict[tuple[str, int], Any] = {}

    def start(name: str, seed: int) -> Any:
        """The trunk and embedder that a way to start gives."""
        if name != "scratch" and (name, seed) not in made:
            file = rows.path.with_suffix(".starts") / f"{name.replace(' ', '-')}-{seed}.pt"
            parts = nn.ModuleList(new_parts(seed))
            if file.exists():
                parts.load_state_dict(torch.load(file, weights_only=True))
            else:
                pretrain(name, parts, seed)
                file.parent.mkdir(exist_ok=True)
                with atomic_write(file) as temporary:
                    torch.save(parts.state_dict(), temporary)
            made[name, seed] = tuple(parts)
        return made.get((name, seed))

    def pretrain(name: str, parts: nn.ModuleList, seed: int) -> None:
        """Train a trunk and its embedder in place."""
        if name == "supervised transfer":
            related = JetSample.read(options.related, classes=options.related_classes)
            related = shuffled(related, options.jets, 0)
            trunk, embedder = cast(Any, parts)
            model = Supervised(trunk, embedder, SupervisedConfig(outputs=len(related.classes)))
            train(model, related, related.lengths, options.pretrain, seed)
            return
        objective: Any = objectives.build(CANDIDATES[name])(*parts, augment=augment)
        if name.endswith("of views"):
            data = Views(pairs, event_ids)
            train(objective, data, pairs.lengths, options.pretrain, seed, collate_views)
        else:
            train(objective, pool, pool.lengths, options.pretrain, seed)

    def tried(name: str) -> dict[str, Any]:
        """The mean AUC on the validation jets, and the settings that give it."""
        if name not in rows.content["validation"]:
            trials = []
            for rate, longer in itertools.product(options.rates, options.longer):
                steps = steps_with(len(few), longer)
                model = supervised(few, steps, 99, start(name, 0), rate, augment)
                score = measure(model, validation)["mean_auc"]
                trials.append({"mean_auc": score, "rate": rate, "longer": longer})
            rows.content["validation"][name] = max(trials, key=lambda one: one["mean_auc"])
        return rows.content["validation"][name]

    def learned(name: str, chosen: JetSample, seed: int) -> Any:
        """A classifier that starts in this way."""
        settings = tried(name)
        steps = steps_with(len(chosen), settings["longer"])
        return supervised(chosen, steps, seed, start(name, seed), settings["rate"], augment)

    @functools.cache
    def observed() -> np.ndarray:
        return observables_of(pairs)

    @functools.lru_cache(1)
    def ensemble(labels: str, seed: int) -> np.ndarray:
        """Mean probabilities of the jets of `--views` by networks from scratch and trees."""
        chosen = dict(draws(pool, seed, options.fractions))[labels]
        trees = BoostedTrees(len(pool.classes), seed).fit(observables_of(chosen), chosen.y)
        members = [trees.predict(observed())]
        for member in range(TEACHERS):
            members.append(answers(learned("scratch", chosen, seed + 1000 * member), pairs))
        return np.mean(members, 0)

    def pupil(name: str, labels: str, chosen: JetSample, seed: int, agree: bool) -> Any:
        """A student of the ensemble that starts in this way."""
        return taught(
            chosen, pairs, ensemble(labels, seed), options.student, seed, start=start(name, seed),
            rate=tried(name)["rate"], noise=augment, views=event_ids if agree else None,
        )  # fmt: skip

    best = max(options.candidates, key=lambda name: tried(name)["mean_auc"])
    starts = {"scratch": "scratch"} | {f"pretrained ({n})": n for n in options.candidates}
    if options.related:
        starts["supervised transfer"] = "supervised transfer"
    for seed in options.seeds:
        for labels, chosen in draws(pool, seed, options.fractions):
            for method, name in starts.items():
                key = {"labels": labels, "method": method, "seed": seed}
                rows.add(key, test, partial(learned, name, chosen, seed))
            if labels.split(" %")[0] not in {f"{100 * share:g}" for share in options.taught}:
                continue
            for method, name, agree in (
                ("scratch, Noisy Student", "scratch", True),
                (f"pretrained ({best}), Noisy Student", best, True),
                ("scratch, Noisy Student of single jets", "scratch", False),
            ):
                key = {"labels": labels, "method": method, "seed": seed}
                rows.add(key, test, partial(pupil, name, labels, chosen, seed, agree))
        tree_rows(pool, test, seed, options.fractions, rows)


class InDomain:
    """Jets with their domain, and with their label or -1."""

    def __init__(self, sample: JetSample, domain: int, labelled: bool) -> None:
        self.sample, self.domain, self.labelled = sample, torch.tensor(domain), labelled

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, index: int) -> Any:
        item = self.sample[index] | {"domain": self.domain}
        return item if self.labelled else item | {"y": torch.tensor(-1)}


def adversarial(source: JetSample, target: JetSample, steps: int, seed: int) -> Any:
    """Labels from the source, features that do not tell the two apart."""
    config = AdversarialConfig(outputs=len(source.classes), ramp=steps, strength=0.3)
    model = DomainAdversarial(*new_parts(seed), config)
    both = Joined([InDomain(source, 0, True), InDomain(target, 1, False)])
    lengths = np.concatenate([source.lengths, target.lengths])
    train(model, both, lengths, steps, seed)  # half of each batch has labels
    return model


def shift_table(options: argparse.Namespace, rows: Rows) -> None:
    """From one simulation to another."""
    target = shuffled(JetSample.read(options.target), options.jets, 0)
    source = shuffled(JetSample.read(options.data, classes=target.classes), options.jets, 0)
    test = shuffled(JetSample.read(options.test, classes=source.classes), options.test_jets, 0)
    steps, half = round(options.longer[0] * SHIFT), len(target) // (2 * len(source.classes))
    for seed in options.seeds:
        methods: dict[str, Callable[[], Any]] = {
            "source only": partial(supervised, source, steps, seed),
            "randomised": partial(supervised, source, steps, seed, noise=other_detector),
            "adversarial": partial(adversarial, source, target, steps, seed),
            "noisy student": partial(student_of_itself, source, target, steps, seed, half),
            "oracle": partial(supervised, target, steps, seed),
        }
        for method, make in methods.items():
            rows.add(
                {"method": method, "measured on": "target", "seed": seed},
                test,
                make,
            )


def main() -> None:
    """Fill one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=["labels", "shift"], required=True)
    for name in ("--data", "--test"):
        parser.add_argument(name, nargs="+", required=True)
    for name in ("--related", "--target"):
        parser.add_argument(name, nargs="+")
    parser.add_argument("--related-classes", nargs="+", default=["Hcc", "H4q", "Hqql", "Tbl"])
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--fractions", nargs="+", type=float, default=list(FRACTIONS))
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--views", nargs="+", help="unlabelled jets, several per event")
    parser.add_argument(
        "--taught",
        nargs="*",
        type=float,
        default=[],
        help="shares of the labels with which a committee teaches a student",
    )
    parser.add_argument("--student", type=int, default=3000, help="steps of a student")
    parser.add_argument("--pretrain", type=int, default=900, help="steps before the few labels")
    parser.add_argument("--longer", nargs="+", type=float, default=[1.0, 2.0],
                        help="times the steps of training")  # fmt: skip
    parser.add_argument("--jets", type=int, default=20_000)
    parser.add_argument("--test-jets", type=int, default=5_000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--about", default="", help="what the jets are, for the table's heading")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = options.out or HERE / "results" / f"jets_few_labels_{options.table}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = Rows(
        out,
        {
            "about": options.about, "jets": options.jets, "test_jets": options.test_jets,
            "steps": STEPS, "longer": options.longer, "pretrain": options.pretrain,
            "student": options.student, "rates": options.rates,
            "shift": SHIFT, "trunk": TRUNK,
            "device": "CPU, one thread", "torch": torch.__version__,
        },
    )  # fmt: skip
    if options.taught and not options.views:
        parser.error("--taught needs --views: unlabelled jets of events showered twice")
    if options.table == "labels":
        labels_table(options, rows)
        text = f"{rows.table('labels')}\n{worth(rows)}\n"
    else:
        if not options.target:
            parser.error("--table shift needs --target: jets of the other simulation")
        shift_table(options, rows)
        text = rows.table("measured on")
    seeds, jets, tested = len(options.seeds), options.jets, options.test_jets
    text = (
        f"Mean AUC against QCD on {tested} jets, mean ± standard deviation over {seeds} seeds; in\n"
        "brackets: whether Welch's t-test at 5 % tells it from the first column.\n"
        f"At most {jets} jets to learn from; `benchmarks/jets_few_labels.py` says how.\n"
        f"{options.about}\n\n{text}"
    )
    out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
