"""Taggers on one frozen split with one budget: ours, weaver's two networks, L-GATr-slim.

    python benchmarks/jets_accuracy.py --data train.parquet --test test.parquet --size full \
        --weaver-python WEAVER/bin/python --lgatr-python LGATR/bin/python --device cuda
    python benchmarks/jets_accuracy.py ... --size narrow --jobs 2

Opponents live in interpreters of their own (weaver-core==0.5.3; lgatr==2.0.0), which need torch and
numpy and not this package. All see the same jets in the same batches, with the same optimiser
(AdamW, warm-up, cosine) and peak rate; two budgets, equal epochs and equal time (CPU time of one
thread, or wall time on a GPU), three seeds. `full`: published sizes, 20 passes, meant for a GPU.
`narrow`: the same jets for networks of 20,000 to 45,000 parameters, two hours of two cores.
`small`: those networks and a few thousand jets, twenty minutes on one core; it shows that the
comparison runs and how the contestants start, not which is best. Each row is written at once,
and rows in the file are not repeated. Writes FILE.json and FILE.md.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import json_output, processor
from torch import Tensor, nn

HERE = Path(__file__).parent
CONTESTANTS = ("ours", "ParT", "ParticleNet", "L-GATr-slim")
RATE, DECAY, WARMUP = 1e-3, 0.01, 0.05
NARROW: dict[str, dict[str, Any]] = {
    "ours": {"dim": 32, "depth": 2, "heads": 4, "bias_hidden": 32, "class_depth": 1},
    "ParT": {
        "embed_dims": (32, 64, 32), "pair_embed_dims": (16, 16), "num_heads": 4,
        "num_layers": 2, "num_cls_layers": 1,
    },
    "ParticleNet": {
        "conv_params": [(7, (16, 16, 16)), (7, (32, 32, 32))], "fc_params": [(64, 0.1)],
    },
    "L-GATr-slim": {
        "num_blocks": 2, "hidden_v_channels": 8, "hidden_s_channels": 32, "num_heads": 4,
    },
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "jets": 4000, "test_jets": 4000, "epochs": 2, "batch": 64, "seconds": 40.0, **NARROW,
    },
    "narrow": {
        "jets": 130_000, "test_jets": 90_000, "epochs": 1, "batch": 64, "seconds": 360.0, **NARROW,
    },
    "full": {
        "jets": 130_000, "test_jets": 90_000, "epochs": 20, "batch": 512, "seconds": 1800.0,
        "ours": {
            "dim": 128, "depth": 8, "heads": 8, "bias_hidden": 64, "class_depth": 2, "dropout": 0.1,
        },
        "ParT": {},
        "ParticleNet": {
            "conv_params": [(16, (64,) * 3), (16, (128,) * 3), (16, (256,) * 3)],
            "fc_params": [(256, 0.1)],
        },
        "L-GATr-slim": {
            "num_blocks": 12, "hidden_v_channels": 32, "hidden_s_channels": 96, "num_heads": 8,
        },
    },
}  # fmt: skip
LEAST_QCD = 50_000
"""QCD jets that the test must hold, of every size but `small`."""


class Ours(nn.Module):
    """The pair transformer behind this package's embedder, from the same raw jets."""

    def __init__(self, classes: int, settings: dict[str, Any]) -> None:
        super().__init__()
        from sciml.jets.networks.classifier import TrunkNetwork

        trunk = {"name": "pair_transformer", "pair_dim": 4, "symmetric_pairs": True, **settings}
        self.network = TrunkNetwork.build({"trunk": trunk}, classes)

    def forward(self, jets: dict[str, Tensor]) -> Tensor:
        """Logits [B, classes]."""
        from torch_geometric.data import Data

        return self.network(Data(x=jets["particles"], jet=jets["jets"], mask=jets["mask"]))


