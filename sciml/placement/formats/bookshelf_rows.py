"""Rows of a Bookshelf .scl."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.placement.constraints import UPRIGHT
from sciml.placement.design import ORIENTATIONS, Rows
from sciml.placement.formats.bookshelf_file import BookshelfFile


def read_rows(path: Path) -> Rows | None:
    """The rows of a .scl file; None if it holds none.

    Raises:
        InputError: a row is incomplete or unlike its header.
    """
    file = BookshelfFile(path)
    expected = file.header("NumRows")
    subrows: list[tuple[float, float, float, float, float, int]] = []
    row: dict[str, float] = {}
    rows = 0
    # Per row: its orientation, and whether any is allowed (none is named; sites symmetric in x).
    turns: list[int] = []
    any_orientation: list[bool] = []
    symmetric_x: dict[int, bool] = {}
    for line in range(len(file.first)):
        words = file.words(line)
        key = words[0].lower()
        if key == "corerow":
            row = {}
            rows += 1
            turns.append(0)
            any_orientation.append(True)
            continue
        if key == "end":
            continue
        if key == "siteorient":
            if rows and words[-1] in ORIENTATIONS:
                turns[-1] = ORIENTATIONS.index(words[-1])
                any_orientation[-1] = symmetric_x.get(rows, False)
            continue
        if key == "sitesymmetry":
            symmetric_x[rows] = "X" in (word.upper() for word in words[1:])
            if rows:
                any_orientation[-1] |= symmetric_x[rows]
            continue
        if key not in ("coordinate", "height", "sitewidth", "sitespacing", "subroworigin",
                       "numsites"):  # fmt: skip
            raise file.error(f"unknown word {words[0]!r} in a row", line)
        base = int(file.first[line])
        for k in range(0, len(words) - 1, 2):
            row[words[k].lower()] = float(file.text.lengths(np.array([base + k + 1]), words[k])[0])
        if key == "subroworigin":
            if not rows:
                raise file.error("SubrowOrigin before the first CoreRow", line)
            try:
                site = row.get("sitespacing", row.get("sitewidth", 1.0))
                left = row["subroworigin"]
                width = row.get("sitewidth", site)
                right = left + max(row["numsites"] - 1, 0) * site + width
                subrows.append((row["coordinate"], row["height"], left, right, site, rows - 1))
            except KeyError as missing:
                raise file.error(f"the row has no {missing.args[0]}", line) from None
            if site <= 0 or row["height"] <= 0 or row["numsites"] <= 0:
                raise file.error("a row's height, sites and spacing must be > 0", line)
    if expected.get("NumRows", rows) != rows:
        raise InputError(
            f"NumRows is {expected['NumRows']}, but there are {rows}", where=path,
            hint="Is the file cut off?",
        )  # fmt: skip
    if not subrows:
        return None
    table = np.array(subrows, np.float64).T
    y, height, x0, x1, site = table[:5]
    row_of = table[5].astype(np.int64)
    free, orientation = np.array(any_orientation)[row_of], np.array(turns, np.int8)[row_of]
    if len(np.unique(UPRIGHT[orientation])) == 1:
        free[:] = True  # most files write N everywhere without meaning it
    return Rows(
        y=y, height=height, x0=x0, x1=x1, site=site, orientation=orientation, any_orientation=free
    )
