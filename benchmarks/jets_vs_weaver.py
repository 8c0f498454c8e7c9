"""The Particle Transformer here against weaver-core's default one, at identical weights.

    python benchmarks/jets_vs_weaver.py --weaver-python /path/to/venv/bin/python [--out FILE.json]

weaver-core lives in an interpreter of its own (pip install weaver-core==0.5.3 torch==2.13.0). Both
sides run in fresh processes on the same jets (the shipped sample) with the same weights, taking
turns; weaver with its default settings (trimming, sparse pairs). Inference: eval mode, no gradient.
Training: forward, cross-entropy, backward and a step of AdamW, dropout on. Time is CPU time of the
process for one thread, wall time for more; the best of the repeats of a process counts, since other
work on the machine only ever adds. A round is one process of each side, one right after the other,
first this one and then that one; the ratio is taken in each round, and its median over the rounds
stands beside the smallest and the largest, with the load of the machine. Memory is the peak of the
whole process, and the same less what it holds after a forward of two jets (interpreter, torch,
kernels, weights): `net`.
Speed must not cost exactness: the largest difference of logits in eval mode stands beside each
ratio.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import json_output, processor, resident

HERE = Path(__file__).parent
LENGTH = 128
GB_A_MIB = 1024**2 / 1e9


def inputs(kind: str, batch: int) -> dict[str, np.ndarray]:
    """Tensors in weaver's layout, [B, c, 128]: `features`, `vectors`, `mask`.

    kind: "real" lengths of the sample's jets, or "uniform" in [20, 90).
    """
    from sciml.jets.data.features import particle_features
    from sciml.jets.data.sample import JetSample, shipped

    sample = JetSample.read(shipped("test"))
    random = np.random.default_rng(0)
    if kind == "real":
        chosen, lengths = random.permutation(len(sample))[:batch], None
    else:
        lengths = random.integers(20, 90, batch)
        order = np.argsort(sample.lengths, kind="stable")
        fits = np.searchsorted(sample.lengths[order], lengths)
        chosen = order[[random.integers(f, len(order)) for f in fits]]
    jets = sample.subset(chosen).dense()
    mask = jets.mask
    if lengths is not None:
        mask = mask & (torch.arange(mask.shape[1]) < torch.from_numpy(lengths)[:, None])
    features = particle_features(jets.particles, jets.jets, mask)
    vectors = jets.particles[..., :4] * mask[..., None]
    arrays = {"features": features, "vectors": vectors, "mask": mask[..., None].float()}
    width = LENGTH - mask.shape[1]
    return {
        name: np.pad(value.transpose(1, 2).numpy(), ((0, 0), (0, 0), (0, width)))
        for name, value in arrays.items()
    }


def side(options: argparse.Namespace) -> None:
    """One contestant, in its own process: prints a line of JSON."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    inputs = {k: torch.from_numpy(v) for k, v in np.load(options.inputs).items()}
    features, vectors, mask = inputs["features"], inputs["vectors"], inputs["mask"]
    if options.side == "weaver":
        import logging

        logging.disable(logging.CRITICAL)
        from weaver.nn.model.ParticleTransformer import ParticleTransformer

        model = ParticleTransformer(input_dim=17, num_classes=10)
        model.load_state_dict(torch.load(options.weights, weights_only=True))
        model.trimmer._counter.fill_(model.trimmer.warmup_steps)

        def forward(jets: slice = slice(None)) -> torch.Tensor:
            return model(features[jets], vectors[jets], mask[jets])
    else:
        from sciml.jets.weaver import checkpoints as weaver

        model = weaver.build(weaver.read_state(options.weights))

        def forward(jets: slice = slice(None)) -> torch.Tensor:
            return weaver.logits(model, None, features[jets], vectors[jets], mask[jets])

    clock = time.process_time if options.threads == 1 else time.perf_counter
    model.eval()
    with torch.no_grad():
        forward(slice(2))  # the code of the kernels is in memory from here on
        base = resident("VmRSS") * GB_A_MIB
        logits = forward()
    if options.mode == "train":
        model.train()
        labels = torch.arange(len(mask)) % 10
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

        def step() -> None:
            # weaver's forward asks its input whether to keep a graph
            features.requires_grad_(options.side == "weaver")
            loss = torch.nn.functional.cross_entropy(forward(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    else:

        def step() -> None:
            with torch.no_grad():
                forward()

    step()
    seconds = []
    for _ in range(options.repeats):
        began = clock()
        step()
        seconds.append(clock() - began)
    np.save(options.logits, logits.numpy())
    rate = len(mask) / min(seconds)
    most = resident("VmHWM") * GB_A_MIB
    print(json.dumps({"rate": rate, "peak_gb": most, "net_gb": most - base}))


def compare(options: argparse.Namespace, folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Both sides of one case, in pairs."""
    arrays: Any = inputs(case["lengths"], case["batch"])
    np.savez(folder / "inputs.npz", **arrays)
    sides = {"weaver": options.weaver_python, "ours": sys.executable}
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    loads = []
    for turn in range(options.rounds):
        loads.append(os.getloadavg()[0])
        for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
            row = json_output(
                sides[name], __file__, "--side", name, "--mode", case["mode"],
                "--threads", case["threads"], "--repeats", options.repeats,
                "--inputs", folder / "inputs.npz", "--weights", folder / "w.pt",
                "--logits", folder / f"{name}.npy",
            )  # fmt: skip
            measured[name].append(row)
    rates = {name: np.array([row["rate"] for row in rows]) for name, rows in measured.items()}
    ratios = rates["ours"] / rates["weaver"]
    memory = {
        f"{name}_{key}": min(row[key] for row in rows)
        for name, rows in measured.items() for key in ("peak_gb", "net_gb")
    }  # fmt: skip
    difference = np.abs(np.load(folder / "ours.npy") - np.load(folder / "weaver.npy")).max()
    row = {
        **case,
        "weaver_jets_per_s": round(float(np.median(rates["weaver"])), 1),
        "ours_jets_per_s": round(float(np.median(rates["ours"])), 1),
        "speed_ratio": round(float(np.median(ratios)), 2),
        "speed_ratio_range": [round(float(ratios.min()), 2), round(float(ratios.max()), 2)],
        **{key: round(value, 3) for key, value in memory.items()},
        "memory_ratio": round(memory["ours_peak_gb"] / memory["weaver_peak_gb"], 2),
        "net_memory_ratio": round(memory["ours_net_gb"] / memory["weaver_net_gb"], 2),
        "largest_logit_difference": float(f"{difference:.1e}"),
        "rounds": options.rounds,
        "repeats": options.repeats,
        "load": [round(min(loads), 1), round(max(loads), 1)],
        "date": date.today().isoformat(),
    }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Run the cases and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weaver-python", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "jets_vs_weaver.json")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--lengths", nargs="+", default=["uniform", "real"])
    parser.add_argument("--modes", nargs="+", default=["train", "infer"])
    parser.add_argument("--side", choices=["weaver", "ours"], help=argparse.SUPPRESS)
    for name in ("--mode", "--inputs", "--weights", "--logits"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        options.threads = options.threads[0]
        side(options)
        return
    if options.weaver_python is None:
        parser.error("--weaver-python is needed: an interpreter with weaver-core 0.5.3")
    from sciml.jets.networks.particle_transformer import ParTConfig, ParticleTransformer
    from sciml.jets.weaver import checkpoints as weaver

    rows = []
    with tempfile.TemporaryDirectory() as name:
        torch.manual_seed(0)
        weaver.write(ParticleTransformer(ParTConfig()), Path(name) / "w.pt")
        for threads in options.threads:
            for batch in options.batches:
                for lengths in options.lengths:
                    for mode in options.modes:
                        case = {
                            "mode": mode, "lengths": lengths, "batch": batch, "threads": threads
                        }  # fmt: skip
                        rows.append(compare(options, Path(name), case))
    identifying = ("mode", "lengths", "batch", "threads")
    measured = [[row[key] for key in identifying] for row in rows]
    if options.out.exists():  # other cases of an earlier call stay
        old = json.loads(options.out.read_text(encoding="utf-8"))["cases"]
        rows = [row for row in old if [row[key] for key in identifying] not in measured] + rows
    result = {
        "opponent": "weaver-core 0.5.3, ParticleTransformer(input_dim=17, num_classes=10)",
        "torch": importlib.metadata.version("torch"),
        "processor": processor(),
        "note": "one thread: CPU time; more: wall time. Medians over rounds of pairs; rows without "
        "`rounds` are of 2026-11-23, the best of three repeats",
        "cases": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
