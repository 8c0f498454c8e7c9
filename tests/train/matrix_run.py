"""Many small trainings in one program, so that the cost of starting processes is paid once.

python matrix_run.py FOLDER JOBS CELL ...; JOBS are some of whole, begin, continue, end and world,
with commas between. A cell is EMA-CHECK-ACCUMULATE-STRATEGY, such as ema-probes-3-fsdp. Rank 0
prints a JSON object.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from sciml.errors import InputError
from sciml.train import Interrupted, TrainConfig, TrainingDiverged, fit
from sciml.train.log import read_metrics
from sciml.train.parallel import leave, rank_and_world, stack_over_processes

EMAS, CHECKS = ("ema", "plain"), ("none", "validation", "probes", "patience")
STRATEGIES = ("ddp", "fsdp")
CELLS = [f"{e}-{c}-{a}-{s}" for e in EMAS for c in CHECKS for a in (1, 3) for s in STRATEGIES]
STEPS = {"whole": 12, "begin": 4, "continue": 8, "end": 12}
CPU = torch.device("cpu")


class Noisy:
    """Vectors with noise that is drawn at each access."""

    def __init__(self, size: int = 43) -> None:
        self.rows = torch.randn(size, 5, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.rows[i] + 0.3 * torch.randn(5)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(5, 7), nn.Linear(7, 5)])
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.blocks[1](torch.tanh(self.blocks[0](x)))


class Model(nn.Module):
    """A denoiser with a slow copy, as JEPA has one; it stops itself by a signal after a step."""

    def __init__(self, stop_after: int = 0, dropout: float = 0.0, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.encoder, self.slow = Encoder(), Encoder().requires_grad_(False)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.BatchNorm1d(5) if norm else nn.Identity()
        self.stop_after = stop_after

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        predicted = self.norm(self.encoder(self.dropout(batch)))
        with torch.no_grad():
            target = batch.roll(1, 1) + 0.1 * self.slow(batch)
        return {"loss": ((predicted - target) ** 2).mean()}

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        for slow, weight in zip(self.slow.parameters(), self.encoder.parameters(), strict=True):
            slow.lerp_(weight, 0.1)
        if step == self.stop_after and rank_and_world()[0] == 0:
            os.kill(os.getpid(), signal.SIGUSR1)


def config(cell: str, **more: Any) -> TrainConfig:
    ema, check, accumulate, strategy = cell.split("-")
    return TrainConfig(
        steps=12, batch_size=8, lr=0.02, log_every=1, checkpoint_every=100, validate_every=2,
        ema=0.9 if ema == "ema" else 0.0, accumulate=int(accumulate), device="cpu",
        patience=4 if check == "patience" else 0, strategy=cast(Any, strategy), **more,
    )  # fmt: skip


def train(out: Path, cell: str, stop_after: int = 0, **more: Any) -> dict[str, Any]:
    """Weights, losses and metrics of a run, or of its part up to `stop_after`."""
    model = Model(stop_after, **more)
    check = cell.split("-")[1]
    data = Noisy()

    def validate(module: nn.Module) -> dict[str, float]:
        if check == "probes":  # a part of the module, as recipes measure embeddings
            return {
                "loss": float((model.encoder(data.rows) - data.rows.roll(1, 1)).square().mean())
            }
        value = float(module(data.rows)["loss"])
        return {"loss": value if check != "patience" else -value}  # gets worse: stops early

    stopped = False
    try:
        fit(model, data, config(cell), out=out, quiet=True,
            validate=None if check == "none" else validate)  # fmt: skip
    except Interrupted:
        stopped = True
    records = read_metrics(out / "metrics.jsonl")
    return {
        "stopped": stopped,
        "weights": torch.cat([v.flatten() for v in model.state_dict().values()]).tolist(),
        "losses": {f"{r['split']} {r['step']}": r["loss"] for r in records},
    }


def world(out: Path, cells: list[str]) -> dict[str, Any]:
    """What holds among two processes: exact resumption, buffers, one message of a divergence."""
    results: dict[str, Any] = {}
    for cell in cells:
        whole = train(out / f"{cell}-whole", cell, dropout=0.2)
        first = train(out / f"{cell}-again", cell, stop_after=5, dropout=0.2)
        again = train(out / f"{cell}-again", cell, dropout=0.2)
        same = again["weights"] == whole["weights"] and again["losses"] == whole["losses"]
        results[cell] = {"stopped": first["stopped"], "same": same}
    model = Model(norm=True)
    fit(model, Noisy(48), config("plain-none-1-ddp"), out=out / "norm", quiet=True)
    assert isinstance(model.norm, nn.BatchNorm1d) and model.norm.running_var is not None
    both = stack_over_processes(model.norm.running_var, CPU)
    results["buffers"] = {"equal": bool((both[0] == both[1]).all()), "moved": float(both[0][0])}
    for strategy in STRATEGIES:
        data = torch.ones(64, 5)
        if rank_and_world()[0] == 1:
            data[:] = torch.nan
        try:
            fit(Model(), data, config(f"plain-none-1-{strategy}"), out=out / f"nan-{strategy}",
                quiet=True)  # fmt: skip
            message = ""
        except TrainingDiverged as error:
            message = str(error)
        code = stack_over_processes(torch.tensor([hash_of(message), len(message)]), CPU)
        results[f"nan-{strategy}"] = {
            "message": message, "same": bool((code[0] == code[1]).all()),
            "saved": (out / f"nan-{strategy}" / "failed-batch.safetensors").exists(),
        }  # fmt: skip
    return results


def hash_of(text: str) -> int:
    return sum(i * ord(letter) for i, letter in enumerate(text))


def main() -> None:
    torch.set_num_threads(1)
    out, cells = Path(sys.argv[1]), sys.argv[3:]
    results: dict[str, Any] = {}
    for job in sys.argv[2].split(","):
        if job == "world":
            results[job] = world(out, ["ema-validation-1-ddp", "ema-validation-1-fsdp"])
        else:
            stop = STEPS[job] if job in ("begin", "continue") else 0
            kind = "whole" if job == "whole" else "moved"
            results[job] = {cell: train(out / f"{cell}-{kind}", cell, stop) for cell in cells}
    if rank_and_world()[0] == 0:
        print(json.dumps(results))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        leave(2)
        sys.exit(2)
    leave()
