"""The training loop.

`fit` trains a module whose `forward(batch)` returns `{"loss": mean, "count": terms, ...}`. A step's
loss is the mean over all terms of the global batch: over micro-batches, over processes, over a
incomplete last batch. It checkpoints, and the same call resumes where the last one stopped.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sciml.config import check as checked
from sciml.device import choose
from sciml.errors import InputError
from sciml.files import tensors
from sciml.files.locks import locked, remove_leftovers
from sciml.train import parallel
from sciml.train.callbacks import Callback, Callbacks, together
from sciml.train.config import TrainConfig
from sciml.train.log import Bar, MetricsLog, console
from sciml.train.optim import Average, adamw, lr_factor
from sciml.train.sampler import Examples, Lengths, Plan, move, read
from sciml.train.state import RESTART, TrainState, files
from sciml.train.trackers import chosen
from sciml.train.validation import check, load_result


class TrainingDiverged(InputError):
    """The loss or the gradient is no longer a finite number; all processes raise it together."""

    of_all_processes = True


class Interrupted(KeyboardInterrupt):
    """Stopped by Ctrl-C, SIGTERM or SIGUSR1 after a checkpoint; the same command resumes.

    All processes raise it together, with the same exit code.
    """

    of_all_processes = True

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped at step {step}; the same command goes on from there")
        self.exit_code = 128 + number


@dataclass
class FitResult:
    """`module` holds the weights to use: best validated, else averaged, else last."""

    module: nn.Module
    steps: int
    history: list[dict[str, Any]]
    seconds: float
    best: float | None = None


class _Signals:
    """Turns the first Ctrl-C, SIGTERM or SIGUSR1 into a flag, the second Ctrl-C into an exception.

    SIGUSR1 is what a cluster sends before a job's time is over.
    """

    def __init__(self) -> None:
        self.number = 0
        self.old: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                self.old[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, _frame: Any) -> None:
        if self.number == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)


def fit(
    module: nn.Module,
    dataset: Examples,
    config: TrainConfig,
    *,
    out: Path,
    collate: Callable[[list[Any]], Any] | None = None,
    lengths: Lengths | None = None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    title: str = "training",
    quiet: bool = False,
    restart: bool | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train `module` on `dataset`, or resume the run in `out`.

    Args:
        module: `forward(batch)` returns a dict with `loss` (scalar, a mean) and, if the mean is not
            over the examples, `count` (scalar: over how many terms); other scalars are logged.
            A method `after_step(step)`, if it has one, runs after each optimiser step.
        dataset: anything with `len` and `[i]`.
        out: folder for `checkpoints/` and `metrics.jsonl`.
        collate: list of examples -> batch.
        lengths: [len(dataset)], cost of each example: similar lengths share a batch.
        validate: called with the module in eval mode; returns metrics, `config.monitor` among them.
        quiet: no progress bar, for one of many short trainings.
        restart: start again where no existing checkpoint can be loaded; None: as the command line
            says (`sciml run ... --restart`), by default no.
        log: called in the first process with every record that metrics.jsonl gets.
        callbacks: told of start, step, validation, checkpoint and end; see `Callback`.

    Raises:
        InputError: nothing to train on, an impossible setting, `out` holds another run, another
            process works there, a full disk, or checkpoints of which none is intact.
        TrainingDiverged: the loss or gradient is not finite; the batch is saved.
        Interrupted: stopped by a signal, after a checkpoint.
    """
    if len(dataset) == 0:
        raise InputError("there is nothing to train on: the data set is empty", where=out)
    checked(config)
    parallel.rank_and_world()  # joins the group, whose rank 0 takes the lock
    metrics = out / "metrics.jsonl"
    had = metrics.exists()
    hooks = together([*callbacks, *chosen(config)], log)
    with locked(out):
        try:
            return _fit(
                module, dataset, config, out, collate, lengths, validate, title, quiet,
                RESTART.get() if restart is None else restart, hooks,
            )  # fmt: skip
        except InputError as error:
            # Lines without a checkpoint are of no use to a rerun; before a divergence, to a person.
            begun = had or next(iter(files(out / "checkpoints")), None)
            if not begun and not isinstance(error, TrainingDiverged):
                metrics.unlink(missing_ok=True)
            raise


