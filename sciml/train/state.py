"""The state of a run, saved in one atomic, checksummed file and restored bit for bit.

A checkpoint is `step-00000100.safetensors` (all tensors) and, written after it, a manifest
`step-00000100.json` with its sha256. A checkpoint without a matching manifest is skipped with a
warning; a run without an intact checkpoint does not start again by itself.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sciml.errors import InputError
from sciml.files import kept, tensors
from sciml.files.kept import sha256
from sciml.train.optim import Average
from sciml.train.parallel import (
    full_tensor,
    rank_and_world,
    redistribute,
    stack_over_processes,
)
from sciml.weights.former_names import present_names

RESTART: ContextVar[bool] = ContextVar("restart", default=False)
"""Whether a run whose checkpoints are all damaged starts again (`--restart`)."""
ANEW = "Bring the file back from a copy, or start this training again: --restart, fit(restart=True)"
BEST = "best.safetensors"
"""The weights of the best validation, beside the checkpoints."""


@dataclass
class TrainState:
    """Model, optimiser, schedule and sampler position (both are `step`), EMA, scaler and RNG.

    `notes` are plain values that live with the run: best score, patience, settings.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: Average | None = None
    step: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    def _names(self) -> dict[torch.Tensor, str]:
        return {parameter: name for name, parameter in self.module.named_parameters()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of the run by name; collective under FSDP."""
        state = {f"model.{k}": v for k, v in self.module.state_dict().items()}
        names = self._names()
        for parameter, values in self.optimizer.state.items():
            for key, value in values.items():
                state[f"optimizer.{names[parameter]}.{key}"] = torch.as_tensor(value)
        if self.average is not None:
            state |= {f"average.{k}": v for k, v in self.average.weights.items()}
        for kind, here in _random_states().items():
            device = self._device if self._device.type == "cuda" else torch.device("cpu")
            for rank, values in enumerate(stack_over_processes(here, device)):
                state[f"rng.{kind}.{rank}" if rank else f"rng.{kind}"] = values
        # Clones: the values of this step, whatever is done with the tensors afterwards.
        return {k: full_tensor(v.detach()).cpu().contiguous().clone() for k, v in state.items()}

    def save(
        self,
        folder: Path,
        keep: int = 2,
        write: bool = True,
        metrics: dict[str, Any] | None = None,
    ) -> Path:
        """Write a checkpoint and delete all but the last `keep`.

        Args:
            folder: of the checkpoints.
            keep: how many stay.
            write: False on all ranks but 0.
            metrics: `MetricsLog.mark` at this step.

        Returns:
            the file.

        Raises:
            InputError: the disk is full or the folder cannot be written; the checkpoints
                before this one stay as they are.
        """
        current_tensors = self.tensors()
        path = folder / f"step-{self.step:08d}.safetensors"
        if not write:
            return path
        before = checkpoints(folder)
        try:
            digest = tensors.write(path, current_tensors)
            manifest = {
                "step": self.step,
                "sha256": digest,
                "notes": self.notes,
                "scaler": self.scaler.state_dict(),
                "metrics": metrics,
            }
            kept.write(path.with_suffix(".json"), manifest)
        except InputError as error:
            last = [step for step, old in before if old != path]
            intact = f"The one of step {last[-1]} is intact" if last else "There is none yet"
            raise InputError(
                f"the checkpoint of step {self.step} could not be written ({error.what})",
                where=folder,
                hint=f"{intact}; free disk space and run the same command again",
            ) from error
        # Later checkpoints are left from before this run went back to an earlier one.
        current = [old for step, old in before if step < self.step][-keep + 1 :] if keep > 1 else []
        for old in files(folder):
            if old != path and old not in current:
                old.with_suffix(".json").unlink(missing_ok=True)
                old.unlink(missing_ok=True)
        return path

    def restore(
        self,
        folder: Path,
        settings: dict[str, Any] | None = None,
        restart: bool = False,
        say: bool = True,
    ) -> dict[str, Any] | None:
        """Load the newest intact checkpoint. Call it last: it sets the random state.

        Args:
            folder: of the checkpoints.
            settings: those that the run must have been started with.
            restart: where the run cannot resume, start again.
            say: warn of skipped checkpoints.

        Returns:
            its manifest; None if there is nothing to resume.

        Raises:
            InputError: there are checkpoints, and none is intact; the best weights are damaged; or
                they are of another model or of other settings.
        """
        skipped: list[str] = []
        lost = False
        for path in reversed(files(folder)):
            try:
                saved, manifest = _read(path)
            except InputError as error:
                skipped.append(f"{path.name} ({error.what})")
                # Weights alone are what a crash between two files leaves: no result is lost.
                lost = lost or path.with_suffix(".json").exists()
                continue
            if settings is not None:
                same_settings(manifest["notes"]["settings"], settings, folder.parent)
            fault = _fault_of_best(folder, manifest["notes"])
            if fault:
                skipped, lost = [*skipped, fault], True
                break
            if skipped and say:
                kept.warn(f"{folder}: skipped {'; '.join(skipped)}; resumes from {path.name}")
            self._load(saved, manifest, folder.parent)
            return manifest
        if skipped:
            what = f"the training cannot go on: {'; '.join(skipped)}"
            if lost and not restart:
                raise InputError(what, where=folder, hint=ANEW)
            if say:
                kept.warn(f"{folder}: {what}; it starts again")
        return None

    def _load(self, saved: dict[str, torch.Tensor], manifest: dict[str, Any], out: Path) -> None:
        saved = present_names(self.module, saved, ("model.", "average.", "optimizer."))
        current = self.module.state_dict()
        expected = {f"model.{name}": tensor for name, tensor in current.items()}
        if self.average is not None:
            expected |= {f"average.{name}": t for name, t in self.average.weights.items()}
        differing = [name for name in saved if name.startswith("model.") and name not in expected]
        differing += [
            name
            for name, tensor in expected.items()
            if name not in saved or saved[name].shape != tensor.shape
        ]
        if differing:
            raise InputError(
                f"the checkpoint belongs to another model: {len(differing)} tensors differ, "
                f"first {sorted(differing)[0].partition('.')[2]!r}",
                where=out,
                hint="Choose another --out or delete the old run",
            )
        self.module.load_state_dict(
            {name: redistribute(saved[f"model.{name}"], tensor) for name, tensor in current.items()}
        )
        for parameter, name in self._names().items():
            prefix = f"optimizer.{name}."
            values = {k[len(prefix) :]: v for k, v in saved.items() if k.startswith(prefix)}
            # Names may be prefixes of one another ("a" and "a.b"): keys hold no dots.
            values = {key: value for key, value in values.items() if "." not in key}
            if values:
                self.optimizer.state[parameter] = {
                    key: value if value.ndim == 0 else redistribute(value, parameter)
                    for key, value in values.items()
                }
        if self.average is not None:
            for name, tensor in self.average.weights.items():
                tensor.copy_(redistribute(saved[f"average.{name}"], tensor))
        if manifest["scaler"] and self.scaler.is_enabled():  # the precision may change
            self.scaler.load_state_dict(manifest["scaler"])
        self.step, self.notes = manifest["step"], manifest["notes"]
        self._load_random_state(saved)

    def _load_random_state(self, saved: dict[str, torch.Tensor]) -> None:
        """This process's own random numbers; one more than there were gets new ones."""
        rank = rank_and_world()[0]
        if rank and f"rng.cpu.{rank}" not in saved:
            seed = self.notes.get("settings", {}).get("seed", 0)
            torch.manual_seed(hash((seed, self.step, rank)) % 2**63)
            return
        suffix = f".{rank}" if rank else ""
        torch.set_rng_state(saved[f"rng.cpu{suffix}"])
        if f"rng.cuda{suffix}" in saved and torch.cuda.is_available():
            torch.cuda.set_rng_state(saved[f"rng.cuda{suffix}"])


def _random_states() -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def same_settings(saved: dict[str, Any], settings: dict[str, Any], out: Path) -> None:
    """Refuse to resume a run that was started with other settings."""
    changed = [
        f"{key} was {saved.get(key)!r}, is {value!r}"
        for key, value in settings.items()
        if saved.get(key) != value
    ]
    if changed:
        raise InputError(
            f"this folder holds a run with other settings: {'; '.join(changed)}",
            where=out,
            hint="Choose another --out, or delete the folder to start again",
        )


def write_best(folder: Path, weights: dict[str, torch.Tensor], notes: dict[str, Any]) -> None:
    """Write the best weights; their digest goes into the notes, and so into the manifest."""
    notes["best_sha256"] = tensors.write(folder / BEST, weights)


def read_best(folder: Path, notes: dict[str, Any], say: bool = True) -> dict[str, torch.Tensor]:
    """The best weights, as `write_best` wrote them.

    Raises:
        InputError: they are missing, damaged, or of another training.
    """
    path = folder / BEST
    weights, _ = tensors.read(path)
    if "best_sha256" not in notes:
        if say:
            kept.warn(f"{path} was written by version 0.1, without a digest: taken as it is")
    elif sha256(path) != notes["best_sha256"]:
        raise InputError("is not what this training wrote (sha256 differs)", where=path, hint=ANEW)
    return weights


def _fault_of_best(folder: Path, notes: dict[str, Any]) -> str | None:
    """Why the best weights on disk cannot be those that a run noted; None if they can."""
    if notes.get("best") is None:
        return None
    try:
        if notes.get("done"):
            read_best(folder, notes, say=False)
        else:  # may be newer than the checkpoint, and is then written again
            tensors.read(folder / BEST)
    except InputError as error:
        return f"{BEST} ({error.what})"
    return None


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the manifest of a checkpoint.

    Raises:
        InputError: one of the two is missing or damaged, or they do not belong together.
    """
    beside = path.with_suffix(".json")
    try:
        manifest = kept.unseal(beside.read_bytes())
    except FileNotFoundError:
        raise InputError("its manifest is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"its manifest is damaged: {str(error)[:100]}") from None
    forms = {"step": int, "sha256": str, "notes": dict, "scaler": dict}
    for key, form in forms.items():
        if not isinstance(manifest.get(key), form):
            raise InputError(f"its manifest lacks `{key}`")
    if manifest["step"] != _step(path):
        raise InputError(f"its manifest is of step {manifest['step']}")
    notes = manifest["notes"]
    usable = (
        isinstance(notes.get("settings"), dict)
        and isinstance(notes.get("best", ""), float | int | None)
        and isinstance(notes.get("bad"), int)
        and isinstance(notes.get("done"), bool)
    )
    if not usable:
        raise InputError("the notes of its manifest are not complete")
    try:
        if sha256(path) != manifest["sha256"]:
            raise InputError("sha256 differs from its manifest's")
    except FileNotFoundError:
        raise InputError("is missing") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from None
    mark = manifest.get("metrics")
    forms = {"bytes": int, "sha256": str}
    if not (isinstance(mark, dict) and all(isinstance(mark.get(k), f) for k, f in forms.items())):
        manifest["metrics"] = None
    saved, _ = tensors.read(path)
    if "rng.cpu" not in saved:
        raise InputError("lacks the random state")
    return saved, manifest


def _step(path: Path) -> int | None:
    match = re.fullmatch(r"step-(\d{1,18})", path.stem)
    return int(match[1]) if match else None


def files(folder: Path) -> list[Path]:
    """The checkpoints of which weights or manifest exist, oldest first."""
    by_step = {}
    for path in (*folder.glob("step-*.safetensors"), *folder.glob("step-*.json")):
        if (step := _step(path)) is not None:
            by_step[step, path.stem] = path.with_suffix(".safetensors")
    return [by_step[key] for key in sorted(by_step)]


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of the finished checkpoints in `folder`, oldest first."""
    return [
        (int(_step(path) or 0), path)
        for path in files(folder)
        if path.exists() and path.with_suffix(".json").exists()
    ]
