"""What the commands of `sciml placement` share: reading and writing designs, printing values."""

from __future__ import annotations

import json as json_module
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sciml.errors import InputError
from sciml.placement.design import Canvas, Design, Grid, check_sizes
from sciml.placement.tokens import LARGEST, too_large

Files = tuple[Path, ...]


def read(
    design: Path,
    plc: Path | None,
    pl: Path | None,
    lef: Files,
    canvas: tuple[float, float] | None = None,
    grid: tuple[int, int] | None = None,
    rows: Path | None = None,
    rules: str | None = None,
) -> Design:
    """A design from its files, with what the command line states beside them."""
    from sciml.placement.formats.io import read_design

    with warnings_as_lines():
        netlist = read_design(design, plc=plc, pl=pl, lef=lef, rows=rows)
    if canvas is not None:
        if not all(math.isfinite(v) and v > 0 for v in canvas):
            raise InputError(f"--canvas must be two numbers > 0, got {canvas[0]} {canvas[1]}")
        if max(canvas) > LARGEST:
            raise too_large("--canvas", f"{max(canvas):g}", None)
        origin = netlist.canvas
        netlist = replace(
            netlist,
            canvas=Canvas(origin.x0, origin.y0, origin.x0 + canvas[0], origin.y0 + canvas[1]),
            canvas_from="given",
        )
        check_sizes(netlist, design)
    elif netlist.canvas_from == "derived":
        print(
            f"{design}: no .plc states the canvas; {netlist.canvas.width:g} x "
            f"{netlist.canvas.height:g} was derived from the nodes. Do not compare this proxy with "
            "one on the .plc's canvas (give --plc or --canvas).",
            file=sys.stderr,
        )
    if grid is not None:
        if min(grid) < 1 or grid[0] * grid[1] > 1 << 22:
            raise InputError(f"--grid must be two numbers >= 1, got {grid[0]} {grid[1]}")
        new: Grid = replace(netlist.grid, columns=grid[0], rows=grid[1])
        netlist = replace(netlist, grid=new)
    return netlist if rules is None else with_rules(netlist, rules)


def with_rules(design: Design, rules: str) -> Design:
    """The design with the rules of a contest or of a file."""
    from sciml.placement import rules as user_rules

    if rules == "challenge":
        return user_rules.apply(design, user_rules.challenge())
    return user_rules.apply(design, user_rules.read_rules(rules), rules)


def with_tracks(design: Design, tracks: tuple[float, float] | None) -> Design:
    """The design with tracks that the command line states [per um], if it does."""
    if tracks is None:
        return design
    if not all(0 < t < 1e6 for t in tracks):
        raise InputError(f"--tracks must be two numbers > 0, got {tracks[0]:g} {tracks[1]:g}")
    return replace(design, tracks=tracks)


def show(values: dict[str, Any], json: bool) -> None:
    """Print values as one JSON object or as two columns."""
    if json:
        print(json_module.dumps(values))
        return
    width = max(map(len, values))
    for key, value in values.items():
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        print(f"{key:<{width}}  {text}")


def target_file(design: Design, source: Path, out: Path) -> Path:
    """The file to write for an output that may be a folder."""
    name = out.name.lower()
    if name.endswith((".plc", ".pl", ".aux", ".pb.txt", ".def", ".tcl", ".gz")):
        return out
    if out.suffix and not out.is_dir():
        raise InputError(f"unknown kind of output {out.suffix!r}", where=out,
                         hint="Use .plc, .pl, .aux, .pb.txt, .def, .tcl or a folder")  # fmt: skip
    if design.plc_index is not None:
        return out / f"{design.name}.plc"
    if ".def" in source.name.lower():
        return out / f"{design.name}.def"
    return out / f"{design.name}.pl"


def write(design: Design, to: Path) -> list[Path]:
    """Write a design, with one line on stderr for each thing that its format cannot express."""
    from sciml.placement.formats.io import write_design

    with warnings_as_lines(f"{to}: "):
        return write_design(design, to)


@contextmanager
def warnings_as_lines(prefix: str = "") -> Iterator[None]:
    """One line on stderr for each warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"{prefix}{warning.message}", file=sys.stderr)


def first(problems: list[str], limit: int = 3) -> str:
    """The first problems as one line."""
    remaining = len(problems) - limit
    return "; ".join(problems[:limit]) + (f" (and {remaining:,} more)" if remaining > 0 else "")
