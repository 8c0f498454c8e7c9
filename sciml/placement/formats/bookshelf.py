"""Bookshelf (UCLA / ISPD): .aux, .nodes, .nets, .pl, .scl, .wts, in and out.

Coordinates of a .pl are lower-left corners, pin offsets are from the node's centre. `terminal`
nodes and positions marked /FIXED or /FIXED_NI do not move; `terminal_NI` (not in image) may be
overlapped and count as ports, as do nodes without an area. Movable nodes higher than a row are
macros. Format: GSRC Bookshelf, and the ISPD 2005 and 2011 placement contests.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.placement.design import (
    CELL,
    MACRO,
    ORIENTATIONS,
    PORT,
    Canvas,
    Design,
    Rows,
    build,
)
from sciml.placement.formats.bookshelf_file import BookshelfFile
from sciml.placement.formats.bookshelf_rows import read_rows
from sciml.placement.tokens import Names, read_bytes

# A line break is a token of its own; a colon only where it is alone or at the end of a word.
_SUFFIXES = ("", ".gz", ".xz", ".bz2")


def _companions(path: Path, pl: Path | None) -> dict[str, Path]:
    """The files of a design from its .aux (or its .nodes, by the common stem)."""
    bare = path.name
    for packed in _SUFFIXES[1:]:
        bare = bare.removesuffix(packed)
    if bare.endswith(".nodes"):
        names = [bare[: -len(".nodes")] + ext for ext in (".nodes", ".nets", ".pl", ".scl", ".wts")]
    else:
        words = read_bytes(path).tobytes().decode("utf-8", "replace").replace(":", " ").split()
        names = [word for word in words if "." in word]
    files: dict[str, Path] = {}
    for name in names:
        for suffix in _SUFFIXES:
            candidate = path.parent / (name + suffix)
            if candidate.is_file():
                files[Path(name).suffix.lower()] = candidate
                break
    if pl is not None:
        files[".pl"] = Path(pl)
    for extension in (".nodes", ".nets"):
        if extension not in files:
            missing = next((n for n in names if n.endswith(extension)), f"a {extension} file")
            raise InputError(f"names {missing}, which is not there", where=path)
    return files


def read_bookshelf(
    path: str | os.PathLike[str], pl: str | os.PathLike[str] | None = None
) -> Design:
    """A `Design` from an .aux file (or a .nodes file with the others beside it).

    Args:
        path: the .aux; it and its companions may be packed.
        pl: a placement that replaces the one the .aux names.

    Raises:
        InputError: a file is missing or cut off, counts do not match, a name is repeated or
            unknown, a number is not finite; see also `design.build`.
    """
    path = Path(path)
    files = _companions(path, Path(pl) if pl is not None else None)
    fields = _read_nodes(files[".nodes"])
    rows = read_rows(files[".scl"]) if ".scl" in files else None
    _read_nets(files[".nets"], fields)
    n = len(fields["kind"])
    fields["x"], fields["y"] = np.zeros(n), np.zeros(n)
    fields["orientation"] = np.zeros(n, np.int8)
    if ".pl" in files:
        _read_pl(files[".pl"], fields)
    if ".wts" in files:
        _read_weights(files[".wts"], fields)
    width, height, fixed = fields["width"], fields["height"], fields["fixed"]
    kind = np.full(n, CELL, np.int8)
    row_height = float(np.median(rows.height)) if rows is not None and len(rows) else None
    if row_height is not None:
        kind[~fixed & (height > row_height * 1.001)] = MACRO
    kind[fields["terminal"] | fixed] = MACRO
    kind[(width * height == 0) | fields.pop("apart")] = PORT
    fields.pop("terminal")
    fields["kind"] = kind
    sideways = fields["orientation"] >= 4
    w, h = np.where(sideways, height, width), np.where(sideways, width, height)
    fields["x"], fields["y"] = fields["x"] + w / 2, fields["y"] + h / 2
    fields["canvas"] = _canvas(fields, rows, w, h)
    stem = path.name.split(".")[0]
    return build(path, name=stem, rows=rows, unit_um=_unit(files[".nodes"]), **fields)


def _unit(path: Path) -> float:
    """Micrometres of a unit: `# unit: 0.0005 um` in front of the nodes, 1 without it."""
    head = read_bytes(path)[:1000].tobytes().decode("utf-8", "replace")
    match = re.search(r"^# unit: (\S+) um\s*$", head, re.MULTILINE)
    try:
        unit = float(match[1]) if match else 1.0
    except ValueError:
        unit = math.nan
    if not 1e-6 <= unit <= 1e6:
        raise InputError("`# unit:` must be 1e-6 to 1e6 um", where=path)
    return unit


def _canvas(fields: dict[str, Any], rows: Rows | None, w: np.ndarray, h: np.ndarray) -> Canvas:
    """The extent of the rows and of fixed blocks; without rows, of everything."""
    fixed = fields["fixed"] if rows is not None else np.ones(len(w), bool)
    x, y = fields["x"][fixed], fields["y"][fixed]
    x0, x1, y0, y1 = x - w[fixed] / 2, x + w[fixed] / 2, y - h[fixed] / 2, y + h[fixed] / 2
    if rows is not None and len(rows):
        x0, x1 = np.append(x0, rows.x0.min()), np.append(x1, rows.x1.max())
        y0, y1 = np.append(y0, rows.y.min()), np.append(y1, (rows.y + rows.height).max())
    if not len(x0):
        return Canvas(0.0, 0.0, 1.0, 1.0)
    return Canvas(float(x0.min()), float(y0.min()), float(x1.max()), float(y1.max()))


def _read_nodes(path: Path) -> dict[str, Any]:
    file = BookshelfFile(path)
    header = file.header("NumNodes", "NumTerminals")
    file.at_least(3, "`name width height`")
    text, first = file.text, file.first
    if "NumNodes" in header and header["NumNodes"] != len(first):
        raise InputError(
            f"NumNodes is {header['NumNodes']}, but there are {len(first)}", where=path,
            hint="Is the file cut off?",
        )  # fmt: skip
    terminal, apart = np.zeros(len(first), bool), np.zeros(len(first), bool)
    for line in np.flatnonzero(file.count > 3):
        word = text[int(first[line]) + 3].lower()
        if word not in ("terminal", "terminal_ni"):
            raise file.error(f"expected `terminal` or `terminal_NI`, got {word!r}", int(line))
        terminal[line] = True
        apart[line] = word == "terminal_ni"
    if "NumTerminals" in header and header["NumTerminals"] != int(terminal.sum()):
        raise InputError(
            f"NumTerminals is {header['NumTerminals']}, but there are {int(terminal.sum())}",
            where=path,
        )
    names = text.names(first)
    repeated = names.first_repeated()
    if repeated >= 0:
        raise file.error(f"node {names[repeated]!r} is defined twice", repeated)
    return {
        "names": names,
        "width": text.lengths(first + 1, "width"),
        "height": text.lengths(first + 2, "height"),
        "kind": np.zeros(len(first), np.int8),
        "terminal": terminal,
        "apart": apart,
        "fixed": terminal.copy(),
    }


def _find(file: BookshelfFile, lines: np.ndarray, names: Names, what: str) -> np.ndarray:
    query = file.text.names(file.first[lines])
    index = names.find(query)
    unknown = np.flatnonzero(index < 0)
    if len(unknown):
        k = int(unknown[0])
        raise file.error(f"{what} names unknown node {query[k]!r}", int(lines[k]))
    return index


def _read_nets(path: Path, fields: dict[str, Any]) -> None:
    file = BookshelfFile(path)
    header = file.header("NumNets", "NumPins")
    text, first, count = file.text, file.first, file.count
    # A net begins with "NetDegree : degree [name]".
    word = np.frombuffer(b"netdegree", np.uint8)
    starts, ends = text.starts[first], text.ends[first]
    candidates = np.flatnonzero(ends - starts == len(word))
    letters = text.buffer[starts[candidates][:, None] + np.arange(len(word))] | 32
    heads = candidates[(letters == word).all(1)] if len(candidates) else candidates
    if len(heads) != header.get("NumNets", len(heads)):
        raise InputError(
            f"NumNets is {header['NumNets']}, but there are {len(heads)}", where=path,
            hint="Is the file cut off?",
        )  # fmt: skip
    if len(first) and (not len(heads) or heads[0] != 0):
        raise file.error("expected `NetDegree : degree name`", 0)
    for line in heads[count[heads] < 2][:1]:
        raise file.error("NetDegree needs a number", int(line))
    degree = text.numbers(first[heads] + 1, "NetDegree")
    is_pin = np.ones(len(first), bool)
    is_pin[heads] = False
    pins = np.flatnonzero(is_pin)
    actual = np.diff(np.append(heads, len(first))) - 1
    wrong = np.flatnonzero(degree != actual)
    if len(wrong):
        k = int(wrong[0])
        raise file.error(
            f"NetDegree is {degree[k]:g}, but {actual[k]} pins follow", int(heads[k]),
            hint="Is the file cut off?",
        )  # fmt: skip
    if header.get("NumPins", len(pins)) != len(pins):
        raise InputError(
            f"NumPins is {header['NumPins']}, but there are {len(pins)}", where=path,
            hint="Is the file cut off?",
        )  # fmt: skip
    node = _find(file, pins, fields["names"], "a net")
    words = count[pins]
    # "node [direction] [dx dy]"
    direction = np.zeros(len(pins), np.uint8)
    has = np.isin(words, (2, 4)) | (words > 4)
    token = first[pins[has]] + 1
    direction[has] = text.buffer[text.starts[token]] & 0xDF
    for wrong_pin in pins[has & ~np.isin(direction, (73, 79, 66))][:1]:
        raise file.error("a pin's direction must be I, O or B", int(wrong_pin))
    dx, dy = np.zeros(len(pins)), np.zeros(len(pins))
    placed = words >= 3
    offset = first[pins[placed]] + np.where(words[placed] == 3, 1, 2)
    dx[placed] = text.lengths(offset, "pin offset")
    dy[placed] = text.lengths(offset + 1, "pin offset")
    named = count[heads] > 2
    labels: Names | None = None
    if named.all() and len(heads):
        labels = text.names(first[heads] + 2)
    fields |= {
        "pin_node": node,
        "pin_dx": dx,
        "pin_dy": dy,
        "pin_output": direction == 79,
        "net_start": np.concatenate([[0], np.cumsum(actual)]),
        "net_weight": np.ones(len(heads)),
        "net_names": labels,
    }


def _read_pl(path: Path, fields: dict[str, Any]) -> None:
    file = BookshelfFile(path)
    file.at_least(3, "`name x y : orientation`")
    text, first, count = file.text, file.first, file.count
    node = _find(file, np.arange(len(first)), fields["names"], "the placement")
    seen = np.bincount(node, minlength=len(fields["kind"]))
    if (seen > 1).any():
        name = fields["names"][int(np.flatnonzero(seen > 1)[0])]
        raise InputError(f"node {name!r} is placed twice", where=path)
    fields["x"][node] = text.lengths(first + 1, "x")
    fields["y"][node] = text.lengths(first + 2, "y")
    codes = {label.encode(): i for i, label in enumerate(ORIENTATIONS)}
    with_more = np.flatnonzero(count > 3)
    for line in with_more:
        for k in range(3, int(count[line])):
            word = text.raw(int(first[line]) + k)
            if word in codes:
                fields["orientation"][node[line]] = codes[word]
            elif word.upper().startswith(b"/FIXED"):
                fields["fixed"][node[line]] = True
                fields["apart"][node[line]] |= word.upper().endswith(b"_NI")
            else:
                raise file.error(f"unknown orientation {word.decode('utf-8', 'replace')!r}",
                                 int(line), hint="One of N S E W FN FS FE FW")  # fmt: skip


def _read_weights(path: Path, fields: dict[str, Any]) -> None:
    """`net weight` lines; node weights (some files have them) are skipped."""
    file = BookshelfFile(path)
    if not len(file.first) or fields["net_names"] is None:
        return
    lines = np.flatnonzero(file.count >= 2)
    index = fields["net_names"].find(file.text.names(file.first[lines]))
    lines_known = lines[index >= 0]
    fields["net_weight"][index[index >= 0]] = file.text.numbers(
        file.first[lines_known] + 1, "weight"
    )
