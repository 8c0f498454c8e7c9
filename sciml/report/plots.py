"""Plots that several sciences share: learning curves and scores with spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette: distinct for readers with any colour vision, and in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


_PLAIN: ContextVar[bool] = ContextVar("plain", default=True)


@contextmanager
def other_style() -> Iterator[None]:
    """Within it, figures keep matplotlib's current style and size, not the package's."""
    token = _PLAIN.set(False)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def axes(width: float = 4.6, height: float = 3.4, columns: int = 1) -> tuple[Figure, Any]:
    """A figure without a display and its axes [inches], in the package's style.

    At the default width its text is legible on a telephone."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    import matplotlib.pyplot as plt

    own = _PLAIN.get()
    size = (width * columns, height) if own or columns > 1 else None
    figure, panels = plt.subplots(1, columns, figsize=size, squeeze=False)
    for axis in panels[0] if own else ():
        axis.set_prop_cycle(color=COLOURS)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, panels[0][0] if columns == 1 else panels[0]


def literal(name: object) -> str:
    """Data escaped as a label: matplotlib sets text between two dollar signs as mathematics."""
    return str(name).replace("$", r"\$")


def learning_curves(
    runs: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    key: str = "loss",
    split: str = "train",
    ylabel: str | None = None,
    logy: bool = False,
) -> Figure:
    """A metric against steps: the mean over a label's runs, their range shaded.

    Args:
        runs: label -> one list of `metrics.jsonl` records per seed.
    """
    figure, axis = axes()
    for label, histories in runs.items():
        curves = []
        for history in histories:
            records = [r for r in history if r.get("split") == split and r.get(key) is not None]
            curves.append(([r["step"] for r in records], [r[key] for r in records]))
        length = min((len(steps) for steps, _ in curves), default=0)
        if not length:
            continue
        values = np.array([value[:length] for _, value in curves], float)
        steps = curves[0][0][:length]
        (line,) = axis.plot(steps, values.mean(0), label=literal(label))
        axis.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.18)
    if logy:
        axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel(ylabel or f"{split} {key}")
    if axis.lines:
        axis.legend(frameon=False)
    return figure


def efficiency(
    axis: Axes, sizes: Sequence[float], scores: Mapping[str, Sequence[Sequence[float]]]
) -> None:
    """Score against number of labels: mean and range over seeds, one line per method.

    Args:
        sizes: [n] numbers of labels.
        scores: method -> [n][seeds] scores.
    """
    for label, rows in scores.items():
        mean = [float(np.mean(row)) for row in rows]
        low = [m - float(np.min(row)) for m, row in zip(mean, rows)]
        high = [float(np.max(row)) - m for m, row in zip(mean, rows)]
        axis.errorbar(sizes, mean, yerr=[low, high], label=literal(label), marker="o", capsize=3)
    axis.set_xscale("log")
    axis.legend(frameon=False)


def spread(values: Sequence[float], digits: int = 4) -> str:
    """'0.9810 ± 0.0012': mean and sample standard deviation over seeds."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if len(values) else "–"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"
