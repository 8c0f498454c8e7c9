"""Circuit Training's .plc: canvas, grid and routing supply in comments, then a line per node.

A line is `index x y orientation fixed`, with x, y the centre and index the node's position in the
netlist. Format: github.com/google-research/circuit_training, docs/NETLIST_FORMAT.md.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.placement.design import ORIENTATIONS, PORT, Canvas, Design, Grid
from sciml.placement.tokens import LARGEST, read_bytes, too_large


def parse_orientations(labels: list[str], where: object) -> np.ndarray:
    """Indices into `ORIENTATIONS`; "" and "-" are N."""
    code = {label: i for i, label in enumerate(ORIENTATIONS)} | {"": 0, "-": 0}
    for label in set(labels) - set(code):
        raise InputError(
            f"unknown orientation {label!r}", where=where, hint=f"One of {' '.join(ORIENTATIONS)}"
        )
    return np.array([code[label] for label in labels], np.int8)


_HEADER = {
    "columns": r"Columns\s*:\s*(\S+)",
    "rows": r"Columns\s*:\s*\S+\s+Rows\s*:\s*(\S+)",
    "width": r"Width\s*:\s*(\S+)",
    "height": r"Width\s*:\s*\S+\s+Height\s*:\s*(\S+)",
    "routes_horizontal": r"Routes per micron, hor\s*:\s*(\S+)",
    "routes_vertical": r"Routes per micron, hor\s*:\s*\S+\s+ver\s*:\s*(\S+)",
    "macro_routes_horizontal": r"Routes used by macros, hor\s*:\s*(\S+)",
    "macro_routes_vertical": r"Routes used by macros, hor\s*:\s*\S+\s+ver\s*:\s*(\S+)",
    "smooth": r"Smoothing factor\s*:\s*(\S+)",
}


def apply_plc(fields: dict[str, Any], path: str | os.PathLike[str]) -> tuple[Canvas | None, Grid]:
    """Put the placement of a .plc into `fields` (x, y, orientation, fixed).

    Returns:
        (canvas, grid) of the header; canvas None: it states none.

    Raises:
        InputError: an index that the netlist does not have, or a pin's; a line that is not
            `index x y orientation fixed`; a macro without a position in either file.
    """
    lines = read_bytes(path).tobytes().decode("utf-8", "replace").splitlines()
    header: dict[str, float] = {}
    index = {int(p): i for i, p in enumerate(fields["plc_index"])}
    x, y, orientation, fixed = (fields[k] for k in ("x", "y", "orientation", "fixed"))
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        if line.startswith("#"):
            for key, pattern in _HEADER.items():
                if key not in header and (match := re.search(pattern, line)):
                    try:
                        header[key] = float(match[1])
                    except ValueError:
                        raise InputError(f"{key} is no number: {match[1]!r}", where=where) from None
                    if not abs(header[key]) <= LARGEST:
                        raise too_large(key, match[1], where)
            continue
        words = line.split()
        if not words:
            continue
        try:
            node = int(words[0])
            px, py = float(words[1]), float(words[2])
            label, flag = words[3], words[4]
        except (ValueError, IndexError):
            raise InputError(
                f"expected `index x y orientation fixed`, got {line.strip()[:60]!r}", where=where
            ) from None
        if node not in index:
            raise InputError(f"index {node} is no macro or port of the netlist", where=where)
        if not (np.isfinite(px) and np.isfinite(py)):
            raise InputError(f"the place of node {node} is not finite", where=where)
        if max(abs(px), abs(py)) > LARGEST:
            raise too_large(f"the place of node {node},", f"{px:g} {py:g}", where)
        i = index[node]
        x[i], y[i] = px, py
        orientation[i] = parse_orientations([label], where)[0]
        fixed[i] = fixed[i] | (flag == "1")
    for unplaced in np.flatnonzero(np.isnan(x) | np.isnan(y))[:1]:
        raise InputError(f"node {fields['names'][int(unplaced)]!r} has no place", where=path)
    canvas = None
    if header.get("width", 0) > 0 and header.get("height", 0) > 0:
        canvas = Canvas(0.0, 0.0, header["width"], header["height"])
    grid = Grid()
    supply = {k: v for k, v in header.items() if k not in ("width", "height")}
    for key in ("columns", "rows", "smooth"):
        if key in supply and supply[key] != int(supply[key]):
            raise InputError(f"{key} must be a whole number, got {supply[key]:g}", where=path)
    integers = {k: int(supply.pop(k)) for k in ("columns", "rows", "smooth") if k in supply}
    return canvas, replace(grid, **integers, **supply)  # type: ignore[arg-type]


def write_plc(design: Design, path: str | os.PathLike[str]) -> None:
    """The placement as a .plc for the netlist that `design.plc_index` refers to."""
    grid, canvas = design.grid, design.canvas
    index = design.plc_index if design.plc_index is not None else np.arange(design.nodes)
    lines = [
        "# Placement file for Circuit Training",
        f"# Columns : {grid.columns}  Rows : {grid.rows}",
        f"# Width : {canvas.width!r}  Height : {canvas.height!r}",
        f"# Routes per micron, hor : {grid.routes_horizontal!r}  ver : {grid.routes_vertical!r}",
        f"# Routes used by macros, hor : {grid.macro_routes_horizontal!r}  "
        f"ver : {grid.macro_routes_vertical!r}",
        f"# Smoothing factor : {grid.smooth}",
        "#",
        "# node_index x y orientation fixed",
    ]
    for i in np.argsort(index, kind="stable"):
        label = "-" if design.kind[i] == PORT else ORIENTATIONS[design.orientation[i]]
        px, py = float(design.x[i]) - canvas.x0, float(design.y[i]) - canvas.y0
        lines.append(f"{index[i]} {px!r} {py!r} {label} {int(design.fixed[i])}")
    with atomic_write(Path(path)) as part:
        part.write_text("\n".join(lines) + "\n")
