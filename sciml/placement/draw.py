"""Pictures of a placement: macros, cells and ports; density, congestion, wire demand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.placement.cost.proxy import Evaluator
from sciml.placement.cost.wirelength import rudy
from sciml.placement.design import CELL, MACRO, PORT, SOFT, Design
from sciml.report.plots import literal

_COLOURS = {MACRO: "#c8553d", SOFT: "#588b8b", CELL: "#2d5d7b", PORT: "#222222"}


def layout(axes: Any, design: Design) -> None:
    """Draw nodes on matplotlib axes: hard macros red, soft green, cells blue, ports black."""
    from matplotlib.collections import PolyCollection

    width, height = design.size()
    for kind in (SOFT, CELL, MACRO):
        nodes = design.where(kind)
        if not len(nodes):
            continue
        if len(nodes) > 20000:  # too many rectangles: one dot each
            axes.plot(design.x[nodes], design.y[nodes], ",", color=_COLOURS[kind], alpha=0.5)
            continue
        x0, x1 = design.x[nodes] - width[nodes] / 2, design.x[nodes] + width[nodes] / 2
        y0, y1 = design.y[nodes] - height[nodes] / 2, design.y[nodes] + height[nodes] / 2
        corners = np.stack([x0, y0, x1, y0, x1, y1, x0, y1], 1).reshape(-1, 4, 2)
        axes.add_collection(
            PolyCollection(
                list(corners),
                facecolors=_COLOURS[kind],
                edgecolors="black" if kind == MACRO else "none",
                linewidths=0.4,
                alpha=0.85 if kind == MACRO else 0.35,
            )
        )
    ports = design.where(PORT)
    axes.plot(design.x[ports], design.y[ports], ".", color=_COLOURS[PORT], markersize=2)
    canvas = design.canvas
    axes.set_xlim(canvas.x0, canvas.x1)
    axes.set_ylim(canvas.y0, canvas.y1)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def figure(design: Design, title: str = "") -> Any:
    """A matplotlib figure of four maps: layout, density, congestion, wire demand (RUDY)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 10), layout="constrained")
    axes = figure.subplots(2, 2)
    layout(axes[0, 0], design)
    axes[0, 0].set_title(literal(title or design.name))
    evaluator = Evaluator(design)
    state, p = evaluator.load(design), evaluator.problem
    box = (design.canvas.x0, design.canvas.x1, design.canvas.y0, design.canvas.y1)
    density = state.density.reshape(p.rows, p.columns)
    congestion = np.maximum(state.value_h.T, state.value_v)
    maps = (
        (axes[0, 1], density, "density (area share of a grid cell)"),
        (axes[1, 0], congestion, "congestion (larger of both directions)"),
        (axes[1, 1], rudy(design), "wire demand, RUDY (length per area)"),
    )
    for ax, values, label in maps:
        image = ax.imshow(values, origin="lower", extent=box, cmap="magma", aspect="equal")
        ax.set_title(label)
        ax.set_xticks([])
        ax.set_yticks([])
        figure.colorbar(image, ax=ax, shrink=0.8)
    return figure


def draw_file(design: Design, path: str | Path) -> None:
    """Write a picture of the design as .png or .svg, or an interactive page as .html.

    Raises:
        InputError: the file name ends in something else.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".png", ".svg", ".html"):
        raise InputError(f"a picture ends in .png, .svg or .html, not {kind!r}", where=path)
    if kind == ".html":
        from sciml.placement.viewer import write_viewer

        write_viewer(design, path)
        return
    made = figure(design)
    with atomic_write(path) as part, io.BytesIO() as buffer:
        made.savefig(buffer, format=kind[1:], dpi=130)
        part.write_bytes(buffer.getvalue())


def animation(frames: list[Design], path: str | Path, seconds: float = 6.0) -> None:
    """An animated GIF of a search, one frame per placement (kept small: 480 pixels)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    images = []
    for frame in frames:
        made = Figure(figsize=(4.8, 4.8), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(made)
        layout(made.subplots(), frame)
        canvas.draw()
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).quantize(64))
    with atomic_write(path) as part:
        images[0].save(
            part,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=int(1000 * seconds / max(len(images), 1)),
            loop=0,
        )