class Weaver(nn.Module):
    """ParT or ParticleNet of weaver-core, with its own defaults except for the sizes given."""

    def __init__(self, name: str, classes: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.points = name == "ParticleNet"
        if self.points:
            from weaver.nn.model.ParticleNet import ParticleNet

            self.network = ParticleNet(input_dims=17, num_classes=classes, **settings)
        else:
            from weaver.nn.model.ParticleTransformer import ParticleTransformer

            self.network = ParticleTransformer(input_dim=17, num_classes=classes, **settings)

    def forward(self, jets: dict[str, Tensor]) -> Tensor:
        """Logits [B, classes]."""
        features = jets["features"].mT.contiguous()
        mask = jets["mask"][:, None].float()
        if self.points:
            return self.network(features[:, 15:17], features, mask)
        # weaver's forward asks its input whether to keep a graph
        features.requires_grad_(self.training)
        return self.network(features, jets["particles"][..., :4].mT.contiguous(), mask)


class Slim(nn.Module):
    """L-GATr-slim (lgatr 2.0): four-momenta [20 GeV], the beams and the time axis as vectors beside
    them, which break Lorentz symmetry to what a detector leaves, and the 17 features as scalars;
    the mean over particles answers."""

    def __init__(self, classes: int, settings: dict[str, Any]) -> None:
        super().__init__()
        from lgatr import LGATrSlim

        self.network = LGATrSlim(
            in_v_channels=4, out_v_channels=1, in_s_channels=17, out_s_channels=classes, **settings
        )
        axes = [[1.0, 0, 0, 0], [1.0, 0, 0, 1.0], [1.0, 0, 0, -1.0]]
        self.register_buffer("axes", torch.tensor(axes))

    def forward(self, jets: dict[str, Tensor]) -> Tensor:
        """Logits [B, classes]."""
        mask = jets["mask"]
        p4 = jets["particles"][..., [3, 0, 1, 2]] / 20.0
        axes: Any = self.axes
        vectors = torch.cat([p4[..., None, :], axes.expand(*mask.shape, 3, 4)], -2)
        _, out = self.network(vectors, jets["features"], attn_mask=mask[:, None, None, :])
        weight = mask[..., None].to(out.dtype)
        return (out * weight).sum(1) / weight.sum(1)


def build(name: str, classes: int, settings: dict[str, Any]) -> nn.Module:
    """A contestant, freshly initialised."""
    if name == "ours":
        return Ours(classes, settings)
    return Slim(classes, settings) if name == "L-GATr-slim" else Weaver(name, classes, settings)


class Split:
    """Jets that `prepare` left in a folder, memory-mapped."""

    NAMES = ("particles", "features", "jets", "labels", "ptr")

    def __init__(self, folder: Path, part: str) -> None:
        self.arrays = {n: np.load(folder / f"{part}_{n}.npy", mmap_mode="r") for n in self.NAMES}
        self.ptr = np.asarray(self.arrays["ptr"])
        self.labels = np.asarray(self.arrays["labels"])

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: np.ndarray, device: str) -> dict[str, Tensor]:
        """particles [B, N, 16], features [B, N, 17], jets [B, 2], mask [B, N], labels [B]."""
        counts = self.ptr[index + 1] - self.ptr[index]
        mask = np.arange(counts.max()) < counts[:, None]
        particles = (self.ptr[index][:, None] + np.arange(counts.max()))[mask]
        batch = {"mask": torch.from_numpy(mask)}
        for name in ("particles", "features"):
            rows = self.arrays[name][particles]
            padded = np.zeros((*mask.shape, rows.shape[1]), np.float32)
            padded[mask] = rows
            batch[name] = torch.from_numpy(padded)
        batch["jets"] = torch.from_numpy(self.arrays["jets"][index])
        batch["labels"] = torch.from_numpy(self.labels[index])
        return {name: value.to(device) for name, value in batch.items()}


def prepare(sample: Any, folder: Path, part: str) -> None:
    """Write a sample so that any interpreter can read it."""
    from sciml.jets.data.features import particle_features

    parts: dict[str, list[np.ndarray]] = {name: [] for name in Split.NAMES}
    for start in range(0, len(sample), 1000):
        jets = sample.subset(range(start, min(start + 1000, len(sample)))).dense()
        features = particle_features(jets.particles, jets.jets, jets.mask)
        parts["particles"].append(jets.particles[jets.mask].numpy())
        parts["features"].append(features[jets.mask].numpy())
        parts["jets"].append(jets.jets.numpy())
    parts["labels"] = [sample.y]
    parts["ptr"] = [np.concatenate([[0], np.cumsum(sample.lengths)])]
    for name, arrays in parts.items():
        np.save(folder / f"{part}_{name}.npy", np.concatenate(arrays))


