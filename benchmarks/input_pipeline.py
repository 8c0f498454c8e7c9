"""A simulation of the input pipeline of many GPUs, which names what the GPUs wait for.

    python benchmarks/input_pipeline.py --gpu-rate 2000 --reader-rate 3000 --bytes 3000

Synchronous training: in each step every GPU takes a batch from a queue, and none begins the next
before all are done. Each GPU has reader processes that take turns; a batch is asked for as soon as
its place in the queue is free, comes from shared storage over the link of the node, each of which
serves one after the other, and is then decoded and collated in a time that varies (gamma
distribution). What was busy for the largest share of the time is the bottleneck.
"""

from __future__ import annotations

import argparse
import heapq
import json
from typing import Any

import numpy as np


def simulate(
    gpu_rate: float,
    reader_rate: float,
    size: float,
    *,
    readers: int = 8,
    gpus: int = 64,
    per_node: int = 8,
    batch: int = 64,
    depth: int = 2,
    link: float = 12.5e9,
    storage: float = 20e9,
    spread: float = 0.3,
    steps: int = 400,
    seed: int = 0,
) -> dict[str, Any]:
    """Throughput, busy shares and the bottleneck.

    Args:
        gpu_rate: examples a second that one GPU trains on.
        reader_rate: examples a second that one reader process decodes and collates.
        size: bytes of an example in storage.
        readers: processes a GPU.
        gpus, per_node: GPUs in all, and on each node.
        batch: examples a GPU takes at once.
        depth: batches a reader holds ready.
        link: bytes a second to a node (100 Gbit/s); all nodes have their own.
        storage: bytes a second of the shared storage.
        spread: relative standard deviation of the time of a batch in a reader.
        steps: simulated.
        seed: of the times.
    """
    random = np.random.default_rng(seed)
    step, work, load = batch / gpu_rate, batch / reader_rate, batch * size
    times = work * random.gamma(spread**-2, spread**2, (steps, gpus))
    places = depth * readers
    link_free, storage_free = np.zeros(-(-gpus // per_node)), 0.0
    ready = np.zeros(steps)  # when the last GPU has its batch of a step
    missing = np.full(steps, gpus)
    done: list[float] = []  # when each step ended
    # Requests in the order of time: (when, step, GPU). Batch k is read by reader k mod readers,
    # which is free since its last one, once the queue has a place, which step k - places gives.
    requests = [(0.0, k, gpu) for k in range(min(readers, steps)) for gpu in range(gpus)]
    waiting: dict[int, list[tuple[float, int, int]]] = {}
    while requests:
        when, k, gpu = heapq.heappop(requests)
        node = gpu // per_node
        storage_free = max(when, storage_free) + load / storage
        link_free[node] = max(when, link_free[node]) + load / link
        free = float(max(storage_free, link_free[node]) + times[k, gpu])
        ready[k] = max(ready[k], free)
        missing[k] -= 1
        while len(done) < steps and not missing[len(done)]:
            done.append(max(float(ready[len(done)]), done[-1] if done else 0.0) + step)
            for at, later, other in waiting.pop(len(done) - 1, []):
                heapq.heappush(requests, (max(at, done[-1]), later, other))
        if (later := k + readers) < steps:
            if later < places or later - places < len(done):
                at = max(free, done[later - places]) if later >= places else free
                heapq.heappush(requests, (at, later, gpu))
            else:
                waiting.setdefault(later - places, []).append((free, later, gpu))
    now = done[-1]
    share = {
        "GPUs": steps * step / now,
        "readers": float(times.sum()) / (gpus * readers * now),
        "links": steps * load * per_node / link / now,
        "storage": steps * load * gpus / storage / now,
    }
    return {"readers_per_gpu": readers, "examples_per_s": round(steps * batch * gpus / now),
            "busy": {name: round(value, 3) for name, value in share.items()},
            "bottleneck": max(share, key=lambda name: share[name])}  # fmt: skip


def main() -> None:
    """Print one simulation as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu-rate", type=float, required=True)
    parser.add_argument("--reader-rate", type=float, required=True)
    parser.add_argument("--bytes", type=float, required=True)
    for name, value in (("readers", 8), ("gpus", 64), ("per-node", 8), ("batch", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = vars(parser.parse_args())
    size = options.pop("bytes")
    print(json.dumps(simulate(size=size, **options), indent=1))


if __name__ == "__main__":
    main()
