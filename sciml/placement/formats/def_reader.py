"""DEF designs with LEF libraries, in and out.

A design read from DEF is in micrometres. Placed components keep their orientation; FIXED and
COVER ones do not move, UNPLACED ones start at the die's corner. Blocks (`CLASS BLOCK`) are hard
macros, `CLASS BLOCK SOFT` soft ones, `CLASS COVER` takes no room, everything else is a cell.
Placement rules (blockages, halos, regions, SYMMETRY, the die's polygon) become `constraints`; see
`def_rules`. Special nets, routing and vias are skipped. Format: LEF/DEF 5.8
language reference.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError, unknown
from sciml.placement.design import (
    CELL,
    MACRO,
    ORIENTATIONS,
    PORT,
    ROTATION,
    SOFT,
    Canvas,
    Design,
    build,
)
from sciml.placement.formats.def_file import CODE, PLACEMENTS, DefFile
from sciml.placement.formats.def_floorplan import read_die, read_rows, read_units
from sciml.placement.formats.def_rules import read_rules
from sciml.placement.formats.def_update import Origin
from sciml.placement.formats.lef import Library, read_lef
from sciml.placement.tokens import Names


def read_def(path: str | os.PathLike[str], lef: Sequence[str | os.PathLike[str]]) -> Design:
    """A `Design` from a DEF and its LEF libraries.

    A section with more or fewer statements than it says is read, with one warning for the file.

    Raises:
        InputError: a library cell, pin, component or port is unknown; a section is cut off; a
            number is not finite or beyond 32 bits; see also `design.build`.
    """
    file = DefFile(Path(path))
    text = file.text
    library = read_lef(lef)
    units = read_units(file)
    names, fields = _components(file, library, units)
    ports, port_net_fields = _pins(file, units)
    first_port = len(names)
    all_names = Names.of([*names, *ports]) if len(ports) else Names.of(names)
    if len(set(names)) == len(names) and len(set(ports)) == len(ports):
        overlap = set(names) & set(ports)
        if overlap:  # a port may have a component's name: they have separate name spaces
            all_names = Names.of([*names, *[f"PIN:{p}" if p in overlap else p for p in ports]])
    for key, value in port_net_fields.items():
        if key != "drives":
            fields[key] = np.concatenate([fields[key], value])
    own = Names.of(names)
    if own.first_repeated() >= 0:
        repeated = own[own.first_repeated()]
        raise InputError(f"component {repeated!r} is defined twice", where=path)
    nets = _nets(file, library, own, Names.of(ports), first_port, fields, port_net_fields["drives"])
    die, polygon = read_die(file, units)
    rows = read_rows(file, library, units)
    kind, width, height = fields["kind"], fields["width"], fields["height"]
    sideways = fields["orientation"] >= 4
    w, h = np.where(sideways, height, width), np.where(sideways, width, height)
    low_x, low_y = fields.pop("low_x"), fields.pop("low_y")
    fields["x"], fields["y"] = low_x + w / 2, low_y + h / 2
    if die is None:
        right, top = (low_x + w).max(initial=0.0), (low_y + h).max(initial=0.0)
        die = Canvas(0.0, 0.0, float(right) or 1.0, float(top) or 1.0)
    fields["kind"] = kind
    fields["constraints"] = read_rules(file, library, units, own, fields, rows, polygon)
    fields.pop("placed")
    words = file.statement("DESIGN")
    if file.miscounted:
        warnings.warn(f"{path}: {'; '.join(file.miscounted)}: read as they stand", stacklevel=2)
    name = text[int(words[0]) + 1] if len(words) and words[0] + 1 < len(text) else "design"
    design = build(path, name=name, names=all_names, canvas=die, rows=rows, **fields, **nets)
    design.origin = Origin.of(design, Path(path), units, first_port)
    design.tracks = library.tracks()
    return design


def _placed(file: DefFile, dash: np.ndarray, units: float, fields: dict[str, np.ndarray]) -> None:
    """low_x, low_y, orientation, fixed from the first `+ PLACED ( x y ) N` and the like."""
    text, n = file.text, len(dash)
    fields["low_x"], fields["low_y"] = np.zeros(n), np.zeros(n)
    fields["orientation"], fields["fixed"] = np.zeros(n, np.int8), np.zeros(n, bool)
    tokens, owner = file.inside(("PLACED", "FIXED", "COVER"), dash)
    valid = (file.code[tokens - 1] == CODE["+"]) & (file.code[np.minimum(tokens + 1, len(text) - 1)]
                                                == CODE["("])  # fmt: skip
    tokens, owner = tokens[valid], owner[valid]
    owner, first = np.unique(owner, return_index=True)  # a pin may have more than one PORT
    tokens = tokens[first]
    if len(tokens) and tokens[-1] + 5 >= len(text):
        raise text.error("the placement is cut off", int(tokens[-1]))
    fields["low_x"][owner] = text.lengths(tokens + 2, "x") / units
    fields["low_y"][owner] = text.lengths(tokens + 3, "y") / units
    fields["fixed"][owner] = file.code[tokens] != CODE["PLACED"]
    fields["placed"] = np.zeros(n, bool)
    fields["placed"][owner] = True
    codes = {label.encode(): i for i, label in enumerate(ORIENTATIONS)}
    for token, k in zip((tokens + 5).tolist(), owner.tolist(), strict=True):
        word = text.raw(token)
        if word not in codes:
            raise text.error(f"unknown orientation {text[token]!r}", token)
        fields["orientation"][k] = codes[word]


def _components(file: DefFile, library: Library, units: float) -> tuple[list[str], dict[str, Any]]:
    text = file.text
    dash, end = file.section("COMPONENTS")
    if len(dash) and (end - dash < 3).any():
        raise text.error("expected `- name cell ...`", int(dash[(end - dash < 3).argmax()]))
    names = list(text.names(dash + 1))
    models = list(text.names(dash + 2))
    for k, model in enumerate(models):
        if model not in library.macros:
            raise InputError(
                f"component {names[k]!r} is a {model!r}, which is in no LEF", where=file.path,
                hint="Give the library with --lef; what was placed in a DEF needs that DEF's",
            )  # fmt: skip
    cells = [library.macros[m] for m in models]
    kinds = {"BLOCK": MACRO, "BLOCK SOFT": SOFT, "BLOCK BLACKBOX": MACRO, "PAD": MACRO}
    fields: dict[str, Any] = {
        "kind": np.array(
            [
                PORT if c.kind.startswith("COVER") else kinds.get(c.kind, MACRO)
                if c.kind.startswith(("BLOCK", "PAD", "RING")) else CELL
                for c in cells
            ],
            np.int8,
        ),
        "width": np.array([c.width for c in cells], np.float64),
        "height": np.array([c.height for c in cells], np.float64),
    }  # fmt: skip
    _placed(file, dash, units, fields)
    fields["references"] = np.array(models, object)
    return names, fields


def _pins(file: DefFile, units: float) -> tuple[list[str], dict[str, Any]]:
    text = file.text
    dash, end = file.section("PINS")
    if len(dash) and (end - dash < 2).any():
        raise text.error("a pin needs a name", int(dash[(end - dash < 2).argmax()]))
    names = list(text.names(dash + 1))
    n = len(names)
    fields: dict[str, Any] = {
        "kind": np.full(n, PORT, np.int8), "width": np.zeros(n), "height": np.zeros(n),
    }  # fmt: skip
    _placed(file, dash, units, fields)
    for k, (a, b) in enumerate(zip(dash.tolist(), end.tolist(), strict=True)):
        middle = _middle(file, a, b) / units
        p, q, r, s = ROTATION[fields["orientation"][k]]
        fields["low_x"][k] += p * middle[0] + q * middle[1]
        fields["low_y"][k] += r * middle[0] + s * middle[1]
    fields["fixed"][:] = True
    fields["references"] = np.array([""] * n, object)
    drives = np.zeros(n, bool)
    tokens, owner = file.inside(("DIRECTION",), dash)
    for token, k in zip(tokens.tolist(), owner.tolist(), strict=True):
        drives[k] = token + 1 < len(text) and text.raw(token + 1) == b"INPUT"
    fields["drives"] = drives
    return names, fields


def _middle(file: DefFile, begin: int, end: int) -> np.ndarray:
    """The middle [2, database units] of a pin's LAYER and POLYGON shapes as they are oriented N.

    Of several PORTs the first that is placed counts, as for its position.
    """
    text = file.text
    points: list[np.ndarray] = []
    k = begin + 3
    while k < end:
        word = text.raw(k)
        placed = file.code[k] in PLACEMENTS
        if placed and points:
            break  # the shapes of a port come before its placement, in old files after it
        if word == b"PORT" and file.code[k - 1] == CODE["+"] and _has_place(file, begin, k):
            break
        if word in (b"LAYER", b"POLYGON") and file.code[k - 1] == CODE["+"]:
            k += 2
            while k < end and file.code[k] != CODE["+"]:
                if file.code[k] == CODE["("] and k + 2 < end:
                    points.append(_point(file, k, points))
                    k += 2
                k += 1
            continue
        k += 1
    if not points:
        return np.zeros(2)
    shapes = np.array(points)
    return (shapes.min(0) + shapes.max(0)) / 2


def _has_place(file: DefFile, begin: int, end: int) -> bool:
    return bool(np.isin(file.code[begin:end], PLACEMENTS).any())


def _point(file: DefFile, token: int, before: list[np.ndarray]) -> np.ndarray:
    """The point `( x y )` at a token; `*` repeats the last one's coordinate."""
    star = [file.code[token + j] == CODE["*"] for j in (1, 2)]
    if any(star) and not before:
        raise file.text.error("the first point of a shape has no coordinate to repeat", token)
    return np.array(
        [before[-1][j - 1] if star[j - 1] else file.text.lengths(np.array([token + j]), "x")[0]
         for j in (1, 2)]
    )  # fmt: skip


