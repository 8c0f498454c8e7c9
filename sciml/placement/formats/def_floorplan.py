"""Units, die area and rows of a DEF file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.placement.constraints import inside_polygon
from sciml.placement.design import ORIENTATIONS, Canvas, Rows
from sciml.placement.formats.def_file import CODE, DefFile
from sciml.placement.formats.lef import Library, read_lef
from sciml.placement.tokens import LARGEST, too_large


def read_floorplan(
    path: str | os.PathLike[str], lef: Sequence[str | os.PathLike[str]] = ()
) -> tuple[Canvas | None, Rows]:
    """The die's extent and the rows of a DEF [um], which needs no components and no LEF.

    Raises:
        InputError: it has no rows, or a die that is no rectangle.
    """
    file = DefFile(Path(path))
    units = read_units(file)
    die, polygon = read_die(file, units)
    rows = read_rows(file, read_lef(lef), units)
    if rows is None:
        raise InputError("has no ROW", where=path)
    if polygon is not None:
        raise InputError("a die that is no rectangle is not supported with --rows", where=path)
    return die, rows


def read_units(file: DefFile) -> float:
    """Database units per micron; 1000 if the file does not say."""
    units = _first_number(file, "UNITS", 3, "UNITS DISTANCE MICRONS", 1000.0)
    if not 0 < units <= 1e6:
        raise InputError(f"UNITS must be > 0, got {units:g}", where=file.path)
    return units


def _first_number(file: DefFile, word: str, offset: int, what: str, default: float) -> float:
    statements = file.statement(word)
    if not len(statements):
        return default
    return float(
        file.text.numbers(np.array([min(statements[0] + offset, len(file.text) - 1)]), what)[0]
    )


def read_die(file: DefFile, units: float) -> tuple[Canvas | None, np.ndarray | None]:
    """The extent of DIEAREA and, if it is no rectangle, its corners [V, 2]."""
    statements = file.statement("DIEAREA")
    if not len(statements):
        return None, None
    a, b = int(statements[0]) + 1, file.end_of(int(statements[0]))
    inner = np.arange(a, b)
    inner = inner[(file.code[a:b] != CODE["("]) & (file.code[a:b] != CODE[")"])]
    values = file.text.lengths(inner, "DIEAREA") / units
    if len(values) < 4 or len(values) % 2:
        raise file.text.error("DIEAREA needs at least two points", int(statements[0]))
    x, y = values[::2], values[1::2]
    die = Canvas(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    if len(values) == 4 or die.width <= 0 or die.height <= 0:
        return die, None
    points = values.reshape(-1, 2)
    boxes = inside_polygon(points, where=f"{file.path}, DIEAREA")
    return die, None if len(boxes) == 1 else points


def read_rows(file: DefFile, library: Library, units: float) -> Rows | None:
    """The placement rows [um]; None if there are none.

    Raises:
        InputError: an incomplete ROW, or a site that no LEF defines.
    """
    text = file.text
    records = []
    sites = []
    site_names = []
    for token in file.statement("ROW"):
        words = [text[i] for i in range(int(token), file.end_of(int(token)))]
        try:  # ROW name site x y orientation [DO n BY m [STEP dx dy]]
            x, y = float(words[3]) / units, float(words[4]) / units
            n = int(words[7]) if len(words) > 7 else 1
            if n > LARGEST:
                raise too_large(
                    "number of sites", words[7], f"{file.path}, line {text.line(token)}"
                )
            if len(words) > 9 and int(words[9]) != 1:
                raise text.error("rows whose sites stand one above the other are not supported",
                                 int(token))  # fmt: skip
            step = float(words[11]) / units if len(words) > 11 and words[10] == "STEP" else 0.0
            orientation = ORIENTATIONS.index(words[5])
            farthest = max(abs(x), abs(y), abs(x + n * step), abs(step)) * units
            if not farthest <= LARGEST:
                raise too_large(
                    "the row's end", f"{farthest:g}", f"{file.path}, line {text.line(token)}"
                )
        except (ValueError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            raise text.error("expected ROW name site x y orientation DO n BY m STEP dx dy",
                             int(token)) from None  # fmt: skip
        pitch = step or library.sites.get(words[2], (0.0, 0.0))[0]
        if pitch <= 0 or n < 1:
            raise text.error("the row's sites have no width", int(token))
        records.append((y, x, x + n * pitch, pitch, orientation))
        site_names.append(words[2])
        sites.append(library.sites.get(words[2], (0.0, 0.0))[1])
    if not records:
        return None
    table = np.array(records, np.float64).T
    height = np.array(sites)
    if (height == 0).any():  # the site is in no library: rows abut
        steps = np.diff(np.unique(np.round(table[0], 9)))
        if not len(steps):
            raise InputError("the height of the only row is unknown", where=file.path,
                             hint="Give the LEF that defines its SITE")  # fmt: skip
        height[height == 0] = steps.min()
    return Rows(
        table[0], height, table[1], table[2], table[3],
        orientation=table[4].astype(np.int8), sites=tuple(site_names),
    )  # fmt: skip
