"""Is a placement legal? An independent checker that shares no code with the placers.

Legal means, for hard macros and cells: no two overlap (by more than `TOLERANCE` of a unit in both
directions); all lie inside the die, also what is fixed; fixed nodes are where the reference has
them; a cell is on a row, inside it, on its sites and oriented as the row is (up to a mirror in y),
a multi-row cell on as many rows with the right power rail below; and the rules of the files hold:
SYMMETRY, blockages, halos, regions, and a user's (see `constraints`). Soft macros (clusters) and
ports may be anywhere.

One line names each object that breaks a rule; what is unusual but allowed (a fixed block inside a
blockage, a member outside its GUIDE) is a note.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sciml.placement.constraints import (
    FENCE,
    GUIDE,
    HARD,
    PARTIAL,
    inside_polygon,
    oriented_halo,
)
from sciml.placement.design import CELL, MACRO, ORIENTATIONS, Design
from sciml.placement.legality_rows import check_rows
from sciml.placement.legality_user_rules import check_user_rules
from sciml.placement.overlaps import TOLERANCE, inside_union, overlapping, touching

RULES = {
    "unplaced": "nodes without a position",
    "overlaps": "pairs of nodes that overlap",
    "outside": "nodes outside the die",
    "moved": "fixed nodes that were moved",
    "off_row": "cells that are not on a row",
    "off_site": "cells that are off their site",
    "turned": "nodes in an orientation that their row or SYMMETRY does not allow",
    "blocked": "nodes in placement blockages, and PARTIAL ones that are too full",
    "halos": "nodes in the halo of another",
    "regions": "members outside their region, others inside a fence",
    "channels": "pairs of hard macros nearer than the channel between macros",
    "windows": "soft-fixed nodes that are too far from where they were",
    "unaligned": "macros that are off the edge that their group shares",
}


@dataclass
class Verdict:
    """Result of a check: counts per rule (see `RULES`), and a sentence for every violation."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    nodes: list[tuple[int, ...]] = field(default_factory=list)
    """For each problem, the indices of the nodes involved."""
    broken: list[str] = field(default_factory=list)
    """For each problem, the rule that is broken (a key of `RULES`)."""
    design: Design | None = field(default=None, repr=False)
    unplaced: int = 0
    overlaps: int = 0
    overlap_area: float = 0.0
    outside: int = 0
    moved: int = 0
    off_row: int = 0
    off_site: int = 0
    turned: int = 0
    blocked: int = 0
    halos: int = 0
    regions: int = 0
    channels: int = 0
    windows: int = 0
    unaligned: int = 0

    @property
    def legal(self) -> bool:
        return not any(getattr(self, rule) for rule in RULES)

    def as_dict(self) -> dict[str, Any]:
        """Counts per rule, and of every violation its names and outlines [design units]."""
        counts = {rule: getattr(self, rule) for rule in RULES}
        return {"legal": self.legal, **counts, "overlap_area": self.overlap_area,
                "violations": self.violations(), "problems": self.problems,
                "notes": self.notes}  # fmt: skip

    def violations(self) -> list[dict[str, Any]]:
        """`rule`, `text`, `nodes` (names) and `boxes` (x0 y0 x1 y1 of each) of every problem."""
        if self.design is None:
            return []
        design = self.design
        half = np.stack(design.size(), 1) / 2
        centre = np.stack([design.x, design.y], 1)
        boxes = np.round(np.concatenate([centre - half, centre + half], 1), 6)
        return [
            {"rule": rule, "text": line, "nodes": [design.names[i] for i in nodes],
             "boxes": boxes[list(nodes)].tolist()}
            for rule, line, nodes in zip(self.broken, self.problems, self.nodes, strict=True)
        ]  # fmt: skip

    def add(self, rule: str, line: str, *nodes: int) -> None:
        """Count a violation and name it."""
        setattr(self, rule, getattr(self, rule) + 1)
        self.say(rule, line, *nodes)

    def say(self, rule: str, line: str, *nodes: int) -> None:
        """Name a violation that is counted already."""
        self.broken.append(rule)
        self.problems.append(line)
        self.nodes.append(nodes)

    def involving(self, chosen: np.ndarray, but: np.ndarray) -> list[str]:
        """The problems that involve a `chosen` node and no node of `but` (masks)."""
        return [
            line
            for line, nodes in zip(self.problems, self.nodes, strict=True)
            if any(chosen[i] for i in nodes) and not any(but[i] for i in nodes)
        ]


