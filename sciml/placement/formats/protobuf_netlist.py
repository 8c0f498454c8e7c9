"""Circuit Training's netlist.pb.txt, in and out.

netlist.pb.txt is a TensorFlow GraphDef as text: every node with `input`s drives one net (itself
first, then its inputs, which in spite of the name are the sinks). Node types: MACRO and MACRO_PIN
(hard), macro and macro_pin (soft, unless the file also has standard cells and no capitals: then
hard), PORT, STDCELL. A .plc beside it (`plc`) gives canvas, grid and placement.
Format: github.com/google-research/circuit_training, docs/NETLIST_FORMAT.md.
"""

from __future__ import annotations

import gzip
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from sciml.errors import InputError, nearest
from sciml.paths import atomic_write
from sciml.placement.design import (
    CELL,
    MACRO,
    PORT,
    ROTATION,
    SOFT,
    Canvas,
    Design,
    Grid,
    build,
)
from sciml.placement.formats.plc import apply_plc, parse_orientations
from sciml.placement.tokens import (
    QUOTE,
    Names,
    Text,
    character_table,
)

_TABLE = character_table(singles="{}<>", quote="\"'")
_TABLE[[ord(":"), ord(","), ord(";")]] = 1  # optional punctuation of the text format
_KEYS = (
    "type", "x", "y", "width", "height", "x_offset", "y_offset", "weight", "orientation",
    "macro_name", "ref_name", "cell_kind", "fixed",
)  # fmt: skip
_TYPES = {"macro": "macro", "macro_pin": "pin", "port": "port", "stdcell": "cell"}


@njit(cache=True)
def _is(buffer: Any, a: int, b: int, words: Any, lengths: Any, w: int) -> bool:
    if b - a != lengths[w]:
        return False
    for i in range(b - a):
        if buffer[a + i] != words[w, i]:
            return False
    return True


