"""Few labels of classes never seen: Reptile beside a linear probe, n ways and k shots on jets.

    sciml data make jets --classes QCD:1 Hbb:1 Hcc:1 Hgg:1 H4q:1 Hqql:1 Zqq:1 Wqq:1 Tbqq:1 Tbl:1
        --jets 4000 --seed 77 -o jets.parquet
    python benchmarks/jets_few_shot.py jets.parquet [--seeds 5] [--steps 300]

Of ten classes, three drawn at random are left out; everything else is learned from the other
seven, with equal numbers of passes through the network. Then, in episodes, k labelled jets of each
of the three classes are given, and others of them are told apart (three ways, accuracy; chance is
1/3). Learned from seven classes: a supervised network (its embeddings by a linear probe, by the
nearest mean of a class, or all of it fine-tuned) and Reptile (`sciml.objectives.reptile`; tasks of
three of the seven; adapted by as many steps of SGD). Controls: the same with random weights. Writes
benchmarks/results/jets_few_shot.json and .md.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor
from torch import Tensor, nn

from sciml import objectives, trunks
from sciml.files.jsons import dumps
from sciml.files.kept import Rows
from sciml.jets.data.sample import JetSample
from sciml.jets.networks.embedder import JetEmbedder, collate
from sciml.objectives import probe
from sciml.objectives.reptile import adapt, reptile
from sciml.paths import atomic_write
from sciml.report.markdown import table
from sciml.report.statistics import mean_and_spread, paired

RESULTS = Path(__file__).parent / "results"
TRUNK = {"name": "pair_transformer", "dim": 24, "pair_dim": 4, "depth": 1, "heads": 4,
         "bias_hidden": 16, "symmetric_pairs": True, "class_depth": 1}  # fmt: skip
WAYS, SHOTS, EPISODES, TESTED = 3, (1, 5, 20), 12, 30
INNER, BATCH = 5, 24
"""Steps of SGD on a task of Reptile, and jets of each."""
ADAPTED, RATE = 20, 0.05
"""Steps of SGD on an episode, of Reptile and of fine-tuning."""
REFERENCE = "linear probe"


def network(seed: int, outputs: int) -> Any:
    """A fresh network of so many classes."""
    torch.manual_seed(seed)
    trunk = trunks.build(TRUNK)
    return objectives.build({"name": "supervised", "outputs": outputs})(
        trunk, JetEmbedder(trunk.dim, trunk.pair_dim)
    )


def batch_of(jets: JetSample, rows: np.ndarray, labels: np.ndarray) -> Any:
    """A raw batch whose classes are `labels`."""
    batch = collate([jets[int(row)] for row in rows])
    batch.y = torch.as_tensor(labels)
    return batch


def loss(module: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of a batch."""
    value: Tensor = module(batch)["loss"]
    return value


