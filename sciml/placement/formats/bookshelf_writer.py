"""A `Design` as Bookshelf files; see `bookshelf` for the format."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.placement.constraints import UPRIGHT, without
from sciml.placement.design import ORIENTATIONS, PORT, Design, Rows
from sciml.placement.formats.def_update import Origin


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def in_database_units(design: Design) -> Design:
    """A design that comes from a DEF in its database units, so that lengths are whole numbers.

    (Pin offsets from a centre may be halves.) Where a LEF is finer than its DEF, in a fraction of
    them. Other designs stay as they are.
    """
    if not isinstance(design.origin, Origin):
        return design
    corners = [design.x - design.size()[0] / 2, design.y - design.size()[1] / 2]
    lengths = np.concatenate([design.width, design.height, *corners])
    finer = [f for f in (1, 2, 5, 10, 20, 50, 100) if _whole(lengths * design.origin.units * f)]
    return design.rescaled(design.origin.units * (finer or [1])[0])


def _whole(values: np.ndarray) -> bool:
    return bool(np.abs(values - np.round(values)).max(initial=0.0) < 1e-5)


def write_pl(design: Design, path: str | os.PathLike[str]) -> None:
    """The placement alone: lower-left corners, orientation, /FIXED."""
    design = in_database_units(design)
    width, height = design.size()
    left, bottom = design.x - width / 2, design.y - height / 2
    lines = ["UCLA pl 1.0", ""]
    for i, name in enumerate(design.names):
        mark = ""
        if design.fixed[i]:
            port_with_area = design.kind[i] == PORT and width[i] * height[i] > 0
            mark = " /FIXED_NI" if port_with_area else " /FIXED"
        sideways = ORIENTATIONS[design.orientation[i]]
        lines.append(f"{name}\t{_number(left[i])}\t{_number(bottom[i])}\t: {sideways}{mark}")
    with atomic_write(Path(path)) as part:
        part.write_text("\n".join(lines) + "\n")


def write_bookshelf(design: Design, path: str | os.PathLike[str]) -> list[Path]:
    """Write .aux, .nodes, .nets, .pl, .scl and .wts with the stem of `path`; returns the files.

    A design from a DEF is in its database units, which a comment in the .nodes states; movable soft
    and hard macros stay movable; names with blanks or a leading # are not possible in this format
    and are rejected.
    """
    path = Path(path)
    without(design.constraints, "Bookshelf")
    design = in_database_units(design)
    stem = path.parent / path.name.split(".aux")[0]
    names = list(design.names)
    for name in names:
        if (
            not name
            or name[0] == "#"
            or any(c.isspace() for c in name)
            or ":" in (name[0], name[-1])
        ):
            raise InputError(f"Bookshelf cannot express the name {name!r}", where=path)
    files = {e: Path(f"{stem}.{e}") for e in ("aux", "nodes", "nets", "wts", "pl", "scl")}
    terminals = design.fixed
    ni = (design.kind == PORT) & (design.width * design.height > 0)
    unit = [] if design.unit_um == 1 else [f"# unit: {design.unit_um!r} um"]
    lines = ["UCLA nodes 1.0", *unit, "", f"NumNodes : {design.nodes}",
             f"NumTerminals : {int(terminals.sum())}"]  # fmt: skip
    for i, name in enumerate(names):
        kind = ("\tterminal_NI" if ni[i] else "\tterminal") if terminals[i] else ""
        lines.append(f"\t{name}\t{_number(design.width[i])}\t{_number(design.height[i])}{kind}")
    _write(files["nodes"], lines)
    lines = ["UCLA nets 1.0", "", f"NumNets : {design.nets}", f"NumPins : {design.pins}"]
    labels = list(design.net_names) if design.net_names is not None else None
    if labels is None or len(set(labels)) != len(labels):
        labels = [f"n{k}" for k in range(design.nets)]
    start = design.net_start.tolist()
    for n in range(design.nets):
        lines.append(f"NetDegree : {start[n + 1] - start[n]} {labels[n]}")
        for p in range(start[n], start[n + 1]):
            direction = "O" if design.pin_output[p] else "I"
            lines.append(
                f"\t{names[design.pin_node[p]]}\t{direction} : "
                f"{_number(design.pin_dx[p])}\t{_number(design.pin_dy[p])}"
            )
    _write(files["nets"], lines)
    lines = ["UCLA wts 1.0", ""]
    lines += [f"{labels[n]}\t{_number(w)}" for n, w in enumerate(design.net_weight) if w != 1]
    _write(files["wts"], lines)
    _write(files["scl"], _scl_lines(design))
    write_pl(design, files["pl"])
    order = ("nodes", "nets", "wts", "pl", "scl")
    _write(files["aux"], ["RowBasedPlacement : " + " ".join(files[e].name for e in order)])
    return [files[e] for e in ("aux", *order)]


def _scl_lines(design: Design) -> list[str]:
    """Rows; a design without any gets rows lower than its lowest macro that fill its canvas.

    So the canvas is kept, and macros are still macros when the files are read again.
    """
    rows, canvas = design.rows, design.canvas
    if rows is None:
        solid = design.height[(design.kind != PORT) & (design.height > 0)]
        lowest = float(solid.min()) if len(solid) else canvas.height
        n = int(np.clip(np.ceil(2 * canvas.height / lowest), 1, 4000))
        each = np.ones(n)
        rows = Rows(
            y=canvas.y0 + canvas.height / n * np.arange(n),
            height=canvas.height / n * each,
            x0=canvas.x0 * each,
            x1=canvas.x1 * each,
            site=canvas.width * each,
            orientation=np.zeros(n, np.int8),
        )
    free = np.zeros(len(rows), bool) if rows.any_orientation is None else rows.any_orientation
    free = free & (len(np.unique(UPRIGHT[rows.orientation])) > 1)
    lines = ["UCLA scl 1.0", "", f"NumRows : {len(rows)}", ""]
    for i in range(len(rows)):
        site = rows.site[i]
        sites = max(int(round((rows.x1[i] - rows.x0[i]) / site)), 1)
        lines += [
            "CoreRow Horizontal",
            f" Coordinate : {_number(rows.y[i])}",
            f" Height : {_number(rows.height[i])}",
            f" Sitewidth : {_number(site)}",
            f" Sitespacing : {_number(site)}",
            f" Siteorient : {ORIENTATIONS[rows.orientation[i]]}",
            f" Sitesymmetry : {'X Y' if free[i] else 'Y'}",
            f" SubrowOrigin : {_number(rows.x0[i])} NumSites : {sites}",
            "End",
        ]
    return lines


def _write(path: Path, lines: list[str]) -> None:
    with atomic_write(path) as part:
        part.write_text("\n".join(lines) + "\n")
