"""Everything a run is: saved in one atomic, checksummed file, restored bit for bit.

A checkpoint is `step-00000100.safetensors` (all tensors) and, written after it, a manifest
`step-00000100.json` with its sha256. A checkpoint without a matching manifest does not exist.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.train.optim import Average
from sciml.train.parallel import like, whole


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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

    def _names(self) -> dict[torch.Tensor, str]:
        return {parameter: name for name, parameter in self.module.named_parameters()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of the run by name; collective under FSDP."""
        found = {f"model.{k}": v for k, v in self.module.state_dict().items()}
        names = self._names()
        for parameter, values in self.optimizer.state.items():
            for key, value in values.items():
                found[f"optimizer.{names[parameter]}.{key}"] = torch.as_tensor(value)
        if self.average is not None:
            found |= {f"average.{k}": v for k, v in self.average.weights.items()}
        found["rng.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            found["rng.cuda"] = torch.cuda.get_rng_state()
        # Clones: safetensors refuses tensors that share memory (tied weights).
        return {k: whole(v.detach()).cpu().contiguous().clone() for k, v in found.items()}

    def save(self, folder: Path, keep: int = 2, write: bool = True) -> None:
        """Write a checkpoint and delete all but the last `keep`.

        Raises:
            InputError: the disk is full or the folder cannot be written; the checkpoints
                before this one stay as they are.
        """
        tensors = self.tensors()
        if not write:
            return
        path = folder / f"step-{self.step:08d}.safetensors"
        try:
            with atomic_write(path) as temporary:
                save_file(tensors, temporary)
                digest = sha256(temporary)
            manifest = {
                "step": self.step,
                "sha256": digest,
                "notes": self.notes,
                "scaler": self.scaler.state_dict(),
            }
            with atomic_write(path.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps(manifest), encoding="utf-8")
        except (OSError, RuntimeError) as error:
            # safetensors reports a full disk as a RuntimeError of its own.
            path.unlink(missing_ok=True)
            last = checkpoints(folder)
            kept = f"The one of step {last[-1][0]} is intact" if last else "There is none yet"
            raise InputError(
                f"the checkpoint of step {self.step} could not be written ({error})",
                where=folder,
                hint=f"{kept}; free disk space and run the same command again",
            ) from error
        for _, old in checkpoints(folder)[:-keep]:
            old.with_suffix(".json").unlink(missing_ok=True)
            old.unlink(missing_ok=True)

    def restore(self, folder: Path) -> bool:
        """Load the newest intact checkpoint; False if there is none. Call it last: it sets RNG."""
        for _, path in reversed(checkpoints(folder)):
            manifest = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if sha256(path) == manifest["sha256"]:
                self._load(load_file(path), manifest)
                return True
        return False

    def _load(self, saved: dict[str, torch.Tensor], manifest: dict[str, Any]) -> None:
        current = self.module.state_dict()
        wanted = {f"model.{name}" for name in current}
        present = {name for name in saved if name.startswith("model.")}
        if wanted != present:
            differing = sorted(wanted ^ present)
            raise InputError(
                f"the checkpoint belongs to another model: {len(differing)} tensors differ, "
                f"first {differing[0].removeprefix('model.')!r}",
                hint="Choose another --out or delete the old run",
            )
        self.module.load_state_dict(
            {name: like(saved[f"model.{name}"], tensor) for name, tensor in current.items()}
        )
        for parameter, name in self._names().items():
            prefix = f"optimizer.{name}."
            values = {k[len(prefix) :]: v for k, v in saved.items() if k.startswith(prefix)}
            # Names may be prefixes of one another ("a" and "a.b"): keys hold no dots.
            values = {key: value for key, value in values.items() if "." not in key}
            if values:
                self.optimizer.state[parameter] = {
                    key: value if value.ndim == 0 else like(value, parameter)
                    for key, value in values.items()
                }
        if self.average is not None:
            for name, tensor in self.average.weights.items():
                tensor.copy_(like(saved[f"average.{name}"], tensor))
        self.scaler.load_state_dict(manifest["scaler"])
        self.step, self.notes = manifest["step"], manifest["notes"]
        torch.set_rng_state(saved["rng.cpu"])
        if "rng.cuda" in saved and torch.cuda.is_available():
            torch.cuda.set_rng_state(saved["rng.cuda"])


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of the finished checkpoints in `folder`, oldest first."""
    found = []
    for path in sorted(folder.glob("step-*.safetensors")):
        if path.with_suffix(".json").exists():
            found.append((int(path.stem.removeprefix("step-")), path))
    return found
