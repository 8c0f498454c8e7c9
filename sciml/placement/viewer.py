"""One self-contained page on which a placement, or two of the same netlist, can be explored.

Pan by dragging, zoom by the wheel or the keyboard; layers of macros, cells, ports, density,
congestion and violations; a click on a node shows its nets. With two placements a switch goes from
one to the other, and lines show what moved. The drawing is `viewer.js`; nothing is loaded from
anywhere.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.placement.cost.proxy import Evaluator
from sciml.placement.cost.wirelength import net_hpwl
from sciml.placement.design import CELL, KINDS, ORIENTATIONS, PORT, Design
from sciml.placement.legality import check
from sciml.placement.netlist import without_unplaced
from sciml.placement.placer import score
from sciml.report import Component, Page, literal

MAX_PINS = 600_000
"""Pins of nets that a page holds; of more, the widest nets are left out."""
MAX_NAMES = 20_000
"""Nodes with names; of more, cells go without."""
MAX_VIOLATIONS = 2_000
SHOWN = ("hpwl", "proxy", "robust_proxy", "wirelength", "density", "congestion", "overflow",
         "overlap_area", "legal")  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Two placements of one netlist; displacements |dx| + |dy| of the nodes of both."""

    scores: dict[str, dict[str, Any]]
    """"before", "after" and (of numbers) "difference"."""
    moved: int
    turned: int
    total_displacement: float
    max_displacement: float
    farthest: str
    nets: list[dict[str, Any]]
    """The nets whose half perimeter changed most: name, before, after."""
    only_before: int
    only_after: int

    def as_dict(self) -> dict[str, Any]:
        """All fields, as one JSON object."""
        return dict(self.__dict__)

    def lines(self) -> list[str]:
        """The comparison in words and columns, for a person."""
        out = []
        for key, value in self.scores["before"].items():
            both = (value, self.scores["after"].get(key))
            columns = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in both]
            change = self.scores["difference"].get(key)
            last = "" if change is None else f"{change:+.6g}"
            out.append(f"{key:<18} {columns[0]:>12} {columns[1]:>12} {last:>12}".rstrip())
        out.append(
            f"{self.moved:,} nodes moved, {self.turned:,} turned; total displacement "
            f"{self.total_displacement:.6g}, the farthest {self.max_displacement:.6g} "
            f"({self.farthest})"
        )
        out += [f"net {n['net']}: {n['before']:.6g} -> {n['after']:.6g}" for n in self.nets]
        if self.only_before or self.only_after:
            out.append(f"only before: {self.only_before:,} nodes, only after: {self.only_after:,}")
        return out


def compare(before: Design, after: Design, most: int = 10) -> Comparison:
    """What changed from one placement to another; nodes and nets are matched by name.

    Raises:
        InputError: they have no movable node in common.
    """
    there = after.names.find(before.names)
    both = np.flatnonzero((there >= 0) & (before.kind != PORT))
    if not len(both):
        raise InputError(f"has no node of {before.source}", where=after.source,
                         hint="Compare placements of one netlist")  # fmt: skip
    scale = after.unit_um / before.unit_um
    other = there[both]
    distance = np.abs(after.x[other] * scale - before.x[both])
    distance += np.abs(after.y[other] * scale - before.y[both])
    scores = {"before": score(before), "after": score(after)}
    scores["difference"] = {
        key: scores["after"][key] - value
        for key, value in scores["before"].items()
        if isinstance(value, float) and isinstance(scores["after"][key], float)
    }
    farthest = int(distance.argmax())
    nodes = int((before.kind != PORT).sum()), int((after.kind != PORT).sum())
    return Comparison(
        scores, int((distance > 1e-6).sum()),
        int((before.orientation[both] != after.orientation[other]).sum()),
        float(distance.sum()), float(distance.max()), before.names[int(both[farthest])],
        _changed_nets(before, after, scale, most), nodes[0] - len(both), nodes[1] - len(both),
    )  # fmt: skip


def _changed_nets(before: Design, after: Design, scale: float, most: int) -> list[dict[str, Any]]:
    if before.net_names is not None and after.net_names is not None:
        index = after.net_names.find(before.net_names)
    elif before.nets == after.nets and np.array_equal(before.net_start, after.net_start):
        index = np.arange(before.nets)
    else:
        return []
    one, two = net_hpwl(before), net_hpwl(after) * scale
    change = np.where(index >= 0, two[np.maximum(index, 0)] - one, 0.0) if len(two) else one * 0
    names = before.net_names
    return [
        {"net": str(k) if names is None else names[k], "before": float(one[k]),
         "after": float(two[index[k]])}
        for k in np.argsort(-np.abs(change), kind="stable")[:most].tolist() if change[k]
    ]  # fmt: skip


