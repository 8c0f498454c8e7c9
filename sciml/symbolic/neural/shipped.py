"""Which trained model is meant, found without importing torch where it is the package's own."""

from __future__ import annotations

import os
from functools import lru_cache

from sciml.paths import weights_dir
from sciml.weights import find, names

NAME = "integrate-small"


def default_model() -> str | None:
    """The path of the shipped integrator's weights; None where there are none."""
    path = weights_dir() / f"{NAME}.safetensors"
    return str(path) if path.is_file() else None


def model_path(model: str | os.PathLike[str]) -> str:
    """The file of a shipped model by name, or one of the user's, which is loaded once to see that
    it can be: where the rules fail, a model that cannot would otherwise just have no guesses.

    Raises:
        InputError: no such model, or a file that is none.
    """
    path = find(model)
    if os.fspath(model) not in names():
        _check(str(path), path.stat().st_mtime_ns)
    return str(path)


@lru_cache(maxsize=8)
def _check(path: str, written: int) -> None:
    from sciml.symbolic.neural.model import Seq2Seq

    Seq2Seq.from_pretrained(path)
