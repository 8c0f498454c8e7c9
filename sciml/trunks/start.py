"""Where a network starts from: a fresh trunk, another one by name, or what pretraining wrote.

A recipe's `start` is empty (the trunk of its own settings), the name or import path of another
trunk, or the folder that `sciml run pretrain --out FOLDER` wrote:

    FOLDER/trunk/                            the trunk (`sciml.trunks.save`)
    FOLDER/embedder.safetensors              the embedder of its science, or
    FOLDER/embedders/SCIENCE.safetensors     one for each science that it learned from jointly
    FOLDER/pretrained.json                   what it was pretrained on, for people

The header of an embedder's file holds its science and the settings that rebuild it. A folder brings
no code: a trunk of your own in it is named again by `own_trunk`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from sciml import trunks
from sciml.config import read_yaml
from sciml.errors import InputError
from sciml.files import tensors
from sciml.own import is_own
from sciml.trunks.base import Trunk, TrunkConfig, load_state
from sciml.weights import loading

ENTRY = "embedder"
"""Entry of the header of an embedder's file: {"science": ..., settings}."""
ONE, SEVERAL, FACTS = "embedder.safetensors", "embedders", "pretrained.json"
MAX_FACTS = 1 << 20
"""Longest description that is read [bytes]."""


class Parts(NamedTuple):
    """A trunk and the embedder of a science for it."""

    trunk: Trunk
    embedder: Any


@dataclass(frozen=True)
class Start:
    """What a recipe's network starts from.

    Attributes:
        science: jets, protein, symbolic or placement; whose embedder is needed.
        embedder: widths of a trunk (dim, pair_dim) and settings -> a fresh embedder.
        usual: settings of the recipe's own trunk; another one by name takes its `dim` and
            `pair_dim`, a pretrained one has its own.
        name: the recipe's `start`; see the module.
        own_trunk: the trunk of your own in the folder `name`; None where the recipe takes none.
        settings: of the embedder; those of a pretrained one must be the same.
    """

    science: str
    embedder: Callable[..., nn.Module]
    usual: TrunkConfig
    name: str = ""
    own_trunk: str | None = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.own_trunk and self.folder is None:
            raise InputError(
                "`own_trunk` belongs to a folder in `start`: name a fresh trunk by `start`"
            )

    @property
    def folder(self) -> Path | None:
        """The folder of an earlier `sciml run pretrain`, if `name` is a folder."""
        path = Path(self.name)
        if not self.name or not path.is_dir():
            return None
        return path if holds_trunk(path) or self.name not in trunks.names() else None

    def fresh(self) -> Parts:
        """Random weights, in the sizes that `load` gives them.

        Raises:
            InputError: no such trunk, or a folder that cannot be used.
        """
        if self.folder is not None:
            pretrained = self._trunk(self.folder)
            trunk = type(pretrained)(pretrained.config)
            return Parts(trunk, self._embedder(trunk, self._file(self.folder)))
        if self.name:
            size = {"dim": self.usual.dim, "pair_dim": self.usual.pair_dim}
            trunk = trunks.build({"name": self.name, **size})
        else:
            trunk = trunks.build(self.usual)
        return Parts(trunk, self.embedder(trunk.dim, trunk.pair_dim, **self.settings))

    def load(self) -> Parts:
        """The pretrained weights.

        Raises:
            InputError: `name` is no folder, holds no trunk, no embedder of this science, or one
                that reads other features.
        """
        if self.folder is None:
            raise InputError("is no folder of `sciml run pretrain`", where=self.name)
        trunk = self._trunk(self.folder)
        file = self._file(self.folder)
        try:
            embedder = self._embedder(trunk, file)
            load_state(embedder, file.state)
        except InputError as error:
            shown = "".join(f" with {key} {value!r}" for key, value in self.settings.items())
            raise InputError(
                f"does not hold an embedder of {self.science}{shown} for this trunk ({error})",
                where=file.path, hint=f"Pretrain on {self.science} with the same settings",
            ) from error  # fmt: skip
        return Parts(trunk, embedder)

    def begin(self) -> Parts:
        """The pretrained weights where there are any, else fresh ones."""
        return self.fresh() if self.folder is None else self.load()

    def __str__(self) -> str:
        """For a report: "pair_transformer, pretrained by masked on jets.root (runs/mine)"."""
        if self.folder is not None:
            return provenance(self.folder)
        return f"{self.name or trunks.name_of(type(self.usual).trunk())} with random weights"

    def _trunk(self, folder: Path) -> Trunk:
        if not holds_trunk(folder):
            names = sorted(path.name for path in folder.iterdir())[:5]
            raise InputError(
                f"holds no trunk, but {', '.join(names) or 'nothing'}", where=folder,
                hint="`start` is a trunk's name or the --out of `sciml run pretrain`",
            )  # fmt: skip
        kind = read_yaml(folder / "trunk" / "trunk.yaml").get("trunk")
        if self.own_trunk is None and is_own(str(kind)):
            from sciml.recipes import recipes_with

            raise InputError(
                f"holds {kind!r}, a trunk of your own, which this recipe does not start from",
                where=folder, hint=f"{', '.join(recipes_with('own_trunk'))} do, with --own-trunk",
            )  # fmt: skip
        return trunks.load(folder / "trunk", self.own_trunk or None)

    def _embedder(self, trunk: Trunk, file: EmbedderFile) -> nn.Module:
        """A fresh embedder as the file describes it, if the file is large enough for it."""
        settings = {**self.settings, **file.settings}
        return loading.build(
            lambda: self.embedder(trunk.dim, trunk.pair_dim, **settings), file.state,
            where=file.path,
        )  # fmt: skip

    def _file(self, folder: Path) -> EmbedderFile:
        """The embedder of this science, with the settings that the recipe asks for."""
        files = embedders(folder)
        if not files:
            raise InputError("holds a trunk without an embedder", where=folder,
                             hint="`sciml run pretrain` writes both")  # fmt: skip
        file = files.get(self.science) or files.get("")
        if file is None:
            raise InputError(
                f"holds an embedder of {' and of '.join(sorted(files))}, none of {self.science}",
                where=folder,
                hint=f"Pretrain with --data {self.science}:FILES, alone or beside others",
            )
        for key, value in self.settings.items():
            held = file.settings.get(key, value)
            if held != value:
                raise InputError(
                    f"holds an embedder of {self.science} with {key} {held!r}, not {value!r}",
                    where=file.path,
                    hint=f"--{key.replace('_', '-')} {held} fine-tunes it; or pretrain with "
                    f"--embedder-settings '{{{self.science}: {{{key}: {value}}}}}'",
                )
        return file


