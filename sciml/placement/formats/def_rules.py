"""The placement rules of LEF and DEF, as `Constraints`.

MACRO SYMMETRY and SITE, the power rail at a cell's bottom, BLOCKAGES (PLACEMENT), REGIONS, GROUPS,
and of COMPONENTS the HALO, REGION and SOURCE. Format: LEF/DEF 5.8 language reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.errors import InputError, unknown
from sciml.placement.constraints import (
    ANY_ORIENTATION,
    BLOCKAGE_KINDS,
    PARTIAL,
    REGION_KINDS,
    Blockages,
    Constraints,
    Region,
    allowed_orientations,
    inside_polygon,
)
from sciml.placement.tokens import LARGEST, too_large

if TYPE_CHECKING:
    from sciml.placement.design import Rows
    from sciml.placement.formats.def_file import DefFile
    from sciml.placement.formats.lef import Library
    from sciml.placement.tokens import Names


def read_rules(
    file: DefFile, library: Library, units: float, components: Names, fields: dict[str, Any],
    rows: Rows | None, die: np.ndarray | None,
) -> Constraints:  # fmt: skip
    """The rules of a DEF; nodes are its components, then its ports.

    Raises:
        InputError: a statement is incomplete or names an unknown component or region.
    """
    count, nodes = len(components), len(fields["kind"])
    rules = Constraints.none(nodes)
    macros = [library.macros[m] for m in fields["references"][:count]]
    _turns(library, macros, fields["fixed"], rules)
    sites = tuple(sorted({m.site for m in macros} - {""}))
    index = {name: k for k, name in enumerate(sites)}
    rules.site[:count] = [index.get(m.site, -1) for m in macros]
    rules.unplaced[:] = ~fields["placed"]
    usual = _usual_supply(macros, fields, rows)
    for i, macro in enumerate(macros):
        if (lowest := macro.lowest_supply()) and lowest != usual:
            rules.rail[i] = -1
    dash, _ = file.section("COMPONENTS")
    regions = _regions(file, units)
    _of_components(file, dash, units, regions, rules)
    _groups(file, components, regions, rules.region)
    return Constraints(
        **{key: getattr(rules, key) for key in ("allowed", "halo", "halo_soft", "late", "region",
                                                "rail", "site", "unplaced")},
        sites=sites, regions=tuple(regions.values()),
        blockages=_blockages(file, units, components), die=die, grid=library.grid or 1 / units,
    )  # fmt: skip


def _turns(library: Library, macros: list[Any], fixed: np.ndarray, rules: Constraints) -> None:
    """Orientations that SYMMETRY allows.

    Some libraries give their cells Y alone and put them into rows that are mirrored in x: where
    no cell of a library has X, but some have Y, the mirror of the rows is implied. Fixed pads keep
    their orientation.
    """
    core = [m.symmetry for m in library.macros.values() if m.kind.startswith("CORE")]
    understood = any("Y" in s for s in core) and not any("X" in s for s in core)
    for i, macro in enumerate(macros):
        symmetry = macro.symmetry
        if understood and macro.kind.startswith("CORE") and "Y" in symmetry:
            symmetry = symmetry | {"X"}
        pad = macro.kind.startswith(("PAD", "COVER", "ENDCAP")) and fixed[i]
        rules.allowed[i] = ANY_ORIENTATION if pad else allowed_orientations(symmetry)


def _usual_supply(macros: list[Any], fields: dict[str, Any], rows: Rows | None) -> str:
    """The rail at the bottom of single-row cells: GROUND, unless most have POWER."""
    high = float(rows.height.min()) if rows is not None and len(rows) else 0.0
    votes = [m.lowest_supply() for m in {id(m): m for m in macros}.values()
             if abs(m.height - high) < 1e-6]  # fmt: skip
    return "POWER" if votes.count("POWER") > votes.count("GROUND") else "GROUND"


def _statements(file: DefFile, section: str) -> list[tuple[int, list[str]]]:
    dash, end = file.section(section)
    return [
        (a, [file.text[i] for i in range(a + 1, b)])
        for a, b in zip(dash.tolist(), end.tolist(), strict=True)
    ]


def _points(
    file: DefFile, words: list[str], token: int, k: int, units: float
) -> tuple[np.ndarray, int]:
    """The points `( x y ) ...` from word k on, [V, 2], and where they end."""
    out = []
    while k < len(words) and words[k] == "(":
        try:
            out.append((float(words[k + 1]) / units, float(words[k + 2]) / units))
            if words[k + 3] != ")":
                raise ValueError
        except (ValueError, IndexError):
            raise file.text.error("expected points ( x y )", token) from None
        k += 4
    points = np.array(out, np.float64).reshape(-1, 2)
    if len(points) < 2 or not np.isfinite(points).all():
        raise file.text.error("expected at least two points ( x y )", token)
    if (farthest := float(np.abs(points).max())) * units > LARGEST:
        raise too_large(
            "point", f"{farthest * units:g}", f"{file.path}, line {file.text.line(token)}"
        )
    return points, k


def _box(points: np.ndarray) -> list[float]:
    return [*points.min(0).tolist(), *points.max(0).tolist()]


def _blockages(file: DefFile, units: float, components: Names) -> Blockages:
    boxes: list[list[float]] = []
    kinds: list[int] = []
    densities: list[float] = []
    owners: list[int] = []
    for token, words in _statements(file, "BLOCKAGES"):
        if not words or words[0] != "PLACEMENT":
            continue
        kind, density, owner, k = 0, 1.0, -1, 1
        try:
            while k < len(words):
                word = words[k]
                if word in ("RECT", "POLYGON"):
                    points, k = _points(file, words, token, k + 1, units)
                    where = f"{file.path}, BLOCKAGES"
                    many = [_box(points)] if word == "RECT" else inside_polygon(points, where)
                    for box in many:
                        boxes.append(list(box))
                        kinds.append(kind)
                        densities.append(density)
                        owners.append(owner)
                    continue
                if word in BLOCKAGE_KINDS:
                    kind = BLOCKAGE_KINDS.index(word)
                    if kind == PARTIAL:
                        k += 1
                        density = float(words[k]) / 100
                elif word == "COMPONENT":
                    k += 1
                    owner = _find(file, components, words[k])
                elif word not in ("+", "PUSHDOWN"):
                    raise file.text.error(f"unknown word {word!r} in a placement blockage", token,
                                          hint="Known: SOFT, PARTIAL, PUSHDOWN, COMPONENT, RECT, "
                                               "POLYGON")  # fmt: skip
                k += 1
        except (ValueError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            raise file.text.error("the blockage is incomplete", token) from None
        if not 0 <= density <= 1:
            raise file.text.error(f"PARTIAL must be 0 to 100, got {100 * density:g}", token)
    return Blockages(
        np.array(boxes, np.float64).reshape(-1, 4), np.array(kinds, np.int8),
        np.array(densities, np.float64), np.array(owners, np.int64),
    )  # fmt: skip


def _find(file: DefFile, components: Names, name: str) -> int:
    from sciml.placement.tokens import Names

    index = int(components.find(Names.of([name]))[0])
    if index < 0:
        raise unknown("component", name, components, where=file.path)
    return index


def _regions(file: DefFile, units: float) -> dict[str, Region]:
    out: dict[str, Region] = {}
    for token, words in _statements(file, "REGIONS"):
        if not words:
            raise file.text.error("a region needs a name", token)
        points, k = _points(file, words, token, 1, units)
        if len(points) % 2:
            raise file.text.error("a region's rectangles need two points each", token)
        kind = 0
        if "TYPE" in words[k:-1]:
            label = words[words.index("TYPE", k) + 1]
            if label not in REGION_KINDS:
                raise file.text.error(
                    f"a region's TYPE must be FENCE or GUIDE, got {label!r}", token
                )
            kind = REGION_KINDS.index(label)
        boxes = np.array([_box(pair) for pair in points.reshape(-1, 2, 2)])
        out[words[0]] = Region(words[0], kind, boxes)
    return out


def _region(file: DefFile, regions: dict[str, Region], name: str) -> int:
    if name not in regions:
        raise unknown("region", name, regions, where=file.path)
    return list(regions).index(name)


def _of_components(
    file: DefFile, dash: np.ndarray, units: float, regions: dict[str, Region], rules: Constraints
) -> None:
    """`+ HALO`, `+ REGION` and `+ SOURCE`."""
    text = file.text
    tokens, owners = file.inside(("HALO", "REGION", "SOURCE"), dash)
    for token, i in zip(tokens.tolist(), owners.tolist(), strict=True):
        if text.raw(token - 1) != b"+" or token + 1 >= len(text):
            continue
        word, first = text[token], text[token + 1]
        if word == "SOURCE":
            rules.late[i] = first in ("TIMING", "DIST")
        elif word == "REGION":
            rules.region[i] = _region(file, regions, first)
        else:
            soft = first == "SOFT"
            numbers = token + 1 + soft + np.arange(4)
            if numbers[-1] >= len(text):
                raise text.error("HALO needs four distances", token)
            values = text.lengths(numbers, "HALO") / units
            if (values < 0).any():
                raise text.error("HALO must be >= 0", token)
            rules.halo[i], rules.halo_soft[i] = values, soft


def _groups(
    file: DefFile, components: Names, regions: dict[str, Region], region: np.ndarray
) -> None:
    """Members of groups that have a region; `*` in a member's name stands for anything."""
    component_names: list[str] | None = None
    for token, words in _statements(file, "GROUPS"):
        plus = words.index("+") if "+" in words else len(words)
        if "REGION" not in words[plus:-1]:
            continue
        target = _region(file, regions, words[words.index("REGION", plus) + 1])
        for name in words[1:plus]:
            if "*" not in name:
                region[_find(file, components, name)] = target
                continue
            component_names = component_names if component_names is not None else list(components)
            pattern = re.compile(".*".join(map(re.escape, name.split("*"))))
            members = [i for i, other in enumerate(component_names) if pattern.fullmatch(other)]
            if not members:
                raise file.text.error(f"no component is called {name!r}", token)
            region[members] = target