def _nets(
    file: DefFile, library: Library, components: Names, ports: Names, first_port: int,
    fields: dict[str, Any], port_drives: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    text = file.text
    dash, end = file.section("NETS")
    names = text.names(dash + 1)
    # Connections come before the first `+` that is not within one: ( a Z + SYNTHESIZED ).
    plus, of_plus = file.inside(("+",), dash)
    brackets = np.flatnonzero(np.isin(file.code, (CODE["("], CODE[")"])))
    if len(plus) and len(brackets):
        last = brackets[np.maximum(np.searchsorted(brackets, plus) - 1, 0)]
        within = (last > dash[of_plus]) & (last < plus) & (file.code[last] == CODE["("])
        plus, of_plus = plus[~within], of_plus[~within]
    limit = end.copy()
    np.minimum.at(limit, of_plus, plus)
    tokens, owner = file.inside(("(",), dash)
    before_plus = tokens < limit[owner] if len(tokens) else np.zeros(0, bool)
    tokens, owner = tokens[before_plus], owner[before_plus]
    if len(tokens) and tokens[-1] + 3 >= len(text):
        raise text.error("the net is cut off", int(tokens[-1]))
    star = file.code[tokens + 1] == CODE["*"]
    tokens, owner = tokens[~star], owner[~star]
    is_port = file.code[tokens + 1] == CODE["PIN"]
    node = np.empty(len(tokens), np.int64)
    node[~is_port] = components.find(text.names(tokens[~is_port] + 1))
    port = ports.find(text.names(tokens[is_port] + 2))
    node[is_port] = np.where(port < 0, -1, port + first_port)
    for k in np.flatnonzero(node < 0):
        token = int(tokens[k])
        what = "port" if is_port[k] else "component"
        label = text[token + (2 if is_port[k] else 1)]
        raise text.error(f"net {names[int(owner[k])]!r} names unknown {what} {label!r}", token)
    labels = list(text.names(tokens + 2))
    references = fields["references"]
    dx, dy, output = np.zeros(len(tokens)), np.zeros(len(tokens)), np.zeros(len(tokens), bool)
    cache: dict[tuple[str, str], tuple[float, float, bool]] = {}
    for j, (i, label) in enumerate(zip(node.tolist(), labels, strict=True)):
        if i >= first_port:
            output[j] = port_drives[i - first_port]
            continue
        key = (references[i], label)
        if key not in cache:
            macro = library.macros[references[i]]
            if label not in macro.pins:
                raise unknown(f"pin of {macro.name}", label, macro.pins, where=file.path)
            pin = macro.pins[label]
            cache[key] = (pin.x - macro.width / 2, pin.y - macro.height / 2, pin.output)
        dx[j], dy[j], output[j] = cache[key]
    weight = np.ones(len(dash))
    w_at, w_which = file.inside(("WEIGHT",), dash)
    valid = file.code[w_at - 1] == CODE["+"] if len(w_at) else np.zeros(0, bool)
    weight[w_which[valid]] = text.numbers(w_at[valid] + 1, "WEIGHT")
    fields["references"] = references.tolist()
    counts = np.bincount(owner, minlength=len(dash)) if len(dash) else np.zeros(0, np.int64)
    return {
        "pin_node": node, "pin_dx": dx, "pin_dy": dy, "pin_output": output,
        "net_start": np.concatenate([[0], np.cumsum(counts)]), "net_weight": weight,
        "net_names": names, "pin_names": labels,
    }  # fmt: skip


def write_def(design: Design, path: str | os.PathLike[str]) -> list[Path]:
    """Write a DEF; returns the files.

    A design that was read from a DEF is that file with other coordinates. Otherwise a new DEF, with
    a LEF of the cells that it needs.
    """
    from sciml.placement.formats.def_update import update
    from sciml.placement.formats.def_writer import write

    if isinstance(design.origin, Origin) and design.origin.holds(design):
        return update(design, Path(path))
    return write(design, Path(path))
