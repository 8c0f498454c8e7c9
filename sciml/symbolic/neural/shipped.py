"""Which trained model `model=` means, found without importing torch where it is a shipped one."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Literal

from sciml.paths import weights_dir
from sciml.weights import find, names

Task = Literal["integrate", "dsolve"]
SHIPPED: dict[Task, str] = {"integrate": "integrate-small"}
"""The model that comes with the package, for each task that has one."""


def model_path(model: str | os.PathLike[str] | None, task: Task) -> str | None:
    """The file that `integrate(..., model=)` and `dsolve(..., model=)` mean.

    Args:
        model: ``"auto"`` for the model shipped for the task, where there is one; None for no
            model; else the name of a shipped model or the path of one of the user's, which is
            loaded once to see that it can be: where the rules fail, a model that cannot would
            otherwise just have no proposals.
        task: what it is to propose solutions of.

    Raises:
        InputError: no such model, or a file that is none.
    """
    if model is None:
        return None
    if model == "auto":
        if task not in SHIPPED:
            return None
        shipped = weights_dir() / f"{SHIPPED[task]}.safetensors"
        return str(shipped) if shipped.is_file() else None
    path = find(model)
    if os.fspath(model) not in names():
        _check(str(path), path.stat().st_mtime_ns)
    return str(path)


@lru_cache(maxsize=8)
def _check(path: str, written: int) -> None:
    from sciml.symbolic.neural.model import Seq2Seq

    Seq2Seq.from_pretrained(path, device="cpu")
