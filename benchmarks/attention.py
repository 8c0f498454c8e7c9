"""Attention with a pair bias against the ways torch offers, forward and backward, one thread.

    python benchmarks/attention.py            # writes benchmarks/results/attention.json

Time is CPU time (so that a busy machine does not matter much), the median and the quartiles of
repetitions that take turns between the candidates. Memory is the growth of the process's peak
beyond its inputs, each candidate in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from machine import forget_peak, json_output, processor, resident

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor
from torch.nn import functional as F

from sciml.nn.attention import pair_biased_attention

SPEED = {
    "B=2 H=8 N=256 d=32": dict(batch=2, rows=0, heads=8, n=256, d=32),
    "jets: B=64 H=8 N=64 d=16": dict(batch=64, rows=0, heads=8, n=64, d=16),
    "alignment: B=1 R=32 H=8 N=128 d=32": dict(batch=1, rows=32, heads=8, n=128, d=32),
    "B=1 H=8 N=1024 d=32": dict(batch=1, rows=0, heads=8, n=1024, d=32),
}
MEMORY = {
    "B=2 H=8 N=2048 d=32": dict(batch=2, rows=0, heads=8, n=2048, d=32),
    "alignment: B=1 R=16 H=4 N=512 d=16": dict(batch=1, rows=16, heads=4, n=512, d=16),
    "alignment: B=1 R=16 H=4 N=1024 d=16": dict(batch=1, rows=16, heads=4, n=1024, d=16),
}


def naive(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    """The formula in five operations."""
    logits = q @ k.mT / q.shape[-1] ** 0.5 + bias
    logits = logits.masked_fill(~mask[..., None, None, :], torch.finfo(q.dtype).min)
    return logits.softmax(-1) @ v


def sdpa(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    """torch's kernel with bias and mask in one additive mask."""
    both = bias.masked_fill(~mask[..., None, None, :], -1e30)
    return F.scaled_dot_product_attention(q, k, v, both)


compiled = torch.compile(naive)


def ours(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    """This package, backend chosen by itself."""
    return pair_biased_attention(q, k, v, bias, mask)


CANDIDATES: dict[str, Any] = {"naive": naive, "sdpa": sdpa, "compiled": compiled, "sciml": ours}


def inputs(batch: int, rows: int, heads: int, n: int, d: int) -> list[Tensor]:
    """q, k, v, bias (all wanting gradients), mask, gradient of the output."""
    generator = torch.Generator().manual_seed(0)
    lead = (batch, rows) if rows else (batch,)
    q, k, v, slope = (torch.randn(*lead, heads, n, d, generator=generator) for _ in range(4))
    bias = torch.randn(*((batch, 1) if rows else (batch,)), heads, n, n, generator=generator)
    mask = torch.ones(*lead, n, dtype=torch.bool)
    mask[-1, ..., -n // 8 :] = False
    return [*(t.requires_grad_() for t in (q, k, v, bias)), mask, slope]


def step(candidate: str, tensors: list[Tensor], training: bool = True) -> None:
    """Forward, and backward in training, once."""
    *leaves, mask, slope = tensors
    if not training:
        with torch.no_grad():
            CANDIDATES[candidate](*leaves, mask)
        return
    CANDIDATES[candidate](*leaves, mask).backward(slope)
    for leaf in leaves:
        leaf.grad = None


def speed(settings: dict[str, int], repetitions: int) -> dict[str, dict[str, float]]:
    """Milliseconds of CPU time a step, for each candidate in turn."""
    tensors = inputs(**settings)
    times: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for repetition in range(repetitions + 2):
        for name in CANDIDATES:
            start = time.process_time()
            step(name, tensors)
            if repetition >= 2:  # the first two compile and warm up
                times[name].append(1e3 * (time.process_time() - start))
    seconds = {}
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        seconds[name] = {"ms": middle, "ms_q1": low, "ms_q3": high}
    return seconds


def peak(candidate: str, settings: dict[str, int], training: bool) -> float:
    """MiB by which one step raises the peak of a fresh process above its inputs."""
    tensors = inputs(**settings)
    small = inputs(1, 2 if settings["rows"] else 0, 2, 16, 8)
    step(candidate, small, training)  # libraries, code
    del tensors[-1]
    slope = torch.ones(tensors[0].shape)
    forget_peak()
    before = resident()
    step(candidate, [*tensors, slope], training)
    return resident("VmHWM") - before


def memory_of(case: str, mib: dict[str, dict[str, float]]) -> dict:
    """Peaks and their ratios.

    In training the gradients, that of the bias above all, are given out by every candidate: the
    naive formula holds three matrices of logits at its peak, one of which is that gradient, so
    no method without rows can be more than three times as lean. Beyond the gradients stands what
    a method needs for itself.
    """
    s = MEMORY[case]
    rows = max(1, s["rows"])
    numbers = s["batch"] * s["heads"] * (3 * rows * s["n"] * s["d"] + s["n"] ** 2)
    gradients = 4 * numbers / 2**20
    memory: dict = {"gradients_MiB": gradients}
    for kind, peaks in mib.items():
        memory[kind] = {
            "peak_MiB_above_inputs": peaks,
            "naive_over_sciml": peaks["naive"] / max(peaks["sciml"], 1.0),
        }
    beyond = {name: max(value - gradients, 1.0) for name, value in mib["training"].items()}
    memory["training"]["naive_over_sciml_beyond_gradients"] = beyond["naive"] / beyond["sciml"]
    return memory


def main() -> None:
    """Measure everything and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=30)
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results / "attention.json")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)  # candidate, case, kind
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        candidate, case, kind = options.peak
        print(peak(candidate, MEMORY[case], kind == "training"))
        return
    result: dict = {
        "what": "attention with a pair bias and its gradient, forward + backward, float32",
        "command": "python benchmarks/attention.py",
        "date": date.today().isoformat(),
        "device": f"{processor()}, 1 thread",
        "torch": torch.__version__,
        "repetitions": options.repetitions,
        "speed": {},
        "memory": {},
    }
    options.out.parent.mkdir(exist_ok=True)

    def write() -> None:
        options.out.write_text(json.dumps(result, indent=2) + "\n")

    for case, settings in SPEED.items():
        timings = speed(settings, options.repetitions)
        best = min(v["ms"] for k, v in timings.items() if k != "sciml")
        result["speed"][case] = {**timings, "best_peer_over_sciml": best / timings["sciml"]["ms"]}
        row = "  ".join(f"{name} {value['ms']:.2f} ms" for name, value in timings.items())
        print(f"{case}: {row}  (best peer / sciml {best / timings['sciml']['ms']:.2f})", flush=True)
        write()
    for case in MEMORY:
        mib: dict[str, dict[str, float]] = {}
        for kind in ("inference", "training"):
            for name in CANDIDATES:
                if name == "compiled":
                    continue  # its peak is that of the compiler
                mib_of = json_output(sys.executable, __file__, "--peak", name, case, kind)
                mib.setdefault(kind, {})[name] = mib_of
        result["memory"][case] = memory_of(case, mib)
        print(case, json.dumps(result["memory"][case]), flush=True)
        write()


if __name__ == "__main__":
    main()
