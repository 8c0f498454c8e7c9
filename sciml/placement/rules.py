"""A user's placement rules, beside those of the files: a TOML file, or the rules of a contest.

```toml
channel = 4.0                         # hard macros are this far apart, along x or along y
orientations = ["N", "FN", "S", "FS"] # of hard macros that move
pin_access = 10.0                     # kept free on the sides of hard macros that have pins

[[halo]]
nodes = ["ram_*"]
size = [2.0, 2.0, 2.0, 2.0]           # left bottom right top, as oriented N

[[blockage]]
box = [0.0, 0.0, 50.0, 40.0]
kind = "hard"                         # or "soft"

[[region]]
name = "core"
boxes = [[100.0, 100.0, 300.0, 250.0]]
kind = "fence"                        # or "guide", "inside"
nodes = ["core/*"]

[[density]]                           # standard cells fill at most this share of each box
region = "core"                       # or box = [...]
most = 0.7

[[align]]
nodes = ["ram_a*"]
edge = "left"                         # right, bottom, top, x or y (the middles)

[[soft_fixed]]
nodes = ["ram_b*"]
within = 5.0                          # of where the input has the object's outline

[[fixed]]
nodes = ["pll"]
```

Lengths are micrometres. `*` in a name stands for anything. Everything becomes `Constraints`, so
that `check` and the placers treat it as they treat the rules of a DEF.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError, unknown
from sciml.placement.constraints import (
    EDGES,
    FENCE,
    GUIDE,
    HARD,
    INSIDE,
    PARTIAL,
    SOFT,
    Aligned,
    Blockages,
    Constraints,
    Region,
)
from sciml.placement.design import MACRO, ORIENTATIONS, Design

CHALLENGE_GAP = 0.001
"""Micrometres: what single precision can tell from an overlap on a die of some millimetres."""
CHALLENGE_SECONDS = 3600.0
UPRIGHT_TURNS = ("N", "FN", "S", "FS")
_KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "halo": {"nodes": list, "size": list},
    "blockage": {"box": list, "kind": str},
    "region": {"name": str, "boxes": list, "kind": str, "nodes": list},
    "density": {"region": str, "box": list, "most": (int, float)},
    "align": {"nodes": list, "edge": str},
    "soft_fixed": {"nodes": list, "within": (int, float)},
    "fixed": {"nodes": list},
}
_OPTIONAL = {("density", "region"), ("density", "box"), ("blockage", "kind"), ("region", "kind")}
_NUMBERS = ("channel", "pin_access")


def challenge(gap: float = CHALLENGE_GAP) -> dict[str, Any]:
    """Rules of the macro placement contest of 2026: hard macros never overlap and are N FN S FS.

    Sizes of soft macros are those of the netlist, as everywhere here. `gap` in micrometres.
    """
    return {"channel": gap, "orientations": list(UPRIGHT_TURNS)}


def read_rules(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file of rules, as `apply` takes it.

    Raises:
        InputError: it is no TOML, or has keys, words or numbers that rules have not.
    """
    try:
        rules = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", where=path,
                         hint='Rules are "challenge" or a .toml file') from None  # fmt: skip
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"cannot be read as TOML: {error}", where=path) from None
    _check_keys(rules, path)
    return rules


def _check_keys(rules: dict[str, Any], where: object) -> None:
    for key, value in rules.items():
        if key in _NUMBERS:
            _length(value, key, where)
        elif key == "orientations":
            for word in value if isinstance(value, list) and value else [value]:
                if word not in ORIENTATIONS:
                    raise unknown("orientation", str(word), ORIENTATIONS, where=where)
        elif key in _KEYS:
            for entry in value if isinstance(value, list) else [value]:
                _check_entry(key, entry, where)
        else:
            raise unknown("rule", key, [*_NUMBERS, "orientations", *_KEYS], where=where)


def _check_entry(kind: str, entry: Any, where: object) -> None:
    if not isinstance(entry, dict):
        raise InputError(f"{kind} must be a table [[{kind}]]", where=where)
    for key, value in entry.items():
        if key not in _KEYS[kind]:
            raise unknown(f"key of [[{kind}]]", key, _KEYS[kind], where=where)
        if not isinstance(value, _KEYS[kind][key]) or isinstance(value, bool):
            raise InputError(f"{key} of [[{kind}]] has the wrong type, {value!r}", where=where)
    for key in _KEYS[kind]:
        if key not in entry and (kind, key) not in _OPTIONAL:
            raise InputError(f"[[{kind}]] needs {key}", where=where)
    if kind == "density" and ("region" in entry) == ("box" in entry):
        raise InputError("[[density]] needs either a region or a box", where=where)


