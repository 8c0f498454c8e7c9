"""One self-contained page on which a placement, or two of the same netlist, can be explored.

Pan by dragging, zoom by the wheel; layers of macros, cells, ports, density, congestion and
violations; a click on a node shows its nets. With two placements a switch goes from one to the
other, and lines show what moved. The drawing is `viewer.js`; nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.placement.cost.proxy import Evaluator
from sciml.placement.cost.wirelength import net_hpwl
from sciml.placement.design import CELL, KINDS, ORIENTATIONS, PORT, Design
from sciml.placement.legality import check
from sciml.placement.netlist import without_unplaced
from sciml.placement.placer import score

MAX_PINS = 600_000
"""Pins of nets that a page holds; of more, the widest nets are left out."""
MAX_NAMES = 20_000
"""Nodes with names; of more, cells go without."""
MAX_VIOLATIONS = 2_000
SHOWN = ("hpwl", "proxy", "robust_proxy", "wirelength", "density", "congestion", "overflow",
         "overlap_area", "legal")  # fmt: skip

_STYLE = """
body { margin: 0; font: 14px/1.45 system-ui, sans-serif; color: #1c2330; display: flex;
       height: 100vh; overflow: hidden; }
aside { width: 21rem; padding: .8rem 1rem; overflow-y: auto; border-right: 1px solid #dde3ea; }
h1 { font-size: 1.1rem; margin: 0 0 .3rem; } h2 { font-size: .95rem; margin: 1rem 0 .3rem; }
p { margin: .2rem 0; color: #5a6577; } label { display: block; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
td, th { text-align: right; padding: .1rem .3rem; border-bottom: 1px solid #eef1f5; }
td:first-child { text-align: left; } .swatch { display: inline-block; width: .8em; height: .8em;
  margin: 0 .35em 0 .1em; vertical-align: -.05em; border: 1px solid #0003; }
#violations a { display: block; cursor: pointer; color: #b3261e; padding: .1rem 0;
                 overflow-wrap: anywhere; }
#view { flex: 1; position: relative; } canvas { position: absolute; inset: 0; cursor: grab; }
#note { position: absolute; left: .6rem; bottom: .5rem; background: #fffd; padding: .15rem .5rem;
        border-radius: 4px; pointer-events: none; white-space: pre; }
"""


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


def write_viewer(
    designs: Design | tuple[Design, Design], path: str | Path,
    labels: tuple[str, ...] = ("placement", "other"), reference: Design | None = None,
) -> None:  # fmt: skip
    """Write the page of one placement, or of two of the same netlist (before, after).

    Args:
        designs: nodes of the second that the first has not are left out, as are their nets.
        path: of the .html.
        labels: what each is called.
        reference: says where fixed nodes belong.
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
    data |= _nets(first, data["placements"][0])
    if len(pair) > 1:
        matched = _matched(first, pair[1])
        data["placements"].append(_placement(pair[1], labels[1], None, matched))
        _nets(matched, data["placements"][1])
    script = files("sciml.placement").joinpath("viewer.js").read_text(encoding="utf-8")
    title = html.escape(" and ".join(labels[: len(pair)]) if len(pair) > 1 else first.name)
    embedded = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><aside><h1>{title}</h1><p>{html.escape(first.summary())}</p>"
        '<div id="panel"></div></aside><div id="view"><canvas></canvas><div id="note"></div></div>'
        f'<script type="application/json" id="data">{embedded}</script>'
        f"<script>{script}</script></html>"
    )
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


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


def _nets(design: Design, placement: dict[str, Any]) -> dict[str, str]:
    """Net starts and pin nodes of the page; pin positions go into `placement`."""
    sizes = np.diff(design.net_start)
    order = np.argsort(sizes, kind="stable")
    kept = np.zeros(design.nets, bool)
    kept[order[np.cumsum(sizes[order]) <= MAX_PINS]] = True
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
