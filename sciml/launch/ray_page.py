"""The page of a sweep: parallel coordinates, learning curves and a table of all trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.launch.ray_metric import Metric
from sciml.launch.ray_space import Dimension
from sciml.report import Page, plots
from sciml.report.page import literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 20
"""Curves drawn, of the best trials."""


def write_page(
    out: Path, recipe: str, command: str, dimensions: Sequence[Dimension], metric: Metric,
    mode: str, ranked: Sequence[dict[str, Any]],
) -> Path:  # fmt: skip
    """Write OUT/report.html.

    Args:
        out: folder of the sweep.
        recipe: its name.
        command: that made it.
        dimensions: what varied.
        metric: what is compared.
        mode: min or max.
        ranked: rows of the trials, the best first.
    """
    kinds = [row["status"] for row in ranked]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    page = Page(f"A sweep of {recipe}", lead=f"{len(ranked)} trials: {counted}.", run=out)
    page.command(command)
    best = ranked[0]
    if best["last"] is not None:
        page.text(
            f"Best: trial {best['trial']}, {literal(metric)} = {best['last']:.6g} in "
            f"`{literal(best['folder'])}`. A value is the last one that its run recorded, "
            "which of stopped trials is an earlier one. The best of many trials is too good by "
            "chance: measure it on data that no trial has seen."
        )
    page.heading("Settings and results")
    if any(row["last"] is not None for row in ranked):
        page.figure(
            parallel_coordinates(ranked, dimensions, metric, mode),
            "Each line is a trial, from its settings to its result; dark lines are good.",
            "parallel coordinates of the trials",
            wide=True,
        )
    page.heading("Learning curves")
    if any(row["curve"] for row in ranked):
        page.figure(
            curves(ranked, metric),
            f"{literal(metric)} of the best {min(SHOWN, len(ranked))} trials, per record.",
            "learning curves of the trials",
        )
    page.heading("Trials")
    page.table(
        [
            {"trial": str(row["trial"])}
            | row["values"]
            | {str(metric): row["last"], "step": row["step"], "status": row["status"],
               "remark": row["refused"]}
            for row in ranked
        ],
        "All trials, the best first.",
    )  # fmt: skip
    return page.write(out / "report.html")


def positions(
    values: Sequence[Any], log: bool = False
) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights in [0, 1] of values on an axis, and its ticks as (height, label).

    Numbers are placed by size (or its logarithm), other values in order of appearance.
    """
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numeric:
        names = list(dict.fromkeys(map(str, values)))
        heights = {name: i / max(1, len(names) - 1) for i, name in enumerate(names)}
        return np.array([heights[str(v)] for v in values]), [(h, n) for n, h in heights.items()]
    numbers = np.array(values, float)
    scaled = np.log(numbers) if log else numbers
    low, high = float(scaled.min()), float(scaled.max())
    heights_of = (scaled - low) / (high - low) if high > low else np.full(len(scaled), 0.5)
    ends = {float(numbers.min()), float(numbers.max())}
    ticks = [
        (float(heights_of[int(np.argmin(np.abs(numbers - end)))]), f"{end:.3g}") for end in ends
    ]
    return heights_of, ticks


def parallel_coordinates(
    rows: Sequence[dict[str, Any]], dimensions: Sequence[Dimension], metric: Metric, mode: str
) -> Figure:
    """One line per trial with a result, through its settings to its result."""
    usable = [row for row in rows if row["last"] is not None and math.isfinite(row["last"])]
    figure, axis = plots.axes(width=max(6.0, 1.6 * (len(dimensions) + 1)))
    if not usable:
        return figure
    columns, labels = [], [d.name for d in dimensions] + [str(metric)]
    for place, dimension in enumerate(dimensions):
        values = [row["values"][dimension.name] for row in usable]
        numeric = all(isinstance(v, int | float) and v > 0 for v in values)
        wide = numeric and max(values) / min(values) >= 100
        heights, ticks = positions(values, dimension.log or wide)
        columns.append(heights)
        _axis(axis, place, ticks)
    results, ticks = positions([row["last"] for row in usable])
    columns.append(results)
    _axis(axis, len(dimensions), ticks)
    import matplotlib

    quality = results if mode == "max" else 1 - results
    shades = matplotlib.colormaps["viridis_r"]
    for line, good in zip(np.array(columns).T, quality, strict=True):
        axis.plot(range(len(labels)), line, color=shades(float(good)), alpha=0.8)
    axis.set_xticks(range(len(labels)), [plots.literal(name) for name in labels])
    axis.set_yticks([])
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.set_xlim(-0.2, len(labels) - 0.6)
    return figure


def _axis(axis: Any, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    axis.axvline(place, color="0.75", linewidth=1, zorder=0)
    for height, label in ticks:
        axis.text(place + 0.03, height, plots.literal(label), fontsize=8, va="center")


def curves(rows: Sequence[dict[str, Any]], metric: Metric) -> Figure:
    """The values of the best trials per record."""
    figure, axis = plots.axes()
    for place, row in enumerate(rows[:SHOWN]):
        label = f"trial {row['trial']}" if place < len(plots.COLOURS) else None
        records = range(1, len(row["curve"]) + 1)
        mark = "o" if len(row["curve"]) == 1 else None
        axis.plot(records, row["curve"], label=label, alpha=0.8, marker=mark)
    axis.set_xlabel("record")
    axis.set_ylabel(plots.literal(metric))
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False)
    return figure