def _fit(
    module: nn.Module,
    dataset: Examples,
    config: TrainConfig,
    out: Path,
    collate: Callable[[list[Any]], Any] | None,
    lengths: Lengths | None,
    validate: Callable[[nn.Module], dict[str, float]] | None,
    title: str,
    quiet: bool,
    restart: bool,
    hooks: Callbacks,
) -> FitResult:
    rank, world = parallel.rank_and_world()
    selected = choose(config.device, "bf16" if config.precision == "fp16" else config.precision)
    dtype = torch.float16 if config.precision == "fp16" else selected.dtype
    device = selected.device
    plan = Plan(
        len(dataset), config.batch_size, config.seed, lengths, config.accumulate, rank, world
    )
    total = config.steps or max(1, round(config.epochs * plan.steps_per_epoch))
    folder = out / "checkpoints"

    torch.manual_seed(config.seed + 7919 * rank)
    module.to(device).train()
    wrapped = parallel.wrap(module, config.strategy, device)
    trained = parallel.inner(wrapped)
    if config.compile:
        wrapped.compile()
    optimizer = adamw(trained, config.lr, config.weight_decay, fused=device.type != "cpu")
    state = TrainState(
        trained,
        optimizer,
        torch.amp.GradScaler(device.type, enabled=dtype == torch.float16),
        Average(trained, config.ema) if config.ema else None,
        notes={
            "settings": _fixed(config, plan, total), "best": None, "bad": 0, "done": False,
            "seeded_per_example": True,
        },
    )  # fmt: skip
    if rank == 0:
        remove_leftovers(folder)
    parallel.barrier()
    resumed = state.restore(folder, state.notes["settings"], restart, say=rank == 0)
    log = None
    if rank == 0:
        start, mark = (state.step, resumed.get("metrics")) if resumed else (None, None)
        log = MetricsLog(out / "metrics.jsonl", start, mark)
    if rank == 0 and not state.notes["done"] and not quiet:
        begin = f"resumed at step {state.step} of {total}" if resumed else f"{total} steps"
        console.print(f"{title}: {begin}, {_millions(module)} parameters, on {selected}")

    began = time.monotonic()
    # A run that began before transforms were seeded per example goes on as it began.
    per_example = bool(state.notes.get("seeded_per_example"))
    batches = read(
        dataset, collate, plan, state.step, config.workers, device.type == "cuda", per_example,
        config.buckets,
    )  # fmt: skip
    autocast = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
    seen = 0
    bar = Bar(title, total, state.step, quiet or rank != 0)
    run = {
        "out": out, "title": title, "step": state.step, "total": total,
        "parameters": sum(p.numel() for p in module.parameters()), "settings": asdict(config),
    }  # fmt: skip
    told = hooks.told(run, state) if log and not state.notes["done"] else nullcontext()
    with log or nullcontext(), _Signals() as signals, bar, told:
        while state.step < total and not state.notes["done"]:
            _set_lr(optimizer, config, state.step, total)
            metrics, count, stop = _step(
                wrapped, state, batches, config, device, autocast, signals, out
            )
            state.step += 1
            seen += config.batch_size
            parallel.reshard(trained)
            if state.average is not None:
                state.average.update(trained, state.step)
            if callable(after_step := getattr(trained, "after_step", None)):
                after_step(state.step)
            parallel.reduce_buffers(trained)
            if log and (state.step % config.log_every == 0 or state.step == total):
                lr = optimizer.param_groups[0]["lr"]
                rate = seen / (time.monotonic() - began)
                line = dict(split="train", lr=lr, rate=round(rate, 1), **metrics)
                hooks.step(log.write(state.step, **line))
            bar.update(state.step, f"loss {metrics['loss']:.4f}")
            if validate and (state.step % config.validate_every == 0 or state.step == total):
                values = check(state, module, device, validate, config, out, rank)
                if log:
                    hooks.validation(log.write(state.step, split="valid", **values))
            state.notes["done"] = bool(state.notes["done"] or state.step == total)
            if stop or state.notes["done"] or state.step % config.checkpoint_every == 0:
                path = state.save(folder, config.keep, rank == 0, log.mark if log else None)
                if log:
                    hooks.checkpoint({"step": state.step, "path": path})
            if stop and not state.notes["done"]:
                raise Interrupted(stop, state.step)
    parallel.barrier()
    module.to(device)
    load_result(state, module, folder, say=rank == 0)
    module.eval()
    history = log.records if log else []
    return FitResult(module, state.step, history, time.monotonic() - began, state.notes["best"])


def _fixed(config: TrainConfig, plan: Plan, total: int) -> dict[str, Any]:
    """The settings that must not change when a run is resumed."""
    free = {
        "device",
        "workers",
        "checkpoint_every",
        "keep",
        "log_every",
        "tensorboard",
        "mlflow",
        "wandb",
        "strategy",
        "compile",
        "buckets",
        "accumulate",
        "epochs",
        "precision",
    }
    shared = {k: v for k, v in asdict(config).items() if k not in free}
    return {**shared, "steps": total, "examples": plan.size}


def _set_lr(optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, total: int) -> None:
    factor = lr_factor(step, total, round(config.warmup * total))
    for group in optimizer.param_groups:
        group["lr"] = config.lr * factor


