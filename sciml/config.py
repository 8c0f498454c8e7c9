"""Strict settings: frozen dataclass <-> YAML <-> command line, all mistakes reported at once.

A setting is a field of a frozen dataclass. Its help is the string literal beneath it, its limits
are a `Range` in its annotation:

    @dataclass(frozen=True)
    class TrainConfig:
        lr: Annotated[float, Range(min=0, exclusive=True)] = 1e-3
        \"\"\"Peak learning rate.\"\"\"
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from sciml.errors import InputError, nearest
from sciml.renamed import former_names

T = TypeVar("T")
SHOWN = 20
"""Maximum number of problems that one error names."""


@dataclass(frozen=True)
class Range:
    """Limits of a number; `exclusive` leaves `min` and `max` themselves out."""

    min: float = -math.inf
    max: float = math.inf
    exclusive: bool = False

    def fault(self, value: float) -> str | None:
        """What `value` violates, or None."""
        if isinstance(value, float) and math.isnan(value):
            return "must be a number, got nan"
        low = value > self.min if self.exclusive else value >= self.min
        high = value < self.max if self.exclusive else value <= self.max
        if low and high:
            return None
        return f"must be {self}, got {value}"

    def __str__(self) -> str:
        more, less = (">", "<") if self.exclusive else (">=", "<=")
        parts = []
        if self.min != -math.inf:
            parts.append(f"{more} {self.min:g}")
        if self.max != math.inf:
            parts.append(f"{less} {self.max:g}")
        return " and ".join(parts) or "a number"


def field_types(cls: type) -> dict[str, Any]:
    """The fields of a dataclass with their resolved annotations, `Annotated` kept."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def former_flags(cls: type, prefix: str = "") -> dict[str, str]:
    """Old -> present dotted name of every renamed setting (`renamed.Formerly`)."""
    hints = field_types(cls)
    names = {f"{prefix}{old}": f"{prefix}{new}" for old, new in former_names(hints).items()}
    for name, hint in hints.items():
        while hasattr(hint, "__metadata__"):
            hint = hint.__origin__
        for member in get_args(hint) or (hint,):
            if dataclasses.is_dataclass(member):
                names |= former_flags(typing.cast(type, member), f"{prefix}{name}.")
    return names


def from_dict(cls: type[T], mapping: Mapping[str, Any], *, where: object = None) -> T:
    """Build `cls` from nested plain values.

    Args:
        cls: a dataclass.
        mapping: names to values, nested for nested dataclasses; missing ones keep their default.
        where: named in the error, usually the file.

    Raises:
        InputError: names every unknown key (with the nearest valid one), wrong type and
            impossible value at once.
    """
    problems: list[str] = []
    value = _build(cls, mapping, "", problems)
    if problems:
        count = f"{len(problems)} problems: " if len(problems) > 1 else ""
        more = "; ..." if len(problems) > SHOWN else ""
        raise InputError(count + "; ".join(problems[:SHOWN]) + more, where=where)
    return value


def _build(cls: type[T], mapping: Any, path: str, problems: list[str]) -> T:
    if not isinstance(mapping, Mapping):
        shown = _shown(mapping)
        problems.append(f"`{path or 'the file'}` must be a mapping of settings, got {shown}")
        return typing.cast(T, None)
    hints = field_types(cls)
    former = former_names(hints)
    values: dict[str, Any] = {}
    for key, raw in mapping.items():
        name = f"{path}{str(key)[:60]}"
        if key in former:
            if former[key] in mapping:
                problems.append(f"`{name}` and `{path}{former[key]}` are the same setting")
                continue
            key, name = former[key], f"{path}{former[key]}"
        if len(problems) > SHOWN:
            break
        if key not in hints:
            close = nearest(str(key)[:60], hints)
            proposal = f", did you mean `{path}{close[0]}`?" if close else f" ({', '.join(hints)})"
            problems.append(f"unknown setting `{name}`{proposal}")
            continue
        values[key] = _convert(hints[key], raw, name, problems)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if field.init and required and field.name not in values:
            problems.append(f"`{path}{field.name}` is missing and has no default")
    if problems:
        return typing.cast(T, None)
    try:
        return cls(**values)
    except InputError as error:
        problems.append(error.what)
    except (TypeError, ValueError) as error:
        problems.append(f"`{path.rstrip('.') or cls.__name__}`: {error}")
    return typing.cast(T, None)


def _shown(value: Any) -> str:
    """A short `repr`: a file may hold a megabyte or nested lists in place of a number."""
    return reprlib.repr(value)


def _describe(hint: Any) -> str:
    if get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(hint))
    return getattr(hint, "__name__", str(hint)) if not get_args(hint) else str(hint)


