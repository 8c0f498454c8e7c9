"""What the package makes and says of the cases of `legality_cases`, in the words of these."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from legality_cases import TURNS, Case, faults

from sciml.errors import InputError
from sciml.placement import read_design
from sciml.placement.placer import place


def read(case: Case, folder: Path) -> Any:
    """The design of a case, through its LEF and DEF."""
    (folder / "a.lef").write_text(case.lef())
    (folder / "a.def").write_text(case.def_())
    return read_design(folder / "a.def")


def reported(verdict: Any) -> set[tuple[str, ...]]:
    """What the lines of a verdict say, as `faults` says it."""
    out = set()
    for rule, line in zip(verdict.broken, verdict.problems, strict=True):
        names = sorted(re.findall(r"'([cdm]\d+)'", line))
        if "PARTIAL" in line:
            corners = re.findall(r"-?[\d.e+-]+", line.split("(", 1)[1])[:4]
            rule, names = "partial", [str(tuple(round(1000 * float(v)) for v in corners))]
        out.add((rule, *(names[:1] if rule == "regions" else names)))
    return out


def moved(case: Case, design: Any) -> None:
    """The case at the places of a design."""
    width, height = design.size()
    for i, name in enumerate(design.names):
        thing = next(t for t in case.things if t.name == name)
        x, y = 1000 * (design.x[i] - width[i] / 2), 1000 * (design.y[i] - height[i] / 2)
        assert abs(x - round(x)) < 1e-3 and abs(y - round(y)) < 1e-3  # whole database units
        thing.x, thing.y, thing.turn = round(x), round(y), TURNS[design.orientation[i]]


def unavoidable(case: Case) -> set[tuple[str, ...]]:
    """Faults of what is fixed."""
    things = case.things
    case.things = [t for t in things if t.fixed]
    out = faults(case)
    case.things = things
    return out


def placed_or_refused(case: Case, design: Any, seed: int, budget: float = 0.1) -> str:
    """ "placed" without a fault that what is fixed has not, or "refused" in one line."""
    before = [[(t.x, t.y, t.turn) for t in case.things if t.fixed]]
    allowed = unavoidable(case)
    cells = any(not t.block and not t.fixed for t in case.things)
    try:
        result = place(design, cpu_seconds=budget, movable="all" if cells else "macros", seed=seed)
    except InputError as error:
        assert "\n" not in str(error)
        return "refused"
    moved(case, result.design)
    assert [[(t.x, t.y, t.turn) for t in case.things if t.fixed]] == before
    assert faults(case) <= allowed, faults(case) - allowed
    assert result.scores["legal"] == (not faults(case))
    return "placed"
