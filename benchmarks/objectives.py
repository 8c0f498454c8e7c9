"""Pretraining objectives on jets: linear probe and 1 % of the labels, against scratch and random.

    python benchmarks/objectives.py [--steps 300] [--seeds 0 1 2] [--work DIR]

Every objective pretrains the same small trunk on the shipped training jets without labels, with the
same steps, batches and seeds. Then, on the shipped test jets:
- linear probe: logistic regression on frozen embeddings, with 1,000 labelled training jets, against
  the same probe on a trunk with random weights;
- 1 % labels: the whole network fine-tuned on 1 % of the training labels, against the same network
  from scratch.
Score: mean one-against-rest AUC over classes. A finished (objective, seed) is kept in DIR, so that
the command can be stopped and resumed. Writes benchmarks/results/objectives.json and .md.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from sciml import objectives, trunks
from sciml.data import card as cards
from sciml.data import fetch
from sciml.jets.data.sample import JetSample
from sciml.jets.learning.views import augment
from sciml.jets.networks.embedder import JetEmbedder, collate
from sciml.objectives import probe
from sciml.report.markdown import table as markdown_table
from sciml.train import TrainConfig, fit

OBJECTIVES: dict[str, dict[str, Any]] = {
    "masked": {"name": "masked", "fraction": 0.3},
    "missing_patch": {"name": "missing_patch", "fraction": 0.3},
    "jepa": {"name": "jepa", "momentum": 0.99, "ramp": 1000},
    "denoising": {"name": "denoising", "sigma": 0.2},
    "simclr": {"name": "simclr"},
    "moco": {"name": "moco", "queue": 1024},
    "vicreg": {"name": "vicreg", "width": 128},
    "jigsaw": {"name": "jigsaw"},
    "rotation": {"name": "rotation"},
}
BASELINE = "none"
TRUNK = {"name": "pair_transformer", "dim": 32, "pair_dim": 4, "depth": 2, "heads": 4,
         "bias_hidden": 16, "symmetric_pairs": True, "class_depth": 1}  # fmt: skip


def sample(name: str) -> JetSample:
    """The shipped jets, `train` or `test`."""
    files = {path.name: path for path in fetch.get(cards.read("jets-sample")[0])}
    return JetSample.read(files[f"{name}.parquet"])


def one(name: str, seed: int, steps: int, finetune_steps: int, most: int, train: JetSample,
        test: JetSample, work: Path) -> dict[str, Any]:  # fmt: skip
    """Pretrain, probe and fine-tune once."""
    began = time.process_time()
    torch.manual_seed(seed)
    trunk = trunks.build(TRUNK)
    embedder = JetEmbedder(trunk.dim, trunk.pair_dim)
    losses: dict[str, float] = {}
    if name != BASELINE:
        objective = objectives.build(OBJECTIVES[name])(trunk, embedder, augment=augment)
        settings = TrainConfig(
            steps=steps,
            batch_size=32,
            lr=1e-3,
            warmup=0.1,
            seed=seed,
            device="cpu",
            checkpoint_every=10**6,
            log_every=max(1, steps // 5),
        )
        result = fit(
            objective,
            train,
            settings,
            out=work / f"{name}-{seed}-pretrain",
            collate=collate,
            lengths=train.lengths,
            title=f"{name}, seed {seed}",
        )
        curve = [r["loss"] for r in result.history if r.get("split") == "train"]
        losses = {"first_loss": curve[0], "last_loss": curve[-1]}
        learned: Any = objective
        trunk, embedder = learned.trunk, learned.embedder
    random = np.random.default_rng(seed)
    order = random.permutation(len(train))
    fit_on, test_on = order[:1000], np.arange(min(most, len(test)))
    results = [
        probe.embed(trunk, embedder, data, collate, indices=indices, batch_size=64)
        for data, indices in ((train, fit_on), (test, test_on))
    ]
    labels = torch.as_tensor(train.y[fit_on]), torch.as_tensor(test.y[test_on])
    scores = probe.probe(results[0], labels[0], results[1], labels[1])
    few = order[: max(len(train.classes), len(train) // 100)]
    tuned = finetune(
        copy.deepcopy(trunk),
        copy.deepcopy(embedder),
        train.subset(few),
        seed,
        finetune_steps,
        work / f"{name}-{seed}-finetune",
    )
    outputs = predict(tuned, test, test_on)
    after = probe.metrics(outputs.softmax(-1), labels[1])
    return {"objective": name, "seed": seed, "labels": len(few), "test": len(test_on), **losses,
            **scores, "finetuned_auc": after["auc"], "finetuned_accuracy": after["accuracy"],
            "cpu_seconds": round(time.process_time() - began, 1)}  # fmt: skip


def finetune(trunk: nn.Module, embedder: nn.Module, few: JetSample, seed: int, steps: int,
             out: Path) -> nn.Module:  # fmt: skip
    """The whole network trained on few labels."""
    torch.manual_seed(1000 + seed)
    objective = objectives.build({"name": "supervised", "outputs": len(few.classes)})(
        trunk, embedder
    )
    settings = TrainConfig(
        steps=steps,
        batch_size=32,
        lr=5e-4,
        warmup=0.1,
        weight_decay=0.05,
        seed=seed,
        device="cpu",
        checkpoint_every=10**6,
    )
    return fit(objective, few, settings, out=out, collate=collate, title=out.name).module


@torch.no_grad()
def predict(objective: Any, jets: JetSample, indices: np.ndarray) -> torch.Tensor:
    """[K, classes] logits."""
    parts = [
        collate([jets[int(i)] for i in chunk])
        for chunk in np.array_split(indices, -(-len(indices) // 64))
    ]
    return torch.cat([objective.predict(batch) for batch in parts])


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and spread over seeds, the baseline first, then by the probe."""
    table = []
    for name in dict.fromkeys(row["objective"] for row in rows):
        own = [row for row in rows if row["objective"] == name]
        entry: dict[str, Any] = {"objective": name, "seeds": len(own)}
        for key in ("linear_auc", "knn_auc", "finetuned_auc"):
            values = [row[key] for row in own]
            entry[key] = round(statistics.mean(values), 4)
            entry[f"{key}_spread"] = round(statistics.pstdev(values), 4)
        table.append(entry)
    return sorted(table, key=lambda e: (e["objective"] != BASELINE, -e["linear_auc"]))


