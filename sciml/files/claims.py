"""Which run a folder belongs to: its claim, and cleaning up after a refused run.

The claim is a file of its own, so that a `config.yaml` that lies in the folder already, such as the
one that the run reads its settings from, is neither taken for a claim nor written over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciml import config as settings
from sciml.errors import InputError
from sciml.files import kept, locks

NAME = ".sciml.run.json"
"""The claim: the recipe, its settings, and the file that shows them to people."""
FIRST = "# sciml run "
"""How a settings file that a run wrote begins."""
TRACES = ("checkpoints", "metrics.jsonl", "features", "pairs.npz", "policies")
"""Names in the folders of runs of version 0.1, whose claim was their config.yaml."""

YOUNGER = ("mlflow", "wandb")
"""Settings of training since version 0.2, which a run before that had switched off."""

RESULTS = (
    "report.html", "metrics.jsonl", "results.json", "scores.json", "table.md", "runs.jsonl",
    "model.safetensors", "policy.safetensors", "embedder.safetensors", "embedders",
    "predictions.parquet", "pretrained.json", "families.json", "search.gif", "pairs.npz",
    "validation.npz", "checkpoints", "runs", "trunk", "joint", "pretrain", "finetune",
    "features", "pretraining", "pretrained", "policies", "predictions", "finetuned", "folded",
    "placed",
)  # fmt: skip
"""Names that recipes write: in a folder without a claim they belong to somebody else."""


@dataclass(frozen=True)
class Claim:
    """The recipe and settings that a folder belongs to."""

    recipe: str
    settings: dict[str, Any]
    file: str
    """Name of the settings file for people."""
    sha256: str
    """Of that file when the run began."""


def claim(out: Path, recipe: str, config: Any, command: str) -> None:
    """Make `out` this run's folder; the same run resumes there, another one is refused.

    Args:
        out: the folder, locked.
        recipe: its name.
        config: its settings, a dataclass.
        command: the first line of the settings file.

    Raises:
        InputError: the folder holds another run, or cannot be written.
    """
    now = json.loads(json.dumps(settings.to_dict(config)))
    before = _read(out)
    if before is None:
        before = _of_first_version(out)
    if before is None:
        for path in (out / name for name in RESULTS):
            if path.exists():
                raise InputError("exists, and no run of this folder made it",
                                 where=path, hint="Choose another --out")  # fmt: skip
        file = _settings_file(out, now)
        if not (out / file).exists():
            settings.save_yaml(config, out / file, comment=command)
        kept.write(out / NAME, Claim(recipe, now, file, kept.sha256(out / file)).__dict__)
        return
    changed = differences(before.settings, now)
    if before.recipe != recipe:
        changed = [f"the recipe was {before.recipe}, is {recipe}", *changed]
    if changed:
        raise InputError(
            f"this folder holds a run with other settings: {'; '.join(changed[:5])}",
            where=out,
            hint="Choose another --out, or delete the folder to start again",
        )
    path = out / before.file
    if not path.exists():
        settings.save_yaml(config, path, comment=command)
    elif kept.sha256(path) != before.sha256:
        kept.warn(f"{path} was changed after the run began; the run's own settings count")


def settings_file(out: Path) -> Path:
    """The file with all settings of the run in `out`, for `--config`."""
    existing = _read(out)
    return out / (existing.file if existing else "config.yaml")


def _read(out: Path) -> Claim | None:
    path = out / NAME
    if not path.exists():
        return None
    try:
        existing = Claim(**kept.unseal(path.read_bytes()))
        if (
            not isinstance(existing.settings, dict)
            or Path(str(existing.file)).name != existing.file
        ):
            raise ValueError("is not complete")
        return existing
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"says which run this folder holds, and is damaged ({str(error)[:100]})",
            where=path,
            hint="If the same run goes on here, delete this file; else choose another --out",
        ) from None


def _of_first_version(out: Path) -> Claim | None:
    """The claim of a run of version 0.1, if the folder holds one."""
    path = out / "config.yaml"
    if not path.is_file() or not any(next(out.rglob(name), None) for name in TRACES):
        return None
    head = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    if not head.startswith(FIRST):
        return None
    recipe = head.removeprefix(FIRST).split(" ")[0]
    return Claim(recipe, settings.read_yaml(path), path.name, kept.sha256(path))


def _settings_file(out: Path, now: dict[str, Any]) -> str:
    """A free name, or that of a file with the same settings."""
    path = out / "config.yaml"
    try:
        if not path.exists() or settings.read_yaml(path) == now:
            return path.name
    except InputError:
        pass  # not even YAML: certainly not ours
    number, name = 2, "settings.yaml"
    while (out / name).exists():
        number, name = number + 1, f"settings-{number}.yaml"
    return name


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """The differences of two nested settings, in words."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        changes = []
        now = {k: v for k, v in now.items() if k in before or k not in YOUNGER or v}
        for key in [*now, *(k for k in before if k not in now)]:
            dotted = f"{name}.{key}" if name else str(key)
            changes += differences(before.get(key), now.get(key), dotted)
        return changes
    return [] if before == now else [f"{name} was {before!r}, is {now!r}"]


@contextmanager
def unless_refused(out: Path) -> Iterator[None]:
    """A run in `out` that leaves the folder as it was if it is refused before its first result.

    Only what this run itself made is removed: its claim, empty files and empty folders. A run that
    fails later leaves its results, to resume when the fault is mended.
    """
    before = set(out.rglob("*")) if out.is_dir() else set()
    try:
        yield
    except InputError:
        made = sorted((path for path in out.rglob("*") if path not in before), reverse=True)
        files = [path for path in made if path.is_symlink() or not path.is_dir()]
        if all(_is_claim(path, out) or path.lstat().st_size == 0 for path in files):
            for path in files:
                path.unlink()
            locks.remove_empty([path for path in made if path not in files])
        raise


def _is_claim(path: Path, out: Path) -> bool:
    is_settings = path.suffix == ".yaml" and path.stem.partition("-")[0] in ("config", "settings")
    return path.parent == out and (path.name == NAME or is_settings)