def check(design: Design, reference: Design | None = None, tolerance: float = TOLERANCE) -> Verdict:
    """Check a placement; `reference` says where fixed nodes must be."""
    verdict = Verdict(design=design)
    names = design.names
    hard = (design.kind == MACRO) | (design.kind == CELL)
    if design.constraints is not None:
        for i in np.flatnonzero(hard & design.constraints.unplaced).tolist():
            verdict.add("unplaced", f"{names[i]!r} is not placed", i)
        hard &= ~design.constraints.unplaced
    solid = np.flatnonzero(hard & (design.width * design.height > 0))
    width, height = design.size()
    x, y = design.x, design.y
    strip = float(design.rows.height.min()) if design.rows and len(design.rows) else 0.0
    count, area, pairs, overlapped = overlapping(
        x[solid], y[solid], width[solid], height[solid], strip
    )
    verdict.overlaps, verdict.overlap_area = count, area
    for a, b in solid[pairs].tolist():
        verdict.say("overlaps", f"{names[a]!r} and {names[b]!r} overlap", a, b)
    if count > len(pairs):
        named = np.unique(pairs)
        unnamed = np.setdiff1d(np.flatnonzero(overlapped), named)
        for i in solid[unnamed].tolist():
            verdict.say("overlaps", f"{names[i]!r} overlaps others", i)
        verdict.say("overlaps", f"... at least {count:,} overlapping pairs in all")

    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1)
    canvas, rules = design.canvas, design.constraints
    die = np.array([[canvas.x0, canvas.y0, canvas.x1, canvas.y1]])
    if rules is not None and rules.die is not None:
        die = inside_polygon(rules.die)
    what = "canvas" if rules is None else "die"
    for i in solid[~inside_union(boxes[solid], die, tolerance)].tolist():
        fixed = " (fixed)" if design.fixed[i] else ""
        verdict.add("outside", f"{names[i]!r} is outside the {what}{fixed}", i)
    if reference is not None:
        fixed_away = reference.fixed & (
            (np.abs(x - reference.x) > tolerance)
            | (np.abs(y - reference.y) > tolerance)
            | (design.orientation != reference.orientation)
        )
        for i in np.flatnonzero(fixed_away).tolist():
            verdict.add("moved", f"fixed node {names[i]!r} was moved", i)
    if design.rows is not None and len(design.rows):
        check_rows(design, solid[design.kind[solid] == CELL], verdict, tolerance)
    if rules is not None:
        _check_turns(design, solid, verdict)
        _check_blockages(design, solid, boxes, verdict, tolerance)
        _check_halos(design, solid, boxes, verdict, tolerance)
        _check_regions(design, solid, boxes, verdict, tolerance)
        check_user_rules(design, solid, boxes, verdict, tolerance)
    return verdict


def _shown(box: np.ndarray) -> str:
    return "({:.9g} {:.9g}) ({:.9g} {:.9g})".format(*box)


def _check_turns(design: Design, solid: np.ndarray, verdict: Verdict) -> None:
    rules = design.constraints
    assert rules is not None
    for i in solid[(rules.allowed[solid] >> design.orientation[solid]) & 1 == 0].tolist():
        label = ORIENTATIONS[design.orientation[i]]
        can = [o for k, o in enumerate(ORIENTATIONS) if rules.allowed[i] >> k & 1]
        verdict.add("turned", f"{design.names[i]!r} is turned {label}: its SYMMETRY allows "
                              f"{' '.join(can)}", i)  # fmt: skip