def markdown(table: list[dict[str, Any]], head: dict[str, Any]) -> str:
    """The table as people read it."""
    heads = ["objective", "seeds", "linear probe", "kNN probe", "fine-tuned, 1 % labels"]
    lines = [
        "# Pretraining objectives on jets", "",
        f"{head['train']} unlabelled jets, {head['steps']} steps of 32; linear and kNN probe with "
        f"1,000 labels, fine-tuning with 1 % of the labels; {head['test']} test jets; mean "
        "one-against-rest AUC, mean and standard deviation over seeds. `none`: random weights "
        "(probes) and training from scratch (fine-tuned).", "",
        markdown_table(heads, [
            [e["objective"], e["seeds"], *(
                f"{e[k]:.4f} ± {e[f'{k}_spread']:.4f}"
                for k in ("linear_auc", "knn_auc", "finetuned_auc")
            )]
            for e in table
        ]),
    ]  # fmt: skip
    return "\n".join(
        [*lines, f"Made by `{head['command']}`, {head['date']}, {head['device']}.", ""]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="pretraining steps")
    parser.add_argument("--finetune-steps", type=int, default=80)
    parser.add_argument("--most", type=int, default=1500, help="test jets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=[BASELINE, *OBJECTIVES])
    parser.add_argument("--work", type=Path, default=Path("runs/objectives"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    a = parser.parse_args()
    torch.set_num_threads(1)
    train, test = sample("train"), sample("test")
    test = test.subset(np.random.default_rng(0).permutation(len(test)))
    a.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in a.seeds:
        for name in a.only or [BASELINE, *OBJECTIVES]:
            path = a.work / f"{name}-{seed}-{a.steps}-{a.finetune_steps}-{a.most}.json"
            if not path.exists():
                row = one(name, seed, a.steps, a.finetune_steps, a.most, train, test, a.work)
                path.write_text(json.dumps(row), encoding="utf-8")
                print(row, flush=True)
            rows.append(json.loads(path.read_text(encoding="utf-8")))
            head = {
                "what": "linear probe, kNN probe and 1 % labels for each objective",
                "train": len(train), "test": min(a.most, len(test)), "classes": train.classes,
                "steps": a.steps, "finetune_steps": a.finetune_steps, "trunk": TRUNK,
                "objectives": OBJECTIVES, "date": str(date.today()),
                "device": f"{platform.machine()} CPU, one thread, torch {torch.__version__}",
                "command": f"python benchmarks/objectives.py --steps {a.steps}",
            }  # fmt: skip
            table = summary(rows)
            result = {**head, "summary": table, "rows": rows}
            a.out.mkdir(parents=True, exist_ok=True)
            (a.out / "objectives.json").write_text(json.dumps(result, indent=1) + "\n")
            (a.out / "objectives.md").write_text(markdown(table, head))


if __name__ == "__main__":
    main()