def viewer(
    designs: Design | tuple[Design, Design], labels: tuple[str, ...] = ("placement", "other"),
    reference: Design | None = None, max_pins: int = MAX_PINS,
) -> Component:  # fmt: skip
    """One placement, or two of the same netlist (before, after), to pan and zoom.

    Args:
        designs: nodes of the second that the first has not are left out, as are their nets.
        labels: what each is called.
        reference: says where fixed nodes belong.
        max_pins: of the nets that are held; of more, the widest nets are left out.
    """
    pair = designs if isinstance(designs, tuple) else (designs,)
    first = pair[0]
    data: dict[str, Any] = {
        "canvas": [first.canvas.x0, first.canvas.y0, first.canvas.x1, first.canvas.y1],
        "kind": _packed(first.kind, np.uint8),
        "names": _names(first),
        "kinds": KINDS, "orientations": ORIENTATIONS,
        "placements": [_placement(first, labels[0], reference)],
    }  # fmt: skip
    data |= _nets(first, data["placements"][0], max_pins)
    if len(pair) > 1:
        matched = _matched(first, pair[1])
        data["placements"].append(_placement(pair[1], labels[1], None, matched))
        _nets(matched, data["placements"][1], max_pins)
    script = files("sciml.placement").joinpath("viewer.js").read_text(encoding="utf-8")
    return Component("placement", script, data, f"Placement of {first.name}")


def write_viewer(
    designs: Design | tuple[Design, Design], path: str | Path,
    labels: tuple[str, ...] = ("placement", "other"), reference: Design | None = None,
) -> None:  # fmt: skip
    """Write the page of one placement, or of two. Args as for `viewer`; `path` is the .html."""
    first = designs[0] if isinstance(designs, tuple) else designs
    shown = viewer(designs, labels, reference)
    drawn = shown.data["placements"]
    title = " and ".join(labels[: len(drawn)]) if len(drawn) > 1 else first.name
    page = Page(title, lead=literal(first.summary()))
    page.component(shown, wide=True)
    names = [placement["label"] for placement in drawn]
    page.table(
        [
            {"score": key.replace("_", " ")}
            | {name: p["scores"].get(key) for name, p in zip(names, drawn, strict=True)}
            for key in drawn[0]["scores"]
        ],
        "Scores; the proxy is 1.0 wirelength + 0.5 density + 0.5 congestion, lower is better.",
    )
    page.write(path)


def _packed(values: np.ndarray, dtype: Any) -> str:
    little = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode()


def _names(design: Design) -> dict[int, str]:
    named = np.arange(design.nodes)
    if design.nodes > MAX_NAMES:
        named = np.flatnonzero(design.kind != CELL)[:MAX_NAMES]
    return {int(i): design.names[int(i)] for i in named}


def _placement(
    design: Design, label: str, reference: Design | None, drawn: Design | None = None
) -> dict[str, Any]:
    """Outlines, maps, scores and violations of one placement; `drawn`: in the first's order."""
    drawn = drawn or design
    half = np.stack(drawn.size(), 1) / 2
    centre = np.stack([drawn.x, drawn.y], 1)
    if drawn.constraints is not None:
        centre[drawn.constraints.unplaced] = np.nan  # drawn nowhere
    evaluator = Evaluator(without_unplaced(design))
    state, p = evaluator.load(evaluator.design), evaluator.problem
    verdict = check(design, reference)
    scores = score(design, reference)
    violations = verdict.violations()[:MAX_VIOLATIONS]
    return {
        "label": label,
        "boxes": _packed(np.concatenate([centre - half, centre + half], 1), np.float32),
        "turns": _packed(drawn.orientation, np.uint8),
        "scores": {key: scores[key] for key in SHOWN if key in scores},
        "columns": p.columns, "rows": p.rows,
        "density": _packed(state.density, np.float32),
        "congestion": _packed(np.maximum(state.value_h.T, state.value_v), np.float32),
        "problems": len(verdict.problems),
        "violations": [{"rule": v["rule"], "text": v["text"], "boxes": v["boxes"]}
                       for v in violations],
    }  # fmt: skip


def _nets(design: Design, placement: dict[str, Any], max_pins: int) -> dict[str, str]:
    """Net starts and pin nodes of the page; pin positions go into `placement`."""
    sizes = np.diff(design.net_start)
    order = np.argsort(sizes, kind="stable")
    kept = np.zeros(design.nets, bool)
    kept[order[np.cumsum(sizes[order]) <= max_pins]] = True
    pins = np.repeat(kept, sizes)
    placement["pins"] = _packed(design.pin_xy()[pins], np.float32)
    starts = np.concatenate([[0], np.cumsum(sizes[kept])])
    return {"net_start": _packed(starts, np.int32),
            "pin_node": _packed(design.pin_node[pins], np.int32)}  # fmt: skip


def _matched(first: Design, second: Design) -> Design:
    """The first design at the places of the second; nodes that it has not stay."""
    there = second.names.find(first.names)
    both, scale = there >= 0, second.unit_um / first.unit_um
    x, y, orientation = first.x.copy(), first.y.copy(), first.orientation.copy()
    x[both], y[both] = second.x[there[both]] * scale, second.y[there[both]] * scale
    orientation[both] = second.orientation[there[both]]
    return first.at(x, y, orientation)
