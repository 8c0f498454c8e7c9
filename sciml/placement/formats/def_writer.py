"""A `Design` as DEF text with the LEF library that it needs; see `def_reader`.

Library cells are made from the nodes: one for every combination of kind, size, pin offsets and
rules. The design's placement rules (`constraints`) are written, too.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.placement.constraints import BLOCKAGE_KINDS, PARTIAL, REGION_KINDS, Constraints
from sciml.placement.design import CELL, MACRO, ORIENTATIONS, PORT, SOFT, Design, Rows

_UNITS = (100, 200, 400, 800, 1000, 2000, 4000, 8000, 10000, 20000)
Signature = tuple[int, float, float, tuple[tuple[float, float, bool], ...], int, int, int]
"""Identity of a library cell: kind, size, pins, allowed orientations, site, rail."""
_CLASS = {MACRO: "BLOCK", SOFT: "BLOCK SOFT", CELL: "CORE", PORT: "COVER"}


def _database_units(values: np.ndarray) -> int:
    """The coarsest unit with integer coordinates, else the finest that fits 32 bits."""
    largest = float(np.abs(values).max(initial=1.0))
    fits = [u for u in _UNITS if largest * u < 2**31]
    if not fits:
        raise InputError(f"coordinates up to {largest:g} um do not fit into DEF's integers")
    for unit in fits:
        scaled = values * unit
        if np.abs(scaled - np.round(scaled)).max(initial=0.0) < 1e-6:
            return unit
    return fits[-1]


def write(design: Design, path: Path) -> list[Path]:
    """Write a design as DEF; the files written."""
    scale = design.unit_um
    width, height = design.size()
    low_x, low_y = (design.x - width / 2) * scale, (design.y - height / 2) * scale
    canvas = design.canvas
    edges = np.array([canvas.x0, canvas.y0, canvas.x1, canvas.y1]) * scale
    rules = design.constraints or Constraints.none(design.nodes)
    corners = np.empty((0, 2)) if rules.die is None else rules.die * scale
    boxes = [rules.blockages.boxes, *(region.boxes for region in rules.regions), rules.halo]
    lengths = [low_x, low_y, edges, corners.ravel(), *(scale * box.ravel() for box in boxes)]
    units = _database_units(np.concatenate(lengths))
    names = list(design.names)
    for name in names:
        if not name or any(c.isspace() for c in name) or name in "-;()+*" or name == "PIN":
            raise InputError(f"DEF cannot express the name {name!r}", where=path)

    offset = (design.pin_dx != 0) | (design.pin_dy != 0)
    with_offset = np.bincount(design.pin_node[offset], minlength=design.nodes) > 0
    bare = (design.kind == PORT) & (design.width == 0) & (design.height == 0) & ~with_offset

    pins_of: list[dict[tuple[float, float, bool], str]] = [{} for _ in names]
    labels: list[str] = []
    for p in range(design.pins):
        node = int(design.pin_node[p])
        key = (float(design.pin_dx[p]), float(design.pin_dy[p]), bool(design.pin_output[p]))
        labels.append(pins_of[node].setdefault(key, f"P{len(pins_of[node])}"))

    cells: dict[Signature, str] = {}
    model = [""] * len(names)
    for i in np.flatnonzero(~bare):
        signature = (int(design.kind[i]), float(design.width[i]), float(design.height[i]),
                     tuple(pins_of[i]), int(rules.allowed[i]), int(rules.site[i]),
                     int(rules.rail[i]))  # fmt: skip
        model[i] = cells.setdefault(signature, f"CELL_{len(cells)}")

    lef = path.parent / (path.name.split(".def")[0] + ".lef")
    _write(lef, _lef_lines(cells, design, scale, units))

    def dbu(values: np.ndarray) -> list[int]:
        return [round(float(v) * scale * units) for v in values]

    def at(i: int) -> str:
        mark = "FIXED" if design.fixed[i] else "PLACED"
        sideways = ORIENTATIONS[design.orientation[i]]
        if rules.unplaced[i]:
            return "" if bare[i] else "+ UNPLACED"
        return f"+ {mark} ( {round(low_x[i] * units)} {round(low_y[i] * units)} ) {sideways}"

    # A DEF pin is on one net: a port on several nets gets a pin for each.
    port_pins: list[tuple[str, str, int, bool]] = []
    net_names = list(design.net_names) if design.net_names is not None else []
    if len(set(net_names)) != design.nets or any(not n or n.split() != [n] for n in net_names):
        net_names = [f"n{k}" for k in range(design.nets)]
    port_label: dict[int, str] = {}
    used = np.zeros(len(names), np.int64)
    net_of = np.repeat(np.arange(design.nets), np.diff(design.net_start))
    for pin in np.flatnonzero(bare[design.pin_node]).tolist():
        node = int(design.pin_node[pin])
        label = names[node] if used[node] == 0 else f"{names[node]}.extra{used[node]}"
        used[node] += 1
        port_label[pin] = label
        port_pins.append((label, net_names[net_of[pin]], node, bool(design.pin_output[pin])))
    for node in np.flatnonzero(bare & (used == 0)).tolist():
        port_pins.append((names[node], "", node, False))

    lines = ["VERSION 5.8 ;", 'DIVIDERCHAR "/" ;', 'BUSBITCHARS "[]" ;']
    lines += [f"DESIGN {design.name or 'design'} ;", f"UNITS DISTANCE MICRONS {units} ;"]
    x0, y0, x1, y1 = (round(v * units) for v in edges)
    die = [(x0, y0), (x1, y1)] if rules.die is None else [tuple(dbu(p)) for p in rules.die]
    lines.append("DIEAREA " + " ".join(f"( {x} {y} )" for x, y in die) + " ;")
    rows = design.rows
    if rows is not None:
        for k in range(len(rows)):
            sites = round((rows.x1[k] - rows.x0[k]) / rows.site[k])
            lines.append(
                f"ROW row_{k} {_site(rows, k)} {round(rows.x0[k] * scale * units)} "
                f"{round(rows.y[k] * scale * units)} {ORIENTATIONS[rows.orientation[k]]} "
                f"DO {sites} BY 1 STEP {round(rows.site[k] * scale * units)} 0 ;"
            )
    components = np.flatnonzero(~bare)
    lines += _region_lines(rules, dbu)
    lines.append(f"COMPONENTS {len(components)} ;")
    for c in components.tolist():
        line = f"- {names[c]} {model[c]}{' + SOURCE TIMING' if rules.late[c] else ''} {at(c)}"
        if rules.halo[c].any():
            soft = "SOFT " if rules.halo_soft[c] else ""
            line += f" + HALO {soft}{' '.join(map(str, dbu(rules.halo[c])))}"
        lines.append(line + " ;")
    lines += ["END COMPONENTS", f"PINS {len(port_pins)} ;"]
    for label, net, node, drives in port_pins:
        on = f"+ NET {net} " if net else ""
        direction = "INPUT" if drives else "OUTPUT"
        lines.append(f"- {label} {on}+ DIRECTION {direction} + USE SIGNAL {at(node)} ;")
    lines.append("END PINS")
    lines += _blockage_lines(rules, names, dbu)
    lines.append(f"NETS {design.nets} ;")
    start = design.net_start
    for n in range(design.nets):
        parts = []
        for p in range(start[n], start[n + 1]):
            node = int(design.pin_node[p])
            if p in port_label:
                parts.append(f"( PIN {port_label[p]} )")
            else:
                parts.append(f"( {names[node]} {labels[p]} )")
        weight = design.net_weight[n]
        tail = f" + WEIGHT {weight:g}" if weight != 1 else ""
        lines.append(f"- {net_names[n]} {' '.join(parts)}{tail} ;")
    lines.append("END NETS")
    groups = {
        k: " ".join(names[i] for i in np.flatnonzero(rules.region == k))
        for k in range(len(rules.regions))
    }
    if any(groups.values()):
        lines.append(f"GROUPS {sum(map(bool, groups.values()))} ;")
        lines += [f"- members_{k} {members} + REGION {rules.regions[k].name} ;"
                  for k, members in groups.items() if members]  # fmt: skip
        lines.append("END GROUPS")
    lines.append("END DESIGN")
    _write(path, lines)
    return [path, lef]


def _region_lines(rules: Constraints, dbu: Callable[[np.ndarray], list[int]]) -> list[str]:
    if not rules.regions:
        return []
    lines = [f"REGIONS {len(rules.regions)} ;"]
    for region in rules.regions:
        kind = f" + TYPE {REGION_KINDS[region.kind]}" if region.kind else ""
        lines.append(f"- {region.name} {' '.join(_box(dbu(b)) for b in region.boxes)}{kind} ;")
    return [*lines, "END REGIONS"]


def _blockage_lines(
    rules: Constraints, names: list[str], dbu: Callable[[np.ndarray], list[int]]
) -> list[str]:
    blocks = rules.blockages
    if not len(blocks):
        return []
    lines = [f"BLOCKAGES {len(blocks)} ;"]
    for k in range(len(blocks)):
        parts = []
        if blocks.kind[k]:
            parts.append(f"+ {BLOCKAGE_KINDS[blocks.kind[k]]}")
        if blocks.kind[k] == PARTIAL:
            parts.append(f"{100 * blocks.density[k]:.12g}")
        if blocks.owner[k] >= 0:
            parts.append(f"+ COMPONENT {names[blocks.owner[k]]}")
        lines.append(" ".join(["- PLACEMENT", *parts, "RECT", _box(dbu(blocks.boxes[k])), ";"]))
    return [*lines, "END BLOCKAGES"]


def _box(box: list[int]) -> str:
    return f"( {box[0]} {box[1]} ) ( {box[2]} {box[3]} )"


def _site(rows: Rows, k: int) -> str:
    if rows.sites is not None:
        return rows.sites[k]
    return f"SITE_{rows.height[k]:g}".replace(".", "_").replace("-", "m").replace("+", "")


def _rule_lines(allowed: int, site: str, rail: int, height: float) -> list[str]:
    """SYMMETRY, SITE, and the rails of a cell whose lower one is not the usual one."""
    symmetry = [s for s, turn in (("X", "FS"), ("Y", "FN"), ("R90", "E"))
                if allowed >> ORIENTATIONS.index(turn) & 1]  # fmt: skip
    lines = [f"  SYMMETRY {' '.join(symmetry)} ;"] if symmetry else []
    lines += [f"  SITE {site} ;"] if site else []
    for pin, use, y in (("VDD", "POWER", 0.0), ("VSS", "GROUND", height / 2)) if rail < 0 else ():
        lines += [f"  PIN {pin}", "    DIRECTION INOUT ;", f"    USE {use} ;", "    PORT",
                  "      LAYER metal1 ;", f"      RECT 0 {y!r} 0 {y!r} ;", "    END",
                  f"  END {pin}"]  # fmt: skip
    return lines


def _lef_lines(cells: dict[Signature, str], design: Design, scale: float, units: int) -> list[str]:
    lines = ["VERSION 5.8 ;", 'BUSBITCHARS "[]" ;', 'DIVIDERCHAR "/" ;',
             f"UNITS\n  DATABASE MICRONS {units} ;\nEND UNITS"]  # fmt: skip
    if design.rows is not None:
        sites = {_site(design.rows, k): k for k in range(len(design.rows))}
        for name, k in sites.items():
            pitch, high = float(design.rows.site[k]), float(design.rows.height[k])
            lines.append(f"SITE {name}\n  CLASS CORE ;\n  SIZE {pitch * scale!r} BY "
                         f"{high * scale!r} ;\nEND {name}")  # fmt: skip
    rules = design.constraints
    for (kind, width, height, pins, allowed, site, rail), name in cells.items():
        w, h = width * scale, height * scale
        lines += [f"MACRO {name}", f"  CLASS {_CLASS[kind]} ;",
                  f"  SIZE {w!r} BY {h!r} ;"]  # fmt: skip
        of_site = rules.sites[site] if rules is not None and site >= 0 else ""
        lines += _rule_lines(allowed, of_site, rail, h)
        for k, (dx, dy, output) in enumerate(pins):
            x, y = dx * scale + w / 2, dy * scale + h / 2
            lines += [f"  PIN P{k}", f"    DIRECTION {'OUTPUT' if output else 'INPUT'} ;"]
            lines += ["    PORT", "      LAYER metal1 ;", f"      RECT {x!r} {y!r} {x!r} {y!r} ;"]
            lines += ["    END", f"  END P{k}"]
        lines.append(f"END {name}")
    mirrors = [{k for k in ("FN", "FS") if allowed >> ORIENTATIONS.index(k) & 1}
               for kind, *_, allowed, _, _ in cells if kind == CELL]  # fmt: skip
    if {"FN"} in mirrors and not any("FS" in m for m in mirrors):
        # A library without any X would be read as one that implies it: see `def_rules`.
        lines += ["MACRO MIRRORED", "  CLASS CORE ;", "  SIZE 0 BY 0 ;", "  SYMMETRY X Y ;",
                  "END MIRRORED"]  # fmt: skip
    return [*lines, "END LIBRARY"]


def _write(path: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    with atomic_write(path) as part:
        if path.name.endswith(".gz"):
            with gzip.open(part, "wt", compresslevel=4) as stream:
                stream.write(text)
        else:
            part.write_text(text)