def apply(design: Design, rules: dict[str, Any], where: object = None) -> Design:
    """The design with these rules (see `read_rules`) beside its own.

    Raises:
        InputError: no node has a name, or a rule contradicts itself or another.
    """
    scale = 1.0 / design.unit_um
    own = design.constraints or Constraints.none(design.nodes)
    labels = list(design.names)
    changes: dict[str, Any] = {}
    macros = (design.kind == MACRO) & ~design.fixed

    def nodes(entry: dict[str, Any]) -> np.ndarray:
        return _matching(labels, entry["nodes"], where)

    allowed, halo, region = own.allowed.copy(), own.halo.copy(), own.region.copy()
    if "orientations" in rules:
        bits = sum(1 << ORIENTATIONS.index(word) for word in set(rules["orientations"]))
        allowed[macros] &= bits
        stuck = np.flatnonzero(macros & (allowed == 0))
        if len(stuck):
            raise InputError(f"macro {labels[int(stuck[0])]!r} may not be turned in any way that "
                             f"the rules allow", where=where)  # fmt: skip
    for entry in rules.get("halo", []):
        members = nodes(entry)
        halo[members] = np.maximum(halo[members], _lengths(entry["size"], 4, "size", where) * scale)
    if rules.get("pin_access"):
        halo = np.maximum(halo, _pin_sides(design) * (float(rules["pin_access"]) * scale))
    regions = list(own.regions)
    for entry in rules.get("region", []):
        kinds = {"inside": INSIDE, "fence": FENCE, "guide": GUIDE}
        kind = _word(entry.get("kind", "fence"), kinds, "kind of region", where)
        boxes = np.array([_box(box, where) for box in entry["boxes"]]).reshape(-1, 4)
        if not len(boxes) or entry["name"] in {r.name for r in regions}:
            raise InputError(f"region {entry['name']!r} is repeated or has no boxes", where=where)
        region[nodes(entry)] = len(regions)
        regions.append(Region(entry["name"], kinds[kind], boxes * scale))
    changes["blockages"] = _blockages(own.blockages, rules, regions, scale, where)
    changes["aligned"] = _aligned(design, rules, nodes, where)
    window = own.window
    for entry in rules.get("soft_fixed", []):
        window = _windows(design, nodes(entry), _length(entry["within"], "within", where) * scale,
                          window)  # fmt: skip
    fixed = design.fixed.copy()
    for entry in rules.get("fixed", []):
        fixed[nodes(entry)] = True
    channel = max(own.channel, float(rules.get("channel", 0.0)) * scale)
    ruled = replace(own, allowed=allowed, halo=halo, region=region, regions=tuple(regions),
                    window=window, channel=channel, **changes)  # fmt: skip
    return replace(design, constraints=ruled, fixed=fixed)


def without_rules(placed: Design, original: Design) -> Design:
    """A placed design with the rules and fixed nodes of the file alone, as it is written."""
    rules = original.constraints
    if rules is not None and placed.constraints is not None:
        rules = replace(rules, unplaced=placed.constraints.unplaced)
    return replace(placed, constraints=rules, fixed=original.fixed)


def _pin_sides(design: Design) -> np.ndarray:
    """[N, 4] 1 where a hard macro has pins nearest to that side (left bottom right top, as N)."""
    sides = np.zeros((design.nodes, 4))
    pins = np.flatnonzero(design.kind[design.pin_node] == MACRO)
    node = design.pin_node[pins]
    half = np.stack([design.width, design.height], 1)[node] / 2
    offset = np.stack([design.pin_dx, design.pin_dy], 1)[pins]
    nearest = np.concatenate([half + offset, half - offset], 1)
    inside = (np.abs(nearest - half.repeat(2, 1)[:, [0, 2, 1, 3]]) > 1e-9).any(1)
    sides[node[inside], nearest[inside].argmin(1)] = 1.0  # pins in the middle have no side
    return sides


