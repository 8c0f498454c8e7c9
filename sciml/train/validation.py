"""Validation during training: which weights are evaluated, which are kept, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from sciml.errors import InputError, unknown
from sciml.train import parallel
from sciml.train.config import TrainConfig
from sciml.train.log import console
from sciml.train.state import BEST, TrainState, read_best, write_best
from sciml.weights.former_names import present_names


@contextmanager
def _evaluated(state: TrainState, module: nn.Module, device: torch.device) -> Iterator[None]:
    """`module` in eval mode, with the weights to evaluate: the average, else those of this step."""
    if state.module is not module:  # sharded
        module.to(device)
        parallel.gather(state.module, module, state.average.weights if state.average else {})
    elif state.average is not None:
        state.average.swap(module)
    module.eval()
    yield
    module.train()
    if state.module is not module:
        module.cpu()
    elif state.average is not None:
        state.average.swap(module)


def check(
    state: TrainState,
    module: nn.Module,
    device: torch.device,
    validate: Callable[[nn.Module], dict[str, float]],
    config: TrainConfig,
    out: Path,
    rank: int,
) -> dict[str, float]:
    """Keep the best weights, or count a check without improvement -> the metrics."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    name = config.monitor.lstrip("-")
    with _evaluated(state, module, device):
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            metrics = validate(module)
        if name not in metrics:
            raise unknown("metric in `monitor`", name, metrics)
        score = -metrics[name] if config.monitor.startswith("-") else metrics[name]
        # All processes stop, or go on, with the first one.
        if parallel.rank_and_world()[1] > 1:
            on_device = torch.tensor(float(score), dtype=torch.float64, device=device)
            score = float(parallel.broadcast(on_device))
        if state.notes["best"] is None or score < state.notes["best"]:
            state.notes |= {"best": score, "bad": 0}
            if rank == 0:
                weights = {k: v.detach().cpu() for k, v in module.state_dict().items()}
                write_best(out / "checkpoints", weights, state.notes)
            else:
                state.notes.pop("best_sha256", None)  # only the first process knows it
        else:
            state.notes["bad"] += 1
            if config.patience and state.notes["bad"] >= config.patience:
                state.notes["done"] = True
                if rank == 0:
                    console.print(
                        f"stopped early: {name} did not improve in {config.patience} checks"
                    )
    return metrics


def load_result(state: TrainState, module: nn.Module, folder: Path, say: bool) -> None:
    """The weights to use: the best validated ones, else the average, else the last."""
    if state.notes["best"] is not None:
        current = module.state_dict()
        saved = present_names(module, read_best(folder, state.notes, say))
        mismatched = [n for n, t in current.items() if n not in saved or saved[n].shape != t.shape]
        if mismatched:
            raise InputError(f"lacks {mismatched[0]!r} as the model has it", where=folder / BEST)
        module.load_state_dict({name: saved[name] for name in current})
    elif state.module is not module:
        parallel.gather(state.module, module, state.average.weights if state.average else {})
    elif state.average is not None:
        state.average.swap(module)
