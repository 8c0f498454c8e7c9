"""DEF designs with LEF libraries, in and out.

A design read from DEF is in micrometres. Placed components keep their orientation; FIXED and
COVER ones do not move, UNPLACED ones start at the die's corner. Blocks (`CLASS BLOCK`) are hard
macros, `CLASS BLOCK SOFT` soft ones, `CLASS COVER` takes no room, everything else is a cell.
What says where objects may stand (blockages, halos, regions, SYMMETRY, the die's polygon) becomes
`constraints`; see `def_rules`. Special nets, routing and vias are passed over. Format: LEF/DEF 5.8
language reference.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from sciml.errors import InputError, unknown
from sciml.placement.constraints import inside_polygon
from sciml.placement.design import (
    CELL,
    MACRO,
    ORIENTATIONS,
    PORT,
    ROTATION,
    SOFT,
    Canvas,
    Design,
    Rows,
    build,
)
from sciml.placement.formats.def_rules import read_rules
from sciml.placement.formats.def_update import Origin
from sciml.placement.formats.lef import Library, read_lef
from sciml.placement.tokens import LARGEST, Names, Text, character_table, too_large

_TABLE = character_table(long_quote='"')
_WORDS = (
    "-", ";", "(", ")", "+", "PLACED", "FIXED", "COVER", "UNPLACED", "END", "DESIGN", "UNITS",
    "DIEAREA", "ROW", "COMPONENTS", "PINS", "NETS", "PIN", "WEIGHT", "DIRECTION", "NET", "*",
    "SPECIALNETS", "BLOCKAGES", "REGIONS", "GROUPS", "HALO", "REGION", "SOURCE",
    "PROPERTYDEFINITIONS", "BEGINEXT", "ENDEXT",
)  # fmt: skip
_CODE = {word: i + 1 for i, word in enumerate(_WORDS)}
_PLACES = [_CODE[word] for word in ("PLACED", "FIXED", "COVER")]


@njit(cache=True)
def _classify(buffer: Any, starts: Any, ends: Any, words: Any, lengths: Any, out: Any) -> None:
    for i in range(starts.shape[0]):
        out[i] = 0
        n = ends[i] - starts[i]
        if n >= words.shape[1]:
            continue
        for w in range(words.shape[0]):
            if lengths[w] == n:
                same = True
                for k in range(n):
                    if buffer[starts[i] + k] != words[w, k]:
                        same = False
                        break
                if same:
                    out[i] = w + 1
                    break


class _Def:
    """The tokens of a DEF file with the codes of known words, and its sections."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = Text.open(path, _TABLE)
        words = np.zeros((len(_WORDS), 20), np.uint8)
        for i, word in enumerate(_WORDS):
            words[i, : len(word)] = list(word.encode())
        lengths = np.array([len(word) for word in _WORDS])
        self.code = np.zeros(len(self.text), np.int8)
        _classify(self.text.buffer, self.text.starts, self.text.ends, words, lengths, self.code)
        for opening, closing in (("PROPERTYDEFINITIONS", "END"), ("BEGINEXT", "ENDEXT")):
            for a in np.flatnonzero(self.code == _CODE[opening]).tolist():
                if self.code[a - 1] == _CODE["END"]:
                    continue
                stops = np.flatnonzero(self.code[a:] == _CODE[closing])
                if len(stops):  # the words between are no statements of the design
                    self.code[a + 1 : a + int(stops[0])] = 0
                    self.code[a + max(int(stops[0]) - 1, 0)] = _CODE[";"]
        self.ends = np.flatnonzero(self.code == _CODE[";"])
        self.sections: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.miscounted: list[str] = []

    def statement(self, word: str) -> np.ndarray:
        """Tokens that open a statement with this word (the one before ends one, or none is)."""
        at = np.flatnonzero(self.code == _CODE[word])
        opens = (at == 0) | (self.code[np.maximum(at - 1, 0)] == _CODE[";"])
        before = self.code[np.maximum(at - 2, 0)]
        opens |= before == _CODE["END"]  # END COMPONENTS has no semicolon
        return at[opens]

    def end_of(self, token: int) -> int:
        k = int(np.searchsorted(self.ends, token))
        if k == len(self.ends):
            raise self.text.error("the statement has no end", token, hint="Is the file cut off?")
        return int(self.ends[k])

    def section(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """(first token, end token) of every `- ... ;` in a section; a wrong count is noted."""
        if word not in self.sections:
            self.sections[word] = self._section(word)
        return self.sections[word]

    def _section(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        heads = self.statement(word)
        heads = heads[[self.code[max(t - 1, 0)] != _CODE["END"] for t in heads]]
        if not len(heads):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        head = int(heads[0])
        begin = self.end_of(head)
        count = self.text.numbers(np.array([head + 1]), f"number of {word}")[0]
        closing = np.flatnonzero(
            (self.code[begin:-1] == _CODE["END"]) & (self.code[begin + 1 :] == _CODE[word])
        )
        if not len(closing):
            raise self.text.error(f"no END {word}", len(self.text), hint="Is the file cut off?")
        stop = begin + int(closing[0])
        dash = begin + np.flatnonzero(self.code[begin:stop] == _CODE["-"])
        dash = dash[self.code[dash - 1] == _CODE[";"]]
        if len(dash) != count:
            self.miscounted.append(f"{word} says {count:g}, but there are {len(dash):,}")
        if not len(dash):
            return dash, dash
        which = np.searchsorted(self.ends, dash)
        return dash, self.ends[np.minimum(which, len(self.ends) - 1)]

    def inside(self, codes: Sequence[str], dash: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens with one of these codes and the statement (of `dash`) each belongs to."""
        at = np.flatnonzero(np.isin(self.code, [_CODE[c] for c in codes]))
        which = np.searchsorted(dash, at, side="right") - 1
        end = self.ends[np.minimum(np.searchsorted(self.ends, dash), len(self.ends) - 1)]
        good = (which >= 0) & (at < end[np.maximum(which, 0)]) if len(dash) else np.zeros(0, bool)
        return at[good], which[good]


def read_def(path: str | os.PathLike[str], lef: Sequence[str | os.PathLike[str]]) -> Design:
    """A `Design` from a DEF and its LEF libraries.

    A section with more or fewer statements than it says is read, with one warning for the file.

    Raises:
        InputError: a library cell, pin, component or port is unknown; a section is cut off; a
            number is not finite or beyond 32 bits; see also `design.build`.
    """
    file = _Def(Path(path))
    text = file.text
    library = read_lef(lef)
    units = _units(file)
    names, fields = _components(file, library, units)
    ports, port_net_fields = _pins(file, units)
    first_port = len(names)
    all_names = Names.of([*names, *ports]) if len(ports) else Names.of(names)
    if len(set(names)) == len(names) and len(set(ports)) == len(ports):
        overlap = set(names) & set(ports)
        if overlap:  # a port may carry a component's name: they live in two name spaces
            all_names = Names.of([*names, *[f"PIN:{p}" if p in overlap else p for p in ports]])
    for key, value in port_net_fields.items():
        if key != "drives":
            fields[key] = np.concatenate([fields[key], value])
    own = Names.of(names)
    if own.first_repeated() >= 0:
        again = own[own.first_repeated()]
        raise InputError(f"component {again!r} is defined twice", where=path)
    nets = _nets(file, library, own, Names.of(ports), first_port, fields, port_net_fields["drives"])
    die, polygon = _die(file, units)
    rows = _rows(file, library, units)
    kind, width, height = fields["kind"], fields["width"], fields["height"]
    turned = fields["orientation"] >= 4
    w, h = np.where(turned, height, width), np.where(turned, width, height)
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
    return design


def read_floorplan(
    path: str | os.PathLike[str], lef: Sequence[str | os.PathLike[str]] = ()
) -> tuple[Canvas | None, Rows]:
    """The die's extent and the rows of a DEF [um], which needs no components and no LEF.

    Raises:
        InputError: it has no rows, or a die that is no rectangle.
    """
    file = _Def(Path(path))
    units = _units(file)
    die, polygon = _die(file, units)
    rows = _rows(file, read_lef(lef), units)
    if rows is None:
        raise InputError("has no ROW", where=path)
    if polygon is not None:
        raise InputError("a die that is no rectangle is not supported with --rows", where=path)
    return die, rows


def _units(file: _Def) -> float:
    units = _first_number(file, "UNITS", 3, "UNITS DISTANCE MICRONS", 1000.0)
    if not 0 < units <= 1e6:
        raise InputError(f"UNITS must be > 0, got {units:g}", where=file.path)
    return units


def _first_number(file: _Def, word: str, at: int, what: str, default: float) -> float:
    found = file.statement(word)
    if not len(found):
        return default
    return float(file.text.numbers(np.array([min(found[0] + at, len(file.text) - 1)]), what)[0])


def _die(file: _Def, units: float) -> tuple[Canvas | None, np.ndarray | None]:
    """The extent of DIEAREA and, if it is no rectangle, its corners [V, 2]."""
    found = file.statement("DIEAREA")
    if not len(found):
        return None, None
    a, b = int(found[0]) + 1, file.end_of(int(found[0]))
    inner = np.arange(a, b)
    inner = inner[(file.code[a:b] != _CODE["("]) & (file.code[a:b] != _CODE[")"])]
    values = file.text.lengths(inner, "DIEAREA") / units
    if len(values) < 4 or len(values) % 2:
        raise file.text.error("DIEAREA needs at least two points", int(found[0]))
    x, y = values[::2], values[1::2]
    die = Canvas(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    if len(values) == 4 or die.width <= 0 or die.height <= 0:
        return die, None
    points = values.reshape(-1, 2)
    boxes = inside_polygon(points, where=f"{file.path}, DIEAREA")
    return die, None if len(boxes) == 1 else points


def _rows(file: _Def, library: Library, units: float) -> Rows | None:
    text = file.text
    out = []
    sites = []
    site_names = []
    for at in file.statement("ROW"):
        words = [text[i] for i in range(int(at), file.end_of(int(at)))]
        try:  # ROW name site x y orientation [DO n BY m [STEP dx dy]]
            x, y = float(words[3]) / units, float(words[4]) / units
            n = int(words[7]) if len(words) > 7 else 1
            if n > LARGEST:
                raise too_large("number of sites", words[7], f"{file.path}, line {text.line(at)}")
            if len(words) > 9 and int(words[9]) != 1:
                raise text.error("rows whose sites stand one above the other are not supported",
                                 int(at))  # fmt: skip
            step = float(words[11]) / units if len(words) > 11 and words[10] == "STEP" else 0.0
            turned = ORIENTATIONS.index(words[5])
            far = max(abs(x), abs(y), abs(x + n * step), abs(step)) * units
            if not far <= LARGEST:
                raise too_large("the row's end", f"{far:g}", f"{file.path}, line {text.line(at)}")
        except (ValueError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            raise text.error("expected ROW name site x y orientation DO n BY m STEP dx dy",
                             int(at)) from None  # fmt: skip
        pitch = step or library.sites.get(words[2], (0.0, 0.0))[0]
        if pitch <= 0 or n < 1:
            raise text.error("the row's sites have no width", int(at))
        out.append((y, x, x + n * pitch, pitch, turned))
        site_names.append(words[2])
        sites.append(library.sites.get(words[2], (0.0, 0.0))[1])
    if not out:
        return None
    table = np.array(out, np.float64).T
    height = np.array(sites)
    if (height == 0).any():  # the site is in no library: rows stand on each other
        steps = np.diff(np.unique(np.round(table[0], 9)))
        if not len(steps):
            raise InputError("the height of the only row is unknown", where=file.path,
                             hint="Give the LEF that defines its SITE")  # fmt: skip
        height[height == 0] = steps.min()
    return Rows(
        table[0], height, table[1], table[2], table[3],
        orientation=table[4].astype(np.int8), sites=tuple(site_names),
    )  # fmt: skip


def _placed(file: _Def, dash: np.ndarray, units: float, fields: dict[str, np.ndarray]) -> None:
    """low_x, low_y, orientation, fixed from the first `+ PLACED ( x y ) N` and the like."""
    text, n = file.text, len(dash)
    fields["low_x"], fields["low_y"] = np.zeros(n), np.zeros(n)
    fields["orientation"], fields["fixed"] = np.zeros(n, np.int8), np.zeros(n, bool)
    at, which = file.inside(("PLACED", "FIXED", "COVER"), dash)
    real = (file.code[at - 1] == _CODE["+"]) & (file.code[np.minimum(at + 1, len(text) - 1)]
                                                == _CODE["("])  # fmt: skip
    at, which = at[real], which[real]
    which, first = np.unique(which, return_index=True)  # a pin may have more than one PORT
    at = at[first]
    if len(at) and at[-1] + 5 >= len(text):
        raise text.error("the placement is cut off", int(at[-1]))
    fields["low_x"][which] = text.lengths(at + 2, "x") / units
    fields["low_y"][which] = text.lengths(at + 3, "y") / units
    fields["fixed"][which] = file.code[at] != _CODE["PLACED"]
    fields["placed"] = np.zeros(n, bool)
    fields["placed"][which] = True
    codes = {label.encode(): i for i, label in enumerate(ORIENTATIONS)}
    for token, k in zip((at + 5).tolist(), which.tolist(), strict=True):
        word = text.raw(token)
        if word not in codes:
            raise text.error(f"unknown orientation {text[token]!r}", token)
        fields["orientation"][k] = codes[word]


def _components(file: _Def, library: Library, units: float) -> tuple[list[str], dict[str, Any]]:
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


def _pins(file: _Def, units: float) -> tuple[list[str], dict[str, Any]]:
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
    at, which = file.inside(("DIRECTION",), dash)
    for token, k in zip(at.tolist(), which.tolist(), strict=True):
        drives[k] = token + 1 < len(text) and text.raw(token + 1) == b"INPUT"
    fields["drives"] = drives
    return names, fields


def _middle(file: _Def, begin: int, end: int) -> np.ndarray:
    """The middle [2, database units] of a pin's LAYER and POLYGON shapes as they are oriented N.

    Of several PORTs the first that has a place counts, as for the place itself.
    """
    text = file.text
    points: list[np.ndarray] = []
    k = begin + 3
    while k < end:
        word = text.raw(k)
        placed = file.code[k] in _PLACES
        if placed and points:
            break  # the shapes of a port stand before its place, in old files behind it
        if word == b"PORT" and file.code[k - 1] == _CODE["+"] and _has_place(file, begin, k):
            break
        if word in (b"LAYER", b"POLYGON") and file.code[k - 1] == _CODE["+"]:
            k += 2
            while k < end and file.code[k] != _CODE["+"]:
                if file.code[k] == _CODE["("] and k + 2 < end:
                    points.append(_point(file, k, points))
                    k += 2
                k += 1
            continue
        k += 1
    if not points:
        return np.zeros(2)
    shapes = np.array(points)
    return (shapes.min(0) + shapes.max(0)) / 2


def _has_place(file: _Def, begin: int, end: int) -> bool:
    return bool(np.isin(file.code[begin:end], _PLACES).any())


def _point(file: _Def, at: int, before: list[np.ndarray]) -> np.ndarray:
    """The point `( x y )` at a token; `*` repeats the last one's coordinate."""
    star = [file.code[at + j] == _CODE["*"] for j in (1, 2)]
    if any(star) and not before:
        raise file.text.error("the first point of a shape has no coordinate to repeat", at)
    return np.array(
        [before[-1][j - 1] if star[j - 1] else file.text.lengths(np.array([at + j]), "x")[0]
         for j in (1, 2)]
    )  # fmt: skip


def _nets(
    file: _Def, library: Library, components: Names, ports: Names, first_port: int,
    fields: dict[str, Any], port_drives: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    text = file.text
    dash, end = file.section("NETS")
    names = text.names(dash + 1)
    # Connections stand before the first `+` that is not within one: ( a Z + SYNTHESIZED ).
    plus, of_plus = file.inside(("+",), dash)
    brackets = np.flatnonzero(np.isin(file.code, (_CODE["("], _CODE[")"])))
    if len(plus) and len(brackets):
        last = brackets[np.maximum(np.searchsorted(brackets, plus) - 1, 0)]
        within = (last > dash[of_plus]) & (last < plus) & (file.code[last] == _CODE["("])
        plus, of_plus = plus[~within], of_plus[~within]
    limit = end.copy()
    np.minimum.at(limit, of_plus, plus)
    at, which = file.inside(("(",), dash)
    near = at < limit[which] if len(at) else np.zeros(0, bool)
    at, which = at[near], which[near]
    if len(at) and at[-1] + 3 >= len(text):
        raise text.error("the net is cut off", int(at[-1]))
    star = file.code[at + 1] == _CODE["*"]
    at, which = at[~star], which[~star]
    is_port = file.code[at + 1] == _CODE["PIN"]
    node = np.empty(len(at), np.int64)
    node[~is_port] = components.find(text.names(at[~is_port] + 1))
    found = ports.find(text.names(at[is_port] + 2))
    node[is_port] = np.where(found < 0, -1, found + first_port)
    for k in np.flatnonzero(node < 0):
        token = int(at[k])
        what = "port" if is_port[k] else "component"
        label = text[token + (2 if is_port[k] else 1)]
        raise text.error(f"net {names[int(which[k])]!r} names unknown {what} {label!r}", token)
    labels = list(text.names(at + 2))
    references = fields["references"]
    dx, dy, output = np.zeros(len(at)), np.zeros(len(at)), np.zeros(len(at), bool)
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
    real = file.code[w_at - 1] == _CODE["+"] if len(w_at) else np.zeros(0, bool)
    weight[w_which[real]] = text.numbers(w_at[real] + 1, "WEIGHT")
    fields["references"] = references.tolist()
    counts = np.bincount(which, minlength=len(dash)) if len(dash) else np.zeros(0, np.int64)
    return {
        "pin_node": node, "pin_dx": dx, "pin_dy": dy, "pin_output": output,
        "net_start": np.concatenate([[0], np.cumsum(counts)]), "net_weight": weight,
        "net_names": names, "pin_names": labels,
    }  # fmt: skip


def write_def(design: Design, path: str | os.PathLike[str]) -> list[Path]:
    """Write a DEF; returns the files.

    A design that was read from a DEF is that file with other places. Else the DEF is made, and
    beside it a LEF with the cells that it needs.
    """
    from sciml.placement.formats.def_update import update
    from sciml.placement.formats.def_writer import write

    if isinstance(design.origin, Origin) and design.origin.holds(design):
        return update(design, Path(path))
    return write(design, Path(path))