class EmbedderFile(NamedTuple):
    """An embedder on disk: its file, the settings that rebuild it, its weights."""

    path: Path
    settings: dict[str, Any]
    state: dict[str, Tensor]


def holds_trunk(folder: Path) -> bool:
    """Whether a folder holds what `save` writes."""
    return (folder / "trunk" / "trunk.yaml").exists()


def save(
    folder: Path, trunk: Trunk, embedders: Mapping[str, tuple[nn.Module, Mapping[str, Any]]]
) -> None:
    """Write a trunk and its embedders; see the module.

    Args:
        folder: made where it is not there.
        trunk: the trunk.
        embedders: science -> the embedder and the settings that rebuild it, plain values.
    """
    trunks.save(trunk, folder / "trunk")
    for science, (embedder, settings) in embedders.items():
        path = folder / ONE if len(embedders) == 1 else folder / SEVERAL / f"{science}.safetensors"
        header = {ENTRY: json.dumps({"science": science, **settings}, default=str)}
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors.write(path, embedder.state_dict(), header)


def embedders(folder: Path) -> dict[str, EmbedderFile]:
    """The embedders in a folder by science; "" where nothing says which science it is.

    Raises:
        InputError: a file is damaged.
    """
    result = {}
    paths = [path for path in (folder / ONE,) if path.exists()]
    for path in paths or sorted((folder / SEVERAL).glob("*.safetensors")):
        state, header = tensors.read(path)
        settings = _plain(header.get(ENTRY)) or _described(folder)
        science = str(settings.pop("science", ""))[:60]
        result[science] = EmbedderFile(path, settings, state)
    return result


def provenance(folder: Path) -> str:
    """Trunk, objective, data and folder in words."""
    kind = read_yaml(folder / "trunk" / "trunk.yaml").get("trunk")
    facts = _facts(folder)
    settings, corpora, corpus = (facts.get(key) for key in ("config", "corpora", "corpus"))
    objective = settings.get("objective") if isinstance(settings, dict) else None
    names = corpora if isinstance(corpora, dict) else [corpus] if corpus else []
    by = f" by {objective}" if objective else ""
    on = f" on {', '.join(map(str, names))}" if names else ""
    return f"{kind}, pretrained{by}{on}"[:300] + f" ({folder})"


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    if not path.exists() or path.stat().st_size > MAX_FACTS:
        return {}
    return _plain(path.read_text(encoding="utf-8", errors="replace"))


def _described(folder: Path) -> dict[str, Any]:
    """The embedder's settings as version 0.1 described them, beside the weights."""
    reader = _facts(folder).get("reader")
    settings = dict(reader) if isinstance(reader, dict) else {}
    kind = settings.pop("kind", None)
    science = settings.pop("domain", "")
    named = {"structures": "structures", "expressions": "symbolic"}
    return {"science": named.get(str(kind), science), **settings}


def _plain(text: str | None) -> dict[str, Any]:
    """A JSON object; empty where the text is none."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