def _convert(hint: Any, raw: Any, name: str, problems: list[str]) -> Any:
    """`raw` converted to the type `hint`; misfits are added to `problems`."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        before = len(problems)
        value = _convert(args[0], raw, name, problems)
        if len(problems) == before and value is not None:
            for limit in args[1:]:
                if isinstance(limit, Range):
                    for item in value if isinstance(value, tuple) else (value,):
                        fault = limit.fault(item)
                        if fault:
                            problems.append(f"`{name}` {fault}")
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(args, raw, name, problems)
    if origin is typing.Literal:
        if raw in args and type(raw) in {type(a) for a in args}:
            return raw
        close = nearest(_shown(raw), map(str, args))
        proposal = f", did you mean {close[0]!r}?" if close else ""
        problems.append(f"`{name}` must be {_describe(hint)}, got {_shown(raw)}{proposal}")
        return None
    if dataclasses.is_dataclass(hint):
        if isinstance(raw, typing.cast(type, hint)):
            return raw
        return _build(typing.cast(type, hint), raw, f"{name}.", problems)
    if origin in (tuple, list):
        return _convert_sequence(hint, origin, args, raw, name, problems)
    if origin is dict:
        if isinstance(raw, Mapping):
            return {
                key: _convert(args[1], item, f"{name}.{key}", problems) for key, item in raw.items()
            }
    elif hint is Any or hint is None:
        return raw
    elif hint is Path and isinstance(raw, str | Path):
        return Path(raw)
    elif hint is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        try:
            number = float(raw)
        except OverflowError:
            number = math.nan
        if not math.isnan(number):
            return number
        problems.append(f"`{name}` must be a number, got {_shown(raw)}")
        return None
    elif hint is float and isinstance(raw, str):
        # YAML 1.1 reads 1e-3 (no dot) as text.
        try:
            return float(raw)
        except ValueError:
            pass
    elif hint is int and isinstance(raw, bool):
        pass
    elif isinstance(hint, type) and isinstance(raw, hint):
        return raw
    problems.append(f"`{name}` must be {_describe(hint)}, got {_shown(raw)}")
    return None


def _convert_union(args: tuple[Any, ...], raw: Any, name: str, problems: list[str]) -> Any:
    if raw is None and type(None) in args:
        return None
    members = [arg for arg in args if arg is not type(None)]
    attempts: list[list[str]] = []
    for member in members:
        faults: list[str] = []
        value = _convert(member, raw, name, faults)
        if not faults:
            return value
        attempts.append(faults)
    fewest = min(attempts, key=len)
    problems.extend(fewest)
    return None


def _convert_sequence(
    hint: Any, origin: Any, args: tuple[Any, ...], raw: Any, name: str, problems: list[str]
) -> Any:
    if isinstance(raw, str) and args == (str, ...):
        raw = (raw,)  # a single text in place of a list
    if not isinstance(raw, list | tuple):
        problems.append(f"`{name}` must be a list, got {_shown(raw)}")
        return None
    if origin is tuple and args and args[-1] is not Ellipsis:
        if len(raw) != len(args):
            problems.append(f"`{name}` must have {len(args)} entries, got {len(raw)}")
            return None
        inner = list(args)
    else:
        inner = [args[0] if args else Any] * len(raw)
    return origin(
        _convert(kind, item, f"{name}[{i}]", problems)
        for i, (kind, item) in enumerate(zip(inner, raw))
    )


def check(config: T, *, where: object = None) -> T:
    """`config` itself if every value is within its limits.

    Raises:
        InputError: names everything that does not.
    """
    return from_dict(type(config), _shallow(config), where=where)


def _shallow(config: Any) -> dict[str, Any]:
    """Field values, nested dataclasses of the declared class as mappings, others as they are."""
    plain = {}
    for name, hint in field_types(type(config)).items():
        value = getattr(config, name)
        nested = dataclasses.is_dataclass(hint) and type(value) is hint
        plain[name] = _shallow(value) if nested else value
    return plain


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values of a dataclass, ready for YAML and `from_dict`."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {
                field.name: plain(getattr(value, field.name))
                for field in dataclasses.fields(value)
                if field.init
            }
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return plain(config)


def replace(config: T, overrides: Mapping[str, Any], *, where: object = None) -> T:
    """`config` with nested or dotted names replaced: `{"train.lr": 0.1, "data": {"jets": 5}}`."""
    values = to_dict(config)
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        target = values
        for parent in parents:
            if not isinstance(target.get(parent), dict):
                target[parent] = {}
            target = target[parent]
        if isinstance(value, Mapping) and isinstance(target.get(last), dict):
            target[last] = _merge(target[last], value)
        else:
            target[last] = value
    return from_dict(type(config), values, where=where)


def _merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        old = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        merged[key] = _merge(typing.cast(Mapping, old), value) if both else value
    return merged


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file, an empty file being an empty mapping.

    Raises:
        InputError: missing, not YAML (line and column named), or not a mapping.
    """
    import yaml

    from sciml.paths import existing_file

    path = existing_file(path, "YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        # safe_load raises more than its own kind: dates without a day, lists within lists
        raise InputError(f"is not valid YAML ({error})", where=path) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError("must hold a mapping of settings", where=path)
    return content


def load_yaml(cls: type[T], path: str | Path) -> T:
    """`from_dict` of a YAML file."""
    return from_dict(cls, read_yaml(path), where=path)


def save_yaml(config: Any, path: str | Path, comment: str = "") -> None:
    """Write a dataclass as YAML, atomically, `comment` at the top."""
    import yaml

    from sciml.paths import atomic_write

    header = "".join(f"# {line}\n" for line in comment.splitlines())
    text = header + yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