def _check_blockages(
    design: Design, solid: np.ndarray, boxes: np.ndarray, verdict: Verdict, tolerance: float
) -> None:
    rules = design.constraints
    assert rules is not None
    names, blocks = design.names, rules.blockages
    for k in range(len(blocks)):
        box = blocks.boxes[k]
        inside = solid[touching(boxes[solid], box, tolerance)]
        inside = inside[inside != blocks.owner[k]]
        if blocks.kind[k] == PARTIAL:
            cells = inside[(design.kind[inside] == CELL) & ~rules.late[inside]]
            if not len(cells):
                continue
            part = boxes[cells]
            w = np.minimum(part[:, 2], box[2]) - np.maximum(part[:, 0], box[0])
            h = np.minimum(part[:, 3], box[3]) - np.maximum(part[:, 1], box[1])
            room = (box[2] - box[0]) * (box[3] - box[1])
            if (w * h).sum() > blocks.density[k] * room * (1 + 1e-9) + tolerance:
                verdict.add("blocked", f"PARTIAL placement blockage {_shown(box)} is "
                            f"{(w * h).sum() / room:.4g} full, {blocks.density[k]:g} is allowed: "
                            + ", ".join(repr(names[int(i)]) for i in cells),
                            *cells.tolist())  # fmt: skip
            continue
        soft = "" if blocks.kind[k] == HARD else "SOFT "
        for i in inside.tolist():
            if design.fixed[i]:
                verdict.notes.append(f"fixed {names[i]!r} is in the {soft}placement blockage "
                                     f"{_shown(box)}")  # fmt: skip
            elif not (soft and rules.late[i]):
                verdict.add("blocked", f"{names[i]!r} is in the {soft}placement blockage "
                                       f"{_shown(box)}", i)  # fmt: skip


def _check_halos(
    design: Design, solid: np.ndarray, boxes: np.ndarray, verdict: Verdict, tolerance: float
) -> None:
    rules = design.constraints
    assert rules is not None
    names = design.names
    around = oriented_halo(rules.halo, design.orientation)
    for i in solid[rules.halo[solid].any(1)].tolist():
        with_halo = boxes[i] + around[i] * [-1, -1, 1, 1]
        for j in solid[touching(boxes[solid], with_halo, tolerance)].tolist():
            if j == i or (rules.halo_soft[i] and rules.late[j]):
                continue
            # Two blocks in each other's halos are one violation.
            other = boxes[j] + around[j] * [-1, -1, 1, 1]
            both = rules.halo[j].any() and not (rules.halo_soft[j] and rules.late[i])
            if both and j < i and len(touching(boxes[i : i + 1], other, tolerance)):
                continue
            verdict.add("halos", f"{names[j]!r} is in the halo of {names[i]!r}", j, i)


def _check_regions(
    design: Design, solid: np.ndarray, boxes: np.ndarray, verdict: Verdict, tolerance: float
) -> None:
    rules = design.constraints
    assert rules is not None
    names = design.names
    for k, region in enumerate(rules.regions):
        members = solid[rules.region[solid] == k]
        outside = members[~inside_union(boxes[members], region.boxes, tolerance)]
        for i in outside.tolist():
            if region.kind == GUIDE:
                verdict.notes.append(f"{names[i]!r} is outside its GUIDE region {region.name!r}")
            else:
                verdict.add("regions", f"{names[i]!r} is outside its region {region.name!r}", i)
        if region.kind != FENCE:
            continue
        others = solid[rules.region[solid] != k]
        strangers = {
            int(i) for box in region.boxes for i in others[touching(boxes[others], box, tolerance)]
        }
        for i in sorted(strangers):
            verdict.add("regions", f"{names[i]!r} is no member of the FENCE region "
                                   f"{region.name!r} that it is in", i)  # fmt: skip