def tasks(jets: JetSample, known: list[int], rng: np.random.Generator) -> Iterator[list[Any]]:
    """Endless tasks: batches of three of the known classes, in random order."""
    of_class = {k: np.flatnonzero(jets.y == k) for k in known}
    while True:
        chosen = rng.choice(known, WAYS, replace=False)
        labels = np.repeat(np.arange(WAYS), BATCH // WAYS)
        yield [
            batch_of(
                jets,
                np.concatenate([rng.choice(of_class[k], BATCH // WAYS) for k in chosen]),
                labels,
            )
            for _ in range(INNER)
        ]


def learned(kind: str, jets: JetSample, known: list[int], seed: int, steps: int) -> Any:
    """A network that learned from the known classes: `steps` tasks, or as many batches."""
    rng = np.random.default_rng([seed, 25])
    if kind == "reptile":
        model = network(seed, WAYS)
        reptile(model, tasks(jets, known, rng), loss, steps=steps, inner_rate=RATE)
        return model
    model = network(seed, len(known))
    if kind == "random":
        return model
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    rows = np.flatnonzero(np.isin(jets.y, known))
    position = {k: i for i, k in enumerate(known)}
    total = steps * INNER
    for step in range(total):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, step / 50) * (1 - step / total)
        chosen = rng.choice(rows, BATCH)
        value = loss(model, batch_of(jets, chosen, np.array([position[k] for k in jets.y[chosen]])))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return model


def answers(way: str, model: Any, given: Any, test: Any) -> Tensor:
    """[K] the class of each test jet, from labelled ones of the episode."""
    labels = given.y
    if way in ("linear probe", "nearest mean"):
        with torch.no_grad():
            model.eval()
            known, new = (model.trunk(model.embedder(b)).graph.float() for b in (given, test))
        if way == "nearest mean":
            means = torch.stack([known[labels == k].mean(0) for k in range(WAYS)])
            return torch.cdist(new, means).argmin(1)
        return (
            probe.fit_linear(known, labels, classes=WAYS, penalties=(1e-2,)).scores(new).argmax(1)
        )
    adapted = copy.deepcopy(model).train()
    if way == "fine-tuned":
        adapted.head = nn.Linear(adapted.trunk.dim, WAYS)
        nn.init.zeros_(adapted.head.weight)
        nn.init.zeros_(adapted.head.bias)
    adapt(adapted, [given] * ADAPTED, loss, RATE)
    with torch.no_grad():
        answer: Tensor = adapted.eval().predict(test).argmax(1)
    return answer


METHODS = {
    "linear probe": ("supervised", "linear probe"), "nearest mean": ("supervised", "nearest mean"),
    "fine-tuned": ("supervised", "fine-tuned"), "Reptile": ("reptile", "adapted"),
    "linear probe, Reptile's trunk": ("reptile", "linear probe"),
    "linear probe, random weights": ("random", "linear probe"),
    "from scratch": ("random", "fine-tuned"),
}  # fmt: skip


def one_seed(jets: JetSample, seed: int, steps: int) -> dict[str, Any]:
    """Accuracies of all methods on one draw of the classes left out."""
    rng = np.random.default_rng([seed, 7])
    order = rng.permutation(len(jets.classes)).tolist()
    new, known = order[:WAYS], order[WAYS:]
    row: dict[str, Any] = {"seed": seed, "left out": [jets.classes[k] for k in new]}
    models = {}
    for kind in ("supervised", "reptile", "random"):
        began = time.process_time()
        models[kind] = learned(kind, jets, known, seed, steps)
        row[f"cpu_seconds, {kind}"] = time.process_time() - began
    for shots in SHOTS:
        right: dict[str, list[float]] = {name: [] for name in METHODS}
        for _ in range(EPISODES):
            draws = [rng.permutation(np.flatnonzero(jets.y == k))[: shots + TESTED] for k in new]
            labels = np.arange(WAYS)
            given = batch_of(jets, np.concatenate([d[:shots] for d in draws]),
                             labels.repeat(shots))  # fmt: skip
            test = batch_of(jets, np.concatenate([d[shots:] for d in draws]),
                            labels.repeat(TESTED))  # fmt: skip
            for name, (kind, way) in METHODS.items():
                found = answers(way, models[kind], given, test)
                right[name].append(float((found == test.y).float().mean()))
        row |= {f"{name}, {shots}": float(np.mean(values)) for name, values in right.items()}
    return row


def main() -> None:
    """Measure the seeds that the work file does not hold yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jets", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300, help="tasks that Reptile learns from")
    parser.add_argument("--work", type=Path, default=Path("runs/jets_few_shot.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    jets = JetSample.read(arguments.jets)
    kept = Rows(arguments.work)
    for seed in range(arguments.seeds):
        if not kept.has({"seed": seed, "steps": arguments.steps}):
            kept.add({"steps": arguments.steps} | one_seed(jets, seed, arguments.steps))
            print(kept.rows[-1], flush=True)
    rows = [row for row in kept.rows if row["steps"] == arguments.steps]
    lines, summary = [], []
    for name in METHODS:
        cells = []
        for shots in SHOTS:
            values = [row[f"{name}, {shots}"] for row in rows]
            cells.append(mean_and_spread(values))
            against = paired(values, [row[f"{REFERENCE}, {shots}"] for row in rows])
            summary.append({"method": name, "shots": shots, "accuracy": float(np.mean(values)),
                            **against})  # fmt: skip
        lines.append([name, *cells])
    shown = table(["method", *(f"{k} shots" if k > 1 else "1 shot" for k in SHOTS)], lines)
    result = {"what": f"{WAYS}-way accuracy on classes left out, mean over {EPISODES} episodes",
              "command": f"python benchmarks/jets_few_shot.py FILE --steps {arguments.steps}",
              "jets": len(jets), "date": str(date.today()), "trunk": TRUNK,
              "device": f"{processor()}, 1 thread, shared", "summary": summary,
              "runs": rows}  # fmt: skip
    with atomic_write(RESULTS / "jets_few_shot.json") as part:
        part.write_text(dumps(result, indent=1) + "\n")
    text = (f"{WAYS}-way accuracy on classes that were left out of training (chance 0.333), mean ± "
            f"deviation over {len(rows)} draws of the classes.\n\n{shown}")  # fmt: skip
    (RESULTS / "jets_few_shot.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
