"""The trunks: networks that know nodes, pairs or edges and positions, and no science.

    >>> from sciml import trunks
    >>> trunk = trunks.build("pair_transformer", dim=64, depth=2)
    >>> trunk.dim
    64

All take one batch (`sciml.graph`) and return `Encoded`. A trunk of a user's own is named by import
path, `my_package.module:MyTrunk`, or by file, `my_trunk.py:MyTrunk`; see `sciml.trunks.base`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.errors import InputError, unknown

if TYPE_CHECKING:
    from sciml.trunks.base import Trunk, TrunkConfig

_WHERE = {
    "equivariant": "equivariant:Equivariant",
    "lorentz": "lorentz:Lorentz",
    "message_passing": "message_passing:MessagePassing",
    "pair_transformer": "pair_transformer:PairTransformer",
    "particle_net": "particle_net:ParticleNet",
    "sequence": "sequence:Sequence",
}


def names() -> list[str]:
    """The trunks that `build` knows by name."""
    return sorted(_WHERE)


def find(name: str) -> type[Trunk]:
    """The class of a trunk, by name, import path `module:Class` or file `path.py:Class`.

    Raises:
        InputError: there is none, or what is there is no `Trunk`.
    """
    from sciml.trunks.base import Trunk

    if ":" not in name:
        if name not in _WHERE:
            hint = "Your own is named by import path, module:Class, or file, path.py:Class"
            raise unknown("trunk", name, names(), hint=hint)
        name = f"{__name__}.{_WHERE[name]}"
    place, _, attribute = name.rpartition(":")
    try:
        found = getattr(_module(place), attribute)
    except (ImportError, AttributeError, OSError) as error:
        raise InputError(f"cannot import the trunk {name!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Trunk)):
        raise InputError(
            f"{name!r} is not a trunk", hint="It must be a subclass of sciml.trunks.base.Trunk"
        )
    return found


def _module(place: str) -> Any:
    """The module named `place`, or the one in the file `place`."""
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).resolve()
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if loaded is not None:  # another module has this name: keep both
        name = f"{name}_{abs(hash(str(path))):x}"
        if name in sys.modules:
            return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module in {place}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def name_of(kind: type[Trunk]) -> str:
    """The name that `find` knows `kind` by: a registered one, or its import path."""
    own = f"{kind.__module__}:{kind.__qualname__}"
    for name, where in _WHERE.items():
        if own == f"{__name__}.{where}":
            return name
    return own


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


def load(path: str | Path) -> Trunk:
    """See `sciml.trunks.base.load`."""
    from sciml.trunks import base

    return base.load(path)