def scores_file(work: Path, network: str, budget: str, seed: int) -> Path:
    """File of one run's scores of the test jets: [jets, classes], summing to 1."""
    return work / f"scores_{network}_{budget}_{seed}.npy"


def side(options: argparse.Namespace) -> None:
    """One contestant, one seed, one budget, in its own process: prints a line of JSON."""
    size, device = SIZES[options.size], options.device
    torch.set_num_threads(1 if device == "cpu" else torch.get_num_threads())
    torch.manual_seed(options.seed)
    data, test = Split(options.work, "train"), Split(options.work, "test")
    model = build(options.side, int(data.labels.max()) + 1, size[options.side]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)

    def clock() -> float:
        if device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    model.eval()
    with torch.no_grad():  # imports, and kernels that are compiled once, are not training
        model(data.batch(np.arange(2), device))
    model.train()
    random = np.random.default_rng(options.seed)
    steps_an_epoch = len(data) // size["batch"]
    began, step, order = clock(), 0, np.zeros(0, int)
    while True:
        passed = (
            step / (steps_an_epoch * size["epochs"])
            if options.budget == "epochs"
            else (clock() - began) / size["seconds"]
        )
        if passed >= 1:
            break
        if len(order) < size["batch"]:
            order = random.permutation(len(data))
        index, order = np.sort(order[: size["batch"]]), order[size["batch"] :]
        rate = RATE * min(1.0, passed / WARMUP + 1e-3) * 0.5 * (1 + math.cos(math.pi * passed))
        for group in optimizer.param_groups:
            group["lr"] = rate
        jets = data.batch(index, device)
        loss = nn.functional.cross_entropy(model(jets), jets["labels"])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
    seconds = clock() - began
    model.eval()
    scores = np.zeros((len(test), int(data.labels.max()) + 1), np.float32)
    by_length = np.argsort(np.diff(test.ptr), kind="stable")  # little padding
    with torch.no_grad():
        for index in np.array_split(by_length, max(1, len(test) // 256)):
            scores[index] = model(test.batch(index, device)).softmax(1).cpu().numpy()
    np.save(scores_file(options.work, options.side, options.budget, options.seed), scores)
    facts = {
        "steps": step,
        "jets_seen": step * size["batch"],
        "training_seconds": round(seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    print(json.dumps(facts))


def measure(scores: np.ndarray, test: Any) -> dict[str, Any]:
    """Mean AUC against QCD, accuracy, and rejection of QCD at half of every signal's jets.

    A rejection that is only a lower limit (no QCD jet passes) counts as that limit.
    """
    from sciml.jets import metrics

    measured = metrics.evaluate(scores, test.y, test.classes, efficiencies=(0.5,), bootstraps=1)
    signals = [name for name in test.classes if f"auc_{name}" in measured]
    areas: dict[str, Any] = {name: measured[f"auc_{name}"] for name in signals}
    rejections: dict[str, Any] = {name: measured[f"rejection_{name}_50"] for name in signals}
    return {
        "mean_auc": float(np.mean(list(areas.values()))),
        "accuracy": measured["accuracy"],
        "auc": areas,
        "rejection_at_half": {name: rejection.value for name, rejection in rejections.items()},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: one line per network and budget."""
    from sciml.report import markdown
    from sciml.report.statistics import mean_and_spread

    signals = list(rows[0].get("rejection_at_half", {}))
    heads = ["budget", "network", "parameters", "jets seen", "mean AUC against QCD", "accuracy"]
    heads += [f"1/ε_QCD, {name}" for name in signals]
    lines = []
    for key in dict.fromkeys((row["budget"], row["network"]) for row in rows):
        mine = [row for row in rows if (row["budget"], row["network"]) == key]
        cells = [f"{mine[0]['parameters']:,}", f"{np.mean([r['jets_seen'] for r in mine]):,.0f}"]
        for name in ("mean_auc", "accuracy"):
            cells.append(mean_and_spread([row[name] for row in mine], 4))
        for name in signals:
            cells.append(mean_and_spread([row["rejection_at_half"][name] for row in mine], 0))
        lines.append([*key, *cells])
    return markdown.table(heads, lines)


def main() -> None:
    """Prepare the split, run what is missing, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--data", nargs="+")
    parser.add_argument("--test", nargs="+")
    for name in ("--weaver-python", "--lgatr-python"):
        parser.add_argument(name, type=Path, default=Path(sys.executable))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("--budgets", nargs="+", default=["epochs", "time"])
    parser.add_argument("--networks", nargs="+", default=list(CONTESTANTS))
    parser.add_argument("--work", type=Path, required=True, help="folder for the prepared jets")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--budget", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side(options)
        return
    if not options.data or not options.test:
        parser.error("--data and --test are needed")
    from sciml.jets.data.sample import JetSample

    size = SIZES[options.size]
    random = np.random.default_rng(0)
    train = JetSample.read(options.data)
    train = train.subset(random.permutation(len(train))[: size["jets"]])
    test = JetSample.read(options.test, classes=train.classes)
    test = test.subset(random.permutation(len(test))[: size["test_jets"]])
    background = int((test.y == test.classes.index("QCD")).sum())
    if options.size != "small" and (len(train) < size["jets"] or background < LEAST_QCD):
        parser.error(
            f"{len(train)} jets and {background} QCD test jets are too few: `{options.size}` "
            f"learns from {size['jets']} and needs {LEAST_QCD} QCD jets in its test"
        )
    settings = {
        "size": options.size, "device": options.device, "processor": processor(),
        "torch": torch.__version__, "classes": list(train.classes), "jets": len(train),
        "test_jets": len(test), "test_qcd_jets": background, "data_sha256": train.sha256(),
        "test_sha256": test.sha256(), "epochs": size["epochs"], "seconds": size["seconds"],
        "batch": size["batch"], "rate": RATE, "networks": {n: size[n] for n in CONTESTANTS},
    }  # fmt: skip
    options.work.mkdir(parents=True, exist_ok=True)
    prepare(train, options.work, "train")
    prepare(test, options.work, "test")
    out = options.out or HERE / "results" / f"jets_accuracy_{options.size}.json"
    old = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    same = all(old.get(name) == settings[name] for name in ("data_sha256", "test_sha256"))
    rows: list[dict[str, Any]] = old.get("rows", []) if same else []
    writing = threading.Lock()
    pythons = {"ours": Path(sys.executable), "L-GATr-slim": options.lgatr_python}

    def run(key: dict[str, Any]) -> None:
        network, budget, seed = key["network"], key["budget"], key["seed"]
        facts = json_output(
            pythons.get(network, options.weaver_python), __file__, "--side", network,
            "--size", options.size, "--device", options.device, "--seed", seed,
            "--budget", budget, "--work", options.work,
        )  # fmt: skip
        scores = np.load(scores_file(options.work, network, budget, seed))
        row = key | facts | measure(scores, test)
        with writing:
            print(json.dumps(row), flush=True)
            rows.append(row)
            result = {**settings, "date": date.today().isoformat(), "rows": rows}
            out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    keys = [
        {"network": network, "budget": budget, "seed": seed}
        for seed in range(options.seeds)
        for budget in options.budgets
        for network in options.networks
    ]
    missing = [key for key in keys if not any(key.items() <= row.items() for row in rows)]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, missing))
    rows.sort(key=lambda row: (row["budget"], CONTESTANTS.index(row["network"]), row["seed"]))
    text = (
        f"{len(train)} jets to learn from, {len(test)} to measure on ({background} of QCD), size\n"
        f"`{options.size}`, {options.device}; mean ± standard deviation over {options.seeds} seeds."
        f"\n`benchmarks/jets_accuracy.py` says how.\n\n{table(rows)}"
    )
    out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