@njit(cache=True)
def _scan(
    buffer: Any, starts: Any, ends: Any, words: Any, lengths: Any, keys: int,
    name: Any, attributes: Any, inputs: Any, owners: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """Walk through the tokens once. Returns (nodes, inputs, bad token or -1).

    name[n]: token of the node's name; attributes[n, key]: token of the attribute's value;
    inputs[k], owners[k]: token of an input's name and the node it belongs to.
    """
    n = -1
    k = 0
    depth = 0
    key = -1
    i = 0
    size = starts.shape[0]
    room = name.shape[0] > 0
    while i < size:
        c = buffer[starts[i]]
        if c == 123 or c == 60:  # { <
            depth += 1
            i += 1
            continue
        if c == 125 or c == 62:
            depth -= 1
            if depth < 0:
                return n + 1, k, i
            i += 1
            continue
        word = -1
        for w in range(7):
            if _is(buffer, starts[i], ends[i], words, lengths, w):
                word = w
                break
        if depth == 0:
            if word == 0:  # node
                n += 1
                key = -1
            elif i + 1 < size and (buffer[starts[i + 1]] != 123 and buffer[starts[i + 1]] != 60):
                i += 1  # an unknown scalar field of the graph
            i += 1
            continue
        if n < 0:
            i += 1  # inside an unknown block of the graph
            continue
        if i + 1 >= size:
            return n + 1, k, size
        if word == 1:  # name
            if room and depth == 1:
                name[n] = i + 1
            i += 2
        elif word == 2:  # input
            if room:
                inputs[k] = i + 1
                owners[k] = n
            k += 1
            i += 2
        elif word == 3:  # key
            key = -1
            for w in range(keys):
                if _is(buffer, starts[i + 1] + 1, ends[i + 1] - 1, words, lengths, 7 + w):
                    key = w
            i += 2
        elif word == 4 or word == 5 or word == 6:  # f, placeholder, s
            if room and key >= 0:
                attributes[n, key] = i + 1
            i += 2
        else:
            i += 1
    return n + 1, k, -1 if depth == 0 else size


def _unquoted(text: Text, tokens: np.ndarray, what: str) -> Names:
    """Names without their quotation marks; escapes (rare) are resolved."""
    tokens = np.asarray(tokens, np.int64)
    starts, ends = text.starts[tokens], text.ends[tokens]
    if len(tokens):
        head = text.buffer[starts]
        tail = text.buffer[np.maximum(ends - 1, 0)]
        bad = np.flatnonzero((_TABLE[head] != QUOTE) | (tail != head) | (ends - starts < 2))
        if len(bad):
            i = int(tokens[bad[0]])
            raise text.error(f"{what} must be a quoted name, got {text[i][:40]!r}", i)
    names = Names(text.buffer, starts + 1, ends - 1)
    if (text.buffer == 92).any():
        return Names.of(re.sub(r"\\(.)", r"\1", name) for name in names)
    return names


def read_netlist(path: str | os.PathLike[str], plc: str | os.PathLike[str] | None = None) -> Design:
    """A `Design` from a netlist.pb.txt (may be packed) and, if given, a .plc.

    Raises:
        InputError: the file is cut off, names a node twice or an unknown one, or a
            value is not a number; see also `design.build`.
    """
    text = Text.open(path, _TABLE)
    keywords = ["node", "name", "input", "key", "f", "placeholder", "s", *_KEYS]
    words = np.zeros((len(keywords), max(map(len, keywords))), np.uint8)
    for i, word in enumerate(keywords):
        words[i, : len(word)] = list(word.encode())
    lengths = np.array([len(word) for word in keywords])
    empty = np.empty(0, np.int64)
    arguments = (text.buffer, text.starts, text.ends, words, lengths, len(_KEYS))
    n, k, bad = _scan(*arguments, empty, np.empty((0, 0), np.int64), empty, empty)
    if bad >= 0:
        raise text.error("the file ends inside a block" if bad >= len(text) else "stray '}'", bad)
    if n == 0:
        raise InputError("no `node { ... }` in this file", where=path)
    name, attributes = np.full(n, -1), np.full((n, len(_KEYS)), -1)
    inputs, owners = np.empty(k, np.int64), np.empty(k, np.int64)
    _scan(*arguments, name, attributes, inputs, owners)
    if (name < 0).any():
        raise InputError(f"node {int((name < 0).argmax())} (from 0) has no name", where=path)
    names = _unquoted(text, name, "a node's name")
    keep = np.array([label != "__metadata__" for label in names], bool)
    position = np.cumsum(keep) - 1
    at = position[owners][keep[owners]]
    table = _Table(text, names[np.flatnonzero(keep)], attributes[keep])
    return _assemble(path, table, _unquoted(text, inputs[keep[owners]], "an input"), at, plc)


@dataclass
class _Table:
    text: Text
    names: Names
    attributes: np.ndarray

    def number(self, key: str, rows: np.ndarray, default: float) -> np.ndarray:
        token = self.attributes[rows, _KEYS.index(key)]
        out = np.full(len(rows), default)
        present = token >= 0
        read = self.text.numbers if key == "weight" else self.text.lengths
        out[present] = read(token[present], key)
        return out

    def string(self, key: str, rows: np.ndarray) -> list[str]:
        token = self.attributes[rows, _KEYS.index(key)]
        present = token >= 0
        words = iter(_unquoted(self.text, token[present], key))
        return [next(words) if has else "" for has in present]


def _assemble(path: object, table: _Table, inputs: Names, owners: np.ndarray, plc: Any) -> Design:
    names, count = table.names, len(table.names)
    repeated = names.first_repeated()
    if repeated >= 0:
        raise InputError(f"node {names[repeated]!r} is defined twice", where=path)
    types = table.string("type", np.arange(count))
    roles = np.array([_TYPES.get(t.lower(), "?") for t in types])
    for i in np.flatnonzero(roles == "?"):
        raise InputError(
            f"node {names[int(i)]!r} has type {types[i]!r}", where=path,
            hint="Known: MACRO, MACRO_PIN, macro, macro_pin, PORT, STDCELL",
        )  # fmt: skip
    capital = np.array([t == t.upper() for t in types])
    # In files without capitals `macro` is a hard macro if there are standard cells beside it.
    soft_exists = capital.any() or not (roles == "cell").any()
    cell_kind = table.string("cell_kind", np.arange(count))
    is_node = roles != "pin"
    node_of = np.where(is_node, np.cumsum(is_node) - 1, -1)
    rows = np.flatnonzero(is_node)
    kind = np.select(
        [roles[rows] == "port", roles[rows] == "cell", capital[rows] | (not soft_exists)],
        [PORT, CELL, MACRO],
        SOFT,
    ).astype(np.int8)
    kind[[cell_kind[i] == "stdcell" for i in rows]] = CELL
    kind[[cell_kind[i] == "port" for i in rows]] = PORT

    pins = np.flatnonzero(~is_node)
    parent_names = Names.of(table.string("macro_name", pins))
    parent = names.find(parent_names)
    for i in np.flatnonzero((parent < 0) | (node_of[np.maximum(parent, 0)] < 0)):
        raise InputError(
            f"pin {names[int(pins[i])]!r} belongs to unknown macro {parent_names[int(i)]!r}",
            where=path,
        )
    owner_node = node_of.copy()
    owner_node[pins] = node_of[parent]
    dx, dy = np.zeros(count), np.zeros(count)
    dx[pins] = table.number("x_offset", pins, 0.0)
    dy[pins] = table.number("y_offset", pins, 0.0)

    sinks = names.find(inputs)
    for i in np.flatnonzero(sinks < 0):
        close = nearest(inputs[int(i)], list(names)) if count < 20000 else []
        raise InputError(
            f"node {names[int(owners[i])]!r} names unknown input {inputs[int(i)]!r}", where=path,
            hint=f"Did you mean {close[0]!r}?" if close else None,
        )  # fmt: skip
    drivers, first = np.unique(owners, return_index=True)
    degree = np.diff(np.append(first, len(owners))) + 1
    net_start = np.concatenate([[0], np.cumsum(degree)])
    members = np.insert(sinks, first, drivers)
    output = np.zeros(len(members), bool)
    output[net_start[:-1]] = True
    weight = table.number("weight", drivers, 1.0)

    orientation = parse_orientations(table.string("orientation", rows), path)
    if not soft_exists:  # flat files store offsets as placed: rotate them back
        a, b, c, d = ROTATION[orientation[owner_node]].T
        dx, dy = a * dx + c * dy, b * dx + d * dy  # the inverse is the transpose
    x = table.number("x", rows, np.nan)
    y = table.number("y", rows, np.nan)
    width, height = table.number("width", rows, 0.0), table.number("height", rows, 0.0)
    port = kind == PORT
    fixed = port | (table.number("fixed", rows, 0.0) > 0)
    all_names = list(names)
    labels = [all_names[i] for i in members]
    design_fields: dict[str, Any] = dict(
        name=Path(str(path)).name.split(".")[0],
        names=names[rows],
        kind=kind,
        width=np.where(port, 0, width),
        height=np.where(port, 0, height),
        x=x, y=y, orientation=orientation, fixed=fixed,
        pin_node=owner_node[members], pin_dx=dx[members], pin_dy=dy[members],
        pin_output=output, net_start=net_start, net_weight=weight,
        net_names=names[drivers], pin_names=labels,
        references=table.string("ref_name", rows), plc_index=rows,
        netlist_turns=orientation.copy(),
    )  # fmt: skip
    canvas, grid = apply_plc(design_fields, plc) if plc is not None else (None, Grid())
    origin = "plc"
    unplaced = np.isnan(x) | np.isnan(y)
    x[unplaced], y[unplaced] = 0.0, 0.0
    if canvas is None:
        canvas, origin = _floorplan_box(table.text), "file"
    if canvas is None:
        canvas, origin = guess_canvas(design_fields), "derived"
    design_fields |= {"canvas": canvas, "grid": grid, "canvas_from": origin}
    return build(path, **design_fields)


def _floorplan_box(text: Text) -> Canvas | None:
    """The canvas of a comment before the first node, `# FP bbox: {0 0 2353.91 2352.56}`."""
    stop = int(text.starts[0]) if len(text) else 0
    head = text.buffer[:stop].tobytes().decode("utf-8", "replace")
    match = re.search(r"^#\s*FP bbox\s*:([^\n]*)", head, re.MULTILINE)
    if match is None:
        return None
    words = match[1].replace("{", " ").replace("}", " ").split()
    try:
        x0, y0, x1, y1 = map(float, words)
    except ValueError:
        raise InputError(f"FP bbox needs four numbers, got {match[1].strip()[:60]!r}",
                         where=text.where) from None  # fmt: skip
    return Canvas(x0, y0, x1, y1)


def guess_canvas(fields: dict[str, Any]) -> Canvas:
    """A canvas for a file that states none: the extent of what is placed, or area / 0.6."""
    x, y, w, h = (np.asarray(fields[k]) for k in ("x", "y", "width", "height"))
    right, top = (x + w / 2).max(initial=0.0), (y + h / 2).max(initial=0.0)
    area = max(float((w * h).sum()), 0.0)  # a negative size is refused when the design is built
    side = np.sqrt(area / 0.6)
    side = max(side, w.max(initial=0.0), h.max(initial=0.0))
    if right * top >= area and right > 0 and top > 0:
        return Canvas(0.0, 0.0, float(right), float(top))
    return Canvas(0.0, 0.0, float(max(side, 1e-9)), float(max(side, 1e-9)))


def write_netlist(design: Design, path: str | os.PathLike[str]) -> np.ndarray:
    """Write netlist.pb.txt (packed if the name ends in .gz); returns the new .plc indices.

    A standard cell that drives two nets, or whose pins have offsets, is written as a MACRO
    with pins and `cell_kind: "stdcell"`, since the format has no other way to express it.
    """
    from sciml.placement.formats.protobuf_writer import netlist_text

    text, index = netlist_text(design)
    with atomic_write(Path(path)) as part:
        if str(path).endswith(".gz"):
            with gzip.open(part, "wt", compresslevel=4) as stream:
                stream.write(text)
        else:
            part.write_text(text)
    return index
