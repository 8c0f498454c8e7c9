"""Figures of matplotlib as SVG that follows the page's colours, and what a pointer reads on them.

The hover layer comes from the figure itself: curves with labels, and images with a colour bar.
"""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_SVG = 300_000
"""Characters; above this an SVG is slower to open than the same picture as PNG."""
MAX_POINTS = 400
"""Points of a curve that the pointer knows; of more, evenly spaced ones."""
MAX_CELLS = 250_000
"""Cells of an image that the pointer knows; larger images are not read."""
SMALLEST_TEXT = 9.5
"""Pixels: a figure is never shrunk so far that its text is smaller; it scrolls instead."""
PIXELS = 96
"""CSS pixels per inch."""


@dataclass(frozen=True)
class Drawn:
    """A figure as HTML.

    Attributes:
        picture: the <svg> or <img> element.
        width: its natural width [px].
        least: the width down to which its text is legible [px].
        hover: panels with curves and images, for `page.js`; empty: nothing to read.
    """

    picture: Markup
    width: int
    least: int
    hover: list[dict[str, Any]]


def draw(figure: Figure, alt: str, prefix: str) -> Drawn:
    """The figure as SVG (small) or PNG (large); it is closed afterwards.

    Args:
        figure: any figure of matplotlib.
        alt: what it shows, in words.
        prefix: of all ids, so that several figures can stand on one page.
    """
    import matplotlib
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    # A fixed salt and no date: the same figure gives the same bytes. Text stays text.
    with matplotlib.rc_context({"svg.hashsalt": "sciml", "svg.fonttype": "none"}):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        box = figure.get_tightbbox(canvas.get_renderer()).padded(0.06)
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format="svg", bbox_inches=box, metadata={"Date": None}, transparent=True
        )
        svg = buffer.getvalue().decode()
        size = np.array([box.width, box.height])
        hover = [panel for axes in figure.axes if (panel := _panel(axes, figure, box, size))]
        if len(svg) <= LARGEST_SVG:
            picture = _svg(svg, alt, prefix)
        else:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=2 * PIXELS, bbox_inches=box)
            data = base64.b64encode(buffer.getvalue()).decode()
            picture = Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, alt)
    width = round(PIXELS * box.width * 1.25)
    texts = [t.get_fontsize() for t in figure.findobj(_is_text) if t.get_text().strip()]  # type: ignore[attr-defined]
    natural = PIXELS * box.width
    least = natural * SMALLEST_TEXT / (PIXELS / 72 * min(texts)) if texts else 200
    plt.close(figure)
    return Drawn(picture, width, math.ceil(min(least, natural)), hover)


def _is_text(artist: Any) -> bool:
    from matplotlib.text import Text

    return isinstance(artist, Text) and artist.get_visible()


def _svg(svg: str, alt: str, prefix: str) -> Markup:
    """The element alone, in the colour and font of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, count=1, flags=re.S)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r'( style="[^"]*?); ?"', r'\1"', svg).replace(' style=""', "")
    svg = svg.replace("#000000", "currentColor").replace(" xmlns:xlink", "\x00", 1)
    svg = svg.replace("xlink:href", "href").replace("\x00", " xmlns:xlink", 1)
    svg = re.sub(r'(\bid="|href="#|url\(#)', lambda m: m.group(1) + prefix, svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    head = f'<svg role="img" aria-label="{escape(alt)}" stroke-linejoin="round"'
    return Markup(svg.replace("<svg", head, 1).strip())


def _panel(axes: Axes, figure: Figure, box: Any, size: np.ndarray) -> dict[str, Any] | None:
    """What can be read on one panel; None: neither curve nor image."""
    if axes.get_label() == "<colorbar>":
        return None
    inches = np.asarray(figure.get_size_inches())
    place = axes.get_position()
    low = (np.array([place.x0, place.y0]) * inches - (box.x0, box.y0)) / size
    high = (np.array([place.x1, place.y1]) * inches - (box.x0, box.y0)) / size
    panel: dict[str, Any] = {"box": _rounded([low[0], 1 - high[1], high[0], 1 - low[1]])}
    for name, scale, limits, label in (
        ("x", axes.get_xscale(), axes.get_xlim(), axes.get_xlabel()),
        ("y", axes.get_yscale(), axes.get_ylim(), axes.get_ylabel()),
    ):
        if scale not in ("linear", "log"):
            return None
        panel[name] = {"limits": [float(v) for v in limits], "log": scale == "log",
                       "label": _plain(label)}  # fmt: skip
    if image := _image(axes):
        return panel | {"image": image}
    lines = _lines(axes)
    return panel | {"lines": lines} if lines else None


def _rounded(values: Any) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _plain(label: str) -> str:
    """A label without the marks of mathematics."""
    return label.replace(r"\$", "$") if "$" in label else label


def _lines(axes: Axes) -> list[dict[str, Any]]:
    from matplotlib.colors import to_hex
    from matplotlib.lines import Line2D

    names: dict[int, str] = {}
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
        line = handle[0] if isinstance(handle, tuple) else handle
        names[id(line)] = str(label)
    lines = [line for line in axes.lines if line.get_transform() == axes.transData]
    named = [line for line in lines if id(line) in names]
    if not named and len(lines) == 1:
        named, names = lines, {id(lines[0]): _plain(axes.get_ylabel()) or "value"}
    curves = []
    for line in named:
        assert isinstance(line, Line2D)
        x, y = (np.asarray(values, float) for values in line.get_data())
        kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if len(kept) > MAX_POINTS:
            kept = kept[np.linspace(0, len(kept) - 1, MAX_POINTS).round().astype(int)]
        colour = to_hex(line.get_color())
        curves.append({"label": _plain(names[id(line)]), "colour": colour,
                       "x": _rounded(x[kept]), "y": _rounded(y[kept])})  # fmt: skip
    return curves


def _image(axes: Axes) -> dict[str, Any] | None:
    """A colour-coded image with a colour bar: cells as bytes from `low` to `high`, 255 missing."""
    images = [image for image in axes.images if image.colorbar is not None]
    if not images or images[0].get_array() is None or images[0].colorbar is None:
        return None
    shown, bar = images[0], images[0].colorbar
    values: np.ndarray = np.ma.filled(np.ma.asarray(shown.get_array(), float), np.nan)
    if values.ndim != 2 or not np.isfinite(values).any() or values.size > MAX_CELLS:
        return None
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    step = (high - low) / 254 or 1.0
    coded = np.where(np.isfinite(values), np.round((values - low) / step), 255).astype(np.uint8)
    left, right, bottom, top = shown.get_extent()
    if shown.origin == "upper":
        bottom, top = top, bottom
    return {
        "columns": values.shape[1], "rows": values.shape[0], "low": low, "high": high,
        "digits": max(0, math.floor(-math.log10(step))),
        "extent": [float(v) for v in (left, right, bottom, top)],
        "label": _plain(bar.ax.get_ylabel()) or "value",
        "values": base64.b64encode(coded.tobytes()).decode(),
    }  # fmt: skip
