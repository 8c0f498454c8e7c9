"""Write a DEF with other coordinates of its components, and no other byte changed.

So its LEF, tracks, vias, special nets and the names of its library cells are those that the other
tools of a flow know. A design that has become another circuit is written by `def_writer`.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.placement.constraints import Constraints
from sciml.placement.design import ORIENTATIONS, Canvas, Design

_KEPT = (
    "kind", "width", "height", "fixed", "pin_node", "pin_dx", "pin_dy", "net_start", "net_weight",
    "names", "net_names", "canvas", "rows",
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """The DEF that a design was read from, its database units per micrometre, and its content."""

    path: Path
    units: float
    components: int
    fields: dict[str, Any]
    constraints: Constraints | None

    @classmethod
    def of(cls, design: Design, path: Path, units: float, components: int) -> Origin:
        fields = {key: getattr(design, key) for key in _KEPT}
        return cls(path, units, components, fields, design.constraints)

    def holds(self, design: Design) -> bool:
        """Whether the design is the file's, but for coordinates (and a user's canvas)."""
        canvas_given = design.canvas_from == "given"
        return _same_rules(design.constraints, self.constraints) and all(
            _same(getattr(design, key), value)
            for key, value in self.fields.items() if not (canvas_given and key == "canvas")
        )  # fmt: skip


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return one is two or np.array_equal(one, two)
    return one is two or (isinstance(one, Canvas | float) and one == two)


def _same_rules(one: Constraints | None, two: Constraints | None) -> bool:
    """Equal, but for nodes that have been placed since."""
    if one is None or two is None:
        return one is two
    names = {f.name for f in fields(Constraints)} - {"unplaced"}
    return all(_same(getattr(one, name), getattr(two, name)) for name in names)


def update(design: Design, path: Path) -> list[Path]:
    """Write the DEF that a design was read from with the design's coordinates; returns its path.

    Raises:
        InputError: the file is no longer the one that was read.
    """
    from sciml.placement.formats.def_file import CODE, PLACEMENTS, DefFile

    origin = design.origin
    assert isinstance(origin, Origin)
    file = DefFile(origin.path)
    dash, end = file.section("COMPONENTS")
    names = list(file.text.names(dash + 1))
    if names != list(design.names[: origin.components]):
        raise InputError("was changed since it was read", where=origin.path,
                         hint="Run the command again")  # fmt: skip
    width, height = design.size()
    low = np.stack([design.x - width / 2, design.y - height / 2], 1)[: origin.components]
    database_units = np.round(low * origin.units).astype(np.int64).tolist()
    unplaced = np.zeros(design.nodes, bool)
    if design.constraints is not None:
        unplaced = design.constraints.unplaced
    at, which = file.inside(("PLACED", "FIXED", "COVER", "UNPLACED"), dash)
    unplaced_before = {k: t for t, k in zip(at[::-1].tolist(), which[::-1].tolist(), strict=True)
              if file.code[t - 1] == CODE["+"]}  # fmt: skip
    text, edits = file.text, []
    for k in range(origin.components):
        if unplaced[k]:
            continue
        (x, y), orientation = database_units[k], ORIENTATIONS[design.orientation[k]]
        token = unplaced_before.get(k)
        if token is None or file.code[token] not in PLACEMENTS:
            new = f"PLACED ( {x} {y} ) {orientation}"
            if token is None:
                start = stop = int(text.starts[end[k]])
                new = f"+ {new} "
            else:  # + UNPLACED, in some files with coordinates that do not count
                last = token + 5 if text.raw(token + 1) == b"(" else token
                start, stop = int(text.starts[token]), int(text.ends[last])
            edits.append((start, stop, new))
            continue
        written = text.numbers(np.array([token + 2, token + 3]), "place")
        for j, value in enumerate((x, y)):
            if round(float(written[j])) != value:
                edits.append((*_span(text, token + 2 + j), str(value)))
        if text.raw(token + 5) != orientation.encode():
            edits.append((*_span(text, token + 5), orientation))
    data, parts, done = text.buffer.tobytes(), [], 0
    for start, stop, new in edits:
        parts += [data[done:start], new.encode()]
        done = stop
    content = b"".join([*parts, data[done:]])
    if path.name.endswith(".gz"):
        content = gzip.compress(content, 4, mtime=0)
    with atomic_write(path) as part:
        part.write_bytes(content)
    return [path]


def _span(text: Any, token: int) -> tuple[int, int]:
    return int(text.starts[token]), int(text.ends[token])
