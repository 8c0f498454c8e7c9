"""The trunks: networks that know nodes, pairs or edges and positions, and no science.

    >>> from sciml import trunks
    >>> trunk = trunks.build("pair_transformer", dim=64, depth=2)
    >>> trunk.dim
    64

All take one batch (`sciml.graph`) and return `Encoded`. A trunk of a user's own is named by import
path, `my_package.module:MyTrunk`, or by file, `my_trunk.py:MyTrunk`, which runs that code; see
`sciml.trunks.base`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml import own
from sciml.errors import InputError, unknown

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch_geometric.data import Data

    from sciml.trunks.base import Trunk, TrunkConfig

_WHERE = {
    "equivariant": f"{__name__}.equivariant:Equivariant",
    "lorentz": f"{__name__}.lorentz:Lorentz",
    "message_passing": f"{__name__}.message_passing:MessagePassing",
    "pair_transformer": f"{__name__}.pair_transformer:PairTransformer",
    "particle_net": f"{__name__}.particle_net:ParticleNet",
    "sequence": f"{__name__}.sequence:Sequence",
}


def names() -> list[str]:
    """The trunks that `build` knows by name."""
    return sorted(_WHERE)


def find(name: str) -> type[Trunk]:
    """The class of a trunk, by name, import path `module:Class` or file `path.py:Class`.

    Raises:
        InputError: there is none, or it is no `Trunk`.
    """
    from sciml.trunks.base import Trunk

    kind = own.find("trunk", name, _WHERE)
    if not (isinstance(kind, type) and issubclass(kind, Trunk)):
        raise InputError(
            f"{name!r} is not a trunk", hint="It must be a subclass of sciml.trunks.base.Trunk"
        )
    return kind


def named_in_file(
    name: str, own_kind: str | type[Trunk] | None = None, *, where: object = None
) -> type[Trunk]:
    """The class of a trunk that a file names. A file brings no code: nothing is imported but the
    package's own trunks and what the caller names.

    Args:
        name: as `name_of` gave it.
        own_kind: a class, or its name as for `find`, that the caller names for this file; without
            it, a class of that name which has been imported already is taken.
        where: the file, for messages.

    Raises:
        InputError: the name is of another trunk, or of one that is not known.
    """
    from sciml.trunks.base import Trunk

    if own_kind is not None:
        kind = find(own_kind) if isinstance(own_kind, str) else own_kind
        if name_of(kind).rpartition(":")[2] != name.rpartition(":")[2]:
            raise InputError(f"holds the trunk {name[:120]!r}, not {name_of(kind)!r}", where=where)
        return kind
    if name in _WHERE:
        return find(name)
    for kind in reversed(_subclasses(Trunk)):  # of two with one name, the newer
        if name_of(kind) == name:
            return kind
    if ":" not in name:
        raise unknown("trunk", name[:120], names(), where=where)
    raise InputError(
        f"names the trunk {name[:120]!r}, whose code is not run from a settings file or a header",
        where=where,
        hint="Your own is named in the call or command (--trunk; beside --start: --own-trunk), "
        "which runs it, or its module imported first",
    )


def _subclasses(kind: type[Trunk]) -> list[type[Trunk]]:
    """All classes that exist in this process below `kind`."""
    below = []
    for sub in kind.__subclasses__():
        below += [sub, *_subclasses(sub)]
    return below


def name_of(kind: type[Trunk]) -> str:
    """The name that `find` knows `kind` by: a registered one, or its import path."""
    path = f"{kind.__module__}:{kind.__qualname__}"
    for name, where in _WHERE.items():
        if path == where:
            return name
    return path


def resolve(
    name_or_config: str | Mapping[str, Any] | TrunkConfig, **overrides: Any
) -> tuple[type[Trunk], TrunkConfig]:
    """(class, checked settings) of whatever `build` takes.

    Raises:
        InputError: unknown name or setting, or a value out of its limits.
    """
    from sciml.config import from_dict, replace
    from sciml.trunks.base import TrunkConfig

    if isinstance(name_or_config, str):
        name_or_config = {"name": name_or_config}
    if isinstance(name_or_config, Mapping):
        if "name" in overrides:
            raise InputError("`name` is no setting of a trunk, but which trunk it is")
        settings = {**name_or_config, **overrides}
        if "name" not in settings:
            raise InputError("a trunk's settings need a `name`", hint=", ".join(names()))
        name = settings.pop("name")
        kind = find(name)
        return kind, from_dict(kind.Config, settings, where=f"trunk {name}")
    if not (isinstance(name_or_config, TrunkConfig) and dataclasses.is_dataclass(name_or_config)):
        raise InputError(
            f"a trunk is a name, a mapping with `name` or a TrunkConfig, got {name_or_config!r}"
        )
    kind = name_or_config.trunk()
    return kind, replace(name_or_config, overrides, where=f"trunk {name_of(kind)}")


def build(name_or_config: str | Mapping[str, Any] | TrunkConfig, **overrides: Any) -> Trunk:
    """A freshly initialised trunk.

    Args:
        name_or_config: "lorentz", "my_package.module:MyTrunk", {"name": "lorentz", "dim": 64} or
            a config such as `LorentzConfig(dim=64)`.
        overrides: settings that differ.

    Raises:
        InputError: unknown name or setting, or a value out of its limits.
    """
    kind, settings = resolve(name_or_config, **overrides)
    return kind(settings)


def save(trunk: Trunk, path: str | Path) -> Path:
    """See `sciml.trunks.base.save`."""
    from sciml.trunks import base

    return base.save(trunk, path)


def export(trunk: Trunk, batch: Data) -> ExportedProgram:
    """See `sciml.trunks.exported.export`."""
    from sciml.trunks import exported

    return exported.export(trunk, batch)


def load(path: str | Path, kind: str | type[Trunk] | None = None) -> Trunk:
    """See `sciml.trunks.base.load`."""
    from sciml.trunks import base

    return base.load(path, kind)
