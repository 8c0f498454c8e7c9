"""Circuits: a design of our generator, the size of the Ariane core, placed in some CPU seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.placement import place, proxy_cost
from sciml.placement.cost.wirelength import hpwl
from sciml.placement.design import Design
from sciml.placement.draw import layout
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.legality import check
from sciml.placement.viewer import viewer
from sciml.report import Card, Estimate, Page
from sciml.report.plots import axes

ARIANE = NetlistConfig(macros=133, clusters=300, ports=256, families=1, macro_area=0.55,
                       nets_per_node=6.0)  # fmt: skip
"""133 equal memories, as in the Ariane core; everything else is drawn at random."""
SEED = 133
SEEDS = (0, 1, 2)
CPU_SECONDS = 4.0
"""Of each search."""


def make(folder: Path, tiny: bool) -> None:
    """Write report.html and costs.json."""
    config = NetlistConfig(macros=12, clusters=24, ports=16, families=1) if tiny else ARIANE
    seconds = 0.5 if tiny else CPU_SECONDS
    design = netlist(config, SEED, name="generated design")
    # One move: the macros in a random order on rows, the clusters spread among them.
    start = place(design, max_moves=1, seed=SEED, method="sa", start="zero").design
    methods: dict[str, dict[str, Any]] = {"placed": {}, "annealing": {
        "method": "sa", "start": "zero"}}  # fmt: skip
    runs = {
        name: [place(design, cpu_seconds=seconds, seed=seed, **settings) for seed in SEEDS]
        for name, settings in methods.items()
    }
    rows = [_row("random order", start, start)]
    rows += [
        _row(name, one.design, start) | {"seed": seed}
        for name, placed in runs.items() for seed, one in zip(SEEDS, placed, strict=True)
    ]  # fmt: skip
    with atomic_write(folder / "costs.json") as part:
        part.write_text(dumps({"cpu_seconds": seconds, "seeds": SEEDS, "runs": rows}, indent=1))

    costs = {name: [r["proxy cost"] for r in rows if r["placement"] == name] for name in runs}
    best = runs["placed"][int(np.argmin(costs["placed"]))].design
    legal = all(r["legal"] for r in rows[1:])
    page = Page("Circuits: a placed design", run=folder, seeds=SEEDS)
    page.card(Card(
        f"Where do {config.macros} macros go, so that wires are short and not crowded?",
        f"In {seconds:g} CPU seconds the proxy cost of Circuit Training falls from "
        f"{rows[0]['proxy cost']:.2f} of a random order of the macros to "
        f"{np.mean(costs['placed']):.2f}; " + ("every placement is legal." if legal else
                                                "**not every placement is legal.**"),
        f"proxy cost after {seconds:g} CPU seconds, lower is better; {len(SEEDS)} seeds",
        (("placed", Estimate.of_runs(costs["placed"])),
         ("annealing", Estimate.of_runs(costs["annealing"])),
         ("random order", Estimate(rows[0]["proxy cost"]))),
        page.source("costs.json"), "Circuits",
    ))  # fmt: skip
    page.text(
        f"A netlist of our generator with as many macros as the Ariane core ({config.macros} equal "
        f"memories, {config.clusters} clusters of cells, {len(design.net_weight):,} nets). Macros "
        "are placed; clusters follow. The proxy is wirelength + 0.5 density + 0.5 congestion; it "
        "is not timing."
    )
    page.figure(_two(start, best), "Macros (red), clusters of cells (green) and ports (black): "
                "a random order of the macros on rows, and the best placement that was found.",
                file="costs.json", wide=True)  # fmt: skip
    page.component(viewer((start, best), ("random order", "placed"), max_pins=20_000),
                   "The same two to explore: drag, zoom, and point at a macro for its nets.",
                   file="costs.json", wide=True)  # fmt: skip
    page.table(rows, "HPWL: half the perimeter of each net's bounding box, added up.",
               file="costs.json")  # fmt: skip
    page.write(folder / "report.html")


def _row(name: str, design: Design, reference: Design) -> dict[str, Any]:
    cost = proxy_cost(design)
    return {
        "placement": name, "proxy cost": cost.proxy, "wirelength": cost.wirelength,
        "density": cost.density, "congestion": cost.congestion, "HPWL [um]": hpwl(design),
        "legal": check(design, reference).legal,
    }  # fmt: skip


def _two(before: Design, after: Design) -> Any:
    """Both placements side by side."""
    figure, panels = axes(5, 5, columns=2)
    titles = ("random order", "placed")
    for axis, design, title in zip(panels, (before, after), titles, strict=True):
        layout(axis, design)
        axis.grid(False)
        axis.set_title(title)
    figure.tight_layout()
    return figure
