"""A small run with everything that could break exact resumption; used by tests as a program.

python regression_run.py OUT [setting=value ...]; prints the digest of the final weights.
"""

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn

from sciml.config import from_dict
from sciml.errors import InputError
from sciml.train import TrainConfig, fit
from sciml.train.parallel import leave


class Ragged:
    """Sets of different size; the target is a function of the whole set; noise from torch's RNG."""

    def __init__(self, size: int) -> None:
        generator = torch.Generator().manual_seed(1)
        self.lengths = torch.randint(1, 12, (size,), generator=generator).numpy()
        self.sets = [torch.randn(n, 6, generator=generator) for n in self.lengths]

    def __len__(self) -> int:
        return len(self.sets)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.sets[i] + NOISE * torch.randn(self.sets[i].shape)


NOISE = 0.01


class Model(nn.Module):
    """The loss is a mean over elements of sets, so that batches count differently."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(6, 24), nn.Linear(24, 24)])
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(24, 1)

    def forward(self, batch: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        x = torch.cat(batch)
        hidden = x
        for block in self.blocks:
            hidden = self.dropout(torch.relu(block(hidden)))
        error = (self.out(hidden)[:, 0] - x[:, 0] * x[:, 1]) ** 2
        return {"loss": error.mean(), "count": torch.tensor(float(len(x)))}


def same(batch: list[torch.Tensor]) -> list[torch.Tensor]:
    if PAUSE:
        time.sleep(PAUSE)
    return batch


PAUSE = float(os.environ.get("PAUSE", "0"))


def train(out: Path, arguments: Sequence[str]) -> str:
    """Train, or go on; the digest of the final weights."""
    global NOISE
    torch.set_num_threads(1)
    settings = dict(a.split("=", 1) for a in arguments)
    dropout = float(settings.pop("dropout", "0.1"))
    NOISE = float(settings.pop("noise", "0.01"))
    config = from_dict(TrainConfig, {k: yaml.safe_load(v) for k, v in settings.items()})
    torch.manual_seed(3)
    model = Model(dropout)
    data = Ragged(203)
    result = fit(model, data, config, out=out, collate=same, lengths=np.asarray(data.lengths))
    digest = hashlib.sha256()
    for name, value in sorted(result.module.state_dict().items()):
        full = value.full_tensor() if hasattr(value, "full_tensor") else value
        digest.update(name.encode() + full.numpy().tobytes())
    return digest.hexdigest()


def process(out: Path, arguments: Sequence[str], pause: float, end: Connection) -> None:
    """`train` as the target of a process; sends the digest, or what the user would be told."""
    global PAUSE
    PAUSE = pause
    try:
        end.send(train(out, arguments))
    except InputError as error:
        end.send(str(error))
        sys.exit(error.exit_code)


if __name__ == "__main__":
    print(train(Path(sys.argv[1]), sys.argv[2:]))
    leave()