def _step(
    wrapped: nn.Module,
    state: TrainState,
    batches: Any,
    config: TrainConfig,
    device: torch.device,
    autocast: Any,
    signals: _Signals,
    out: Path,
) -> tuple[dict[str, float], float, int]:
    """One optimiser step -> (metrics of the global batch, its count, a pending signal).

    The CPU waits for an accelerator once, at the end. A divergence is noticed there: after the
    update, of which nothing is saved. (`fp16` waits once more, for the scale of the gradients.)
    """
    world = parallel.rank_and_world()[1]
    sums: dict[str, torch.Tensor] = {}
    count_here = torch.zeros((), device=device)
    parts: list[tuple[Any, torch.Tensor]] = []  # (micro-batch, whether its loss is finite)
    for part in range(config.accumulate):
        batch, weight = next(batches)
        batch = move(batch, device)
        with parallel.no_sync(wrapped, part == config.accumulate - 1):
            with autocast:
                result = wrapped(batch)
            loss = result["loss"].float()
            count = result.get("count", _size(batch))
            if not torch.is_tensor(count):
                count = torch.full((), float(count), device=device)
            count = count * weight
            parts.append((batch, torch.isfinite(loss.detach())))
            # Sums, not means: the division by the global count comes once, at the end.
            state.scaler.scale(loss * count).backward()
        count_here += count
        for key, value in result.items():
            if key != "count" and torch.is_tensor(value) and value.ndim == 0:
                value = value.detach().float() * count
                sums[key] = sums[key] + value if key in sums else value
    names = sorted(sums)
    gathered = parallel.sum_over_processes(
        torch.stack(
            [
                *(sums[name] for name in names),
                count_here,
                sum(~finite for _, finite in parts).float(),  # type: ignore[union-attr]
                torch.full((), float(signals.number), device=device),
            ]
        )
    )
    scale = world / gathered[-3].clamp(min=1e-12)
    state.scaler.unscale_(state.optimizer)
    parameters = [p for p in state.module.parameters() if p.grad is not None]
    for parameter in parameters:
        # Both wrappers average over processes: times world is the sum.
        parameter.grad.mul_(scale)  # type: ignore[union-attr]
    norm = nn.utils.clip_grad_norm_(parameters, config.clip or math.inf)
    norm = parallel.full_tensor(norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    # All that the CPU needs to know of the step comes in one transfer, when all is queued.
    *means, total, not_finite, stop, norm = torch.cat([gathered, norm.float()[None]]).tolist()
    if not_finite > 0:
        _diverged("loss", parts, state, out, device)
    if not math.isfinite(norm) and not state.scaler.is_enabled():
        _diverged("gradient", parts, state, out, device)
    metrics = {name: value / max(total, 1e-12) for name, value in zip(names, means, strict=True)}
    # A sum: one process or all may have had the signal.
    number = signal.SIGTERM if world > 1 and stop else int(stop)
    return {**metrics, "grad_norm": norm}, total, number


def _size(batch: Any) -> int:
    """Examples in a batch: PyG's own count, else the length of its first tensor."""
    if hasattr(batch, "num_graphs") and getattr(batch, "batch", None) is not None:
        return int(batch.num_graphs)
    if torch.is_tensor(batch):
        return len(batch)
    if hasattr(batch, "to_dict"):
        batch = batch.to_dict()
    values = batch.values() if isinstance(batch, dict) else batch
    return next((_size(v) for v in values if torch.is_tensor(v) and v.ndim), 1)


def _tensors_in(batch: Any, name: str = "batch") -> dict[str, torch.Tensor]:
    if torch.is_tensor(batch):
        storable = batch.dtype in tensors.DTYPES.values() and batch.layout == torch.strided
        return {name: batch} if storable else {}
    if hasattr(batch, "to_dict"):
        batch = batch.to_dict()
    named: dict[str, torch.Tensor] = {}
    if isinstance(batch, dict | list | tuple):
        items = batch.items() if isinstance(batch, dict) else enumerate(batch)
        for key, value in items:
            named |= _tensors_in(value, f"{name}.{key}")
    return named


def _diverged(
    what: str,
    parts: list[tuple[Any, torch.Tensor]],
    state: TrainState,
    out: Path,
    device: torch.device,
) -> None:
    """Save the micro-batch at fault and raise, in all processes alike."""
    path = out / "failed-batch.safetensors"
    at_fault = [batch for batch, finite in parts if not finite]
    faults = parallel.stack_over_processes(torch.tensor(len(at_fault)), device).nonzero()
    first = int(faults[0]) if len(faults) else 0
    if parallel.rank_and_world()[0] == first:
        tensors.write(path, _tensors_in(at_fault[0] if at_fault else parts[-1][0]))
    parallel.barrier()
    raise TrainingDiverged(
        f"the {what} of step {state.step} is not finite; its batch is in {path}",
        where=out,
        hint="Look for NaN in that batch; if there is none, lower train.lr or train.clip",
    )


def _millions(module: nn.Module) -> str:
    number = sum(p.numel() for p in module.parameters())
    return f"{number / 1e6:.2f}M" if number >= 1e5 else f"{number:,}"