def _windows(
    design: Design, members: np.ndarray, within: float, before: np.ndarray | None
) -> np.ndarray:
    window = np.tile([-np.inf, -np.inf, np.inf, np.inf], (design.nodes, 1))
    if before is not None:
        window = before.copy()
    half = np.stack(design.size(), 1)[members] / 2
    centre = np.stack([design.x, design.y], 1)[members]
    window[members, :2] = np.maximum(window[members, :2], centre - half - within)
    window[members, 2:] = np.minimum(window[members, 2:], centre + half + within)
    return window


def _aligned(
    design: Design, rules: dict[str, Any], nodes: Any, where: object
) -> tuple[Aligned, ...]:
    out: list[Aligned] = []
    for entry in rules.get("align", []):
        members = nodes(entry)
        edge = _word(entry["edge"], EDGES, "edge", where)
        if (design.kind[members] != MACRO).any():
            other = members[design.kind[members] != MACRO][0]
            raise InputError(f"only hard macros can be aligned, not {design.names[int(other)]!r}",
                             where=where)  # fmt: skip
        for earlier in out:
            if len(both := np.intersect1d(earlier.members, members)):
                raise InputError(f"macro {design.names[int(both[0])]!r} is in two aligned groups",
                                 where=where)  # fmt: skip
        out.append(Aligned(edge, members))
    return tuple(out)


def _blockages(
    own: Blockages, rules: dict[str, Any], regions: list[Region], scale: float, where: object
) -> Blockages:
    boxes, kinds, density = [], [], []
    for entry in rules.get("blockage", []):
        known = {"hard": HARD, "soft": SOFT}
        boxes.append(_box(entry["box"], where) * scale)
        kinds.append(known[_word(entry.get("kind", "hard"), known, "kind of blockage", where)])
        density.append(1.0)
    for entry in rules.get("density", []):
        most = float(entry["most"])
        if not 0 <= most <= 1:
            raise InputError(f"most of [[density]] must be 0 to 1, got {most:g}", where=where)
        if "box" in entry:
            parts = [_box(entry["box"], where) * scale]
        else:
            names = [r.name for r in regions]
            if entry["region"] not in names:
                raise unknown("region", entry["region"], names, where=where)
            parts = list(regions[names.index(entry["region"])].boxes)
        boxes += parts
        kinds += [PARTIAL] * len(parts)
        density += [most] * len(parts)
    if not boxes:
        return own
    return Blockages(
        np.concatenate([own.boxes, np.array(boxes)]),
        np.append(own.kind, np.array(kinds, np.int8)),
        np.append(own.density, density),
        np.append(own.owner, np.full(len(boxes), -1)),
    )


# -- values --------------------------------------------------------------------------------
def _matching(labels: list[str], patterns: list[Any], where: object) -> np.ndarray:
    hits: set[int] = set()
    for pattern in patterns:
        form = re.compile(".*".join(map(re.escape, str(pattern).split("*"))))
        found = [i for i, label in enumerate(labels) if form.fullmatch(label)]
        if not found:
            raise unknown("node", str(pattern), labels, where=where)
        hits.update(found)
    return np.array(sorted(hits), np.int64)


def _word(word: str, known: Any, what: str, where: object) -> str:
    if word not in known:
        raise unknown(what, word, list(known), where=where)
    return word


def _length(value: Any, what: str, where: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise InputError(f"{what} must be a length >= 0 [um], got {value!r}", where=where)
    return float(value)


def _lengths(values: list[Any], count: int, what: str, where: object) -> np.ndarray:
    if len(values) != count:
        raise InputError(f"{what} must be {count} lengths [um], got {values!r}", where=where)
    return np.array([_length(v, what, where) for v in values])


def _box(values: Any, where: object) -> np.ndarray:
    try:
        x0, y0, x1, y1 = (float(v) for v in values)
    except (TypeError, ValueError):
        raise InputError(f"a box must be [x0, y0, x1, y1], got {values!r}", where=where) from None
    if not (math.isfinite(x0 + y0 + x1 + y1) and x0 < x1 and y0 < y1):
        raise InputError(f"a box must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1, "
                         f"got {values!r}", where=where)  # fmt: skip
    return np.array([x0, y0, x1, y1])
