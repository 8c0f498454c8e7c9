"""Trains with a limit on the size of files, as a full disk would stop it; used as a program.

python full_disk.py FOLDER: for every limit, a run that meets it must end in one line, and the same
run without the limit must end like one that met none. Prints a JSON object.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sciml.errors import InputError
from sciml.train import TrainConfig, fit
from sciml.train.log import read_metrics

CONFIG = TrainConfig(
    steps=16, batch_size=4, checkpoint_every=8, log_every=1, validate_every=1, ema=0.9, lr=0.1
)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 24)

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.layer(batch) ** 2).mean()}


def train(out: Path) -> tuple[bytes, list[dict]]:
    torch.manual_seed(1)
    model = Tiny()

    def validate(module: Any) -> dict[str, float]:
        return {"loss": float(module.layer.weight.abs().sum())}

    fit(model, torch.ones(16, 3), CONFIG, out=out, validate=validate, quiet=True)
    weights = b"".join(v.numpy().tobytes() for v in model.state_dict().values())
    lines = read_metrics(out / "metrics.jsonl")
    return weights, [{k: v for k, v in line.items() if k != "rate"} for line in lines]


def limit(size: int) -> None:
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size if size >= 0 else most, most))


def main(folder: Path) -> None:
    expected = train(folder / "whole")
    largest = max(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    sizes = sorted({int(largest * k / 40) for k in range(41)} | {1, largest + 1})
    refused, lines = 0, []
    for size in sizes:
        out = folder / str(size)
        limit(size)
        try:
            first = train(out)
            assert first == expected, size
        except InputError as error:
            refused += 1
            lines.append(str(error))
        finally:
            limit(-1)
        half = [p.name for p in out.rglob("*") if ".part" in p.name or "lock" in p.name]
        assert not half, (size, half)
        assert train(out) == expected, size
    print(json.dumps({"limits": len(sizes), "refused": refused, "lines": lines}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
