"""A recipe of a second: a straight line with dropout, validated every two steps; for tests."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.files import tensors
from sciml.train import TrainConfig, fit
from sciml.train.parallel import rank_and_world


@dataclass(frozen=True)
class Config:
    """Settings."""

    width: Annotated[int, Range(min=1)] = 8
    """Width of the hidden layer."""
    name: str = "a"
    """A text."""
    refuse: bool = False
    """Refuse to train."""
    nan: bool = False
    """Validate to NaN."""
    train: TrainConfig = TrainConfig(
        steps=12, batch_size=16, checkpoint_every=2, log_every=2, validate_every=2, ema=0.9
    )
    """The training."""


TINY: dict[str, Any] = {}


class Points:
    """y = |x| with noise from torch's generator."""

    def __init__(self) -> None:
        self.x = torch.linspace(-1, 1, 101)[:, None]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        time.sleep(float(os.environ.get("SCIML_TEST_PAUSE", "0")))
        return self.x[i], self.x[i].abs() + 0.01 * torch.randn(1)


class Model(nn.Module):
    """Two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 1)
        )

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        x, y = batch
        return {"loss": ((self.layers(x) - y) ** 2).mean()}


def main(config: Config, out: Path) -> None:
    """Run the recipe."""
    if config.refuse:
        raise InputError("refuses, as it was told to")
    torch.manual_seed(0)
    data = Points()

    def validate(model: nn.Module) -> dict[str, float]:
        x = data.x
        if config.nan:
            return {"loss": float("nan")}
        return {"loss": float(((model.layers(x) - x.abs()) ** 2).mean())}  # type: ignore[operator]

    result = fit(Model(config.width), data, config.train, out=out, validate=validate, quiet=True)
    if rank_and_world()[0] == 0:
        weights = {name: value.cpu() for name, value in result.module.state_dict().items()}
        tensors.write(out / "model.safetensors", weights)


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
