"""Figures of proteins: alignment coverage, confidence, contacts, and the model in 3D."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np

from sciml.protein.io.alignment import GAP, Alignment
from sciml.protein.io.structure_writing import chain_name
from sciml.report import Component
from sciml.report.plots import axes

BANDS = ((90, "#0053d6", "very high"), (70, "#65cbf3", "confident"), (50, "#ffdb13", "low"),
         (0, "#ff7d45", "very low"))  # fmt: skip
"""AlphaFold's four colours: pLDDT from, colour, name."""


def viewer(
    ca: np.ndarray, colours: list[str], name: str, chains: np.ndarray | None = None, *,
    sequence: str = "", plddt: np.ndarray | None = None,
) -> Component:  # fmt: skip
    """CA traces that can be turned; a pointer names the residue.

    Args:
        ca: [N, 3] CA positions [A]; rows that are not finite are left out.
        colours: one CSS colour per residue.
        name: of the chain or complex.
        chains: [N] number of each residue's chain, from 1; None: one chain.
        sequence: letters of the residues; empty: not known.
        plddt: [N] confidences, by which the residues are coloured; None: not coloured by them.
    """
    real = np.flatnonzero(np.isfinite(ca).all(1))
    numbers = np.ones(len(ca), int) if chains is None else np.asarray(chains)
    points = ca[real] - ca[real].mean(0)
    several = len(np.unique(numbers)) > 1
    names = []
    for i in real.tolist():
        parts = [f"residue {int((numbers[: i + 1] == numbers[i]).sum())}", sequence[i : i + 1]]
        if several:
            parts.insert(0, f"chain {chain_name(int(numbers[i]) - 1)}")
        if plddt is not None:
            parts.append(f"pLDDT {plddt[i]:.0f}")
        names.append(" ".join(part for part in parts if part))
    legend: list[tuple[str, str]] = []
    if plddt is not None and not several:
        legend = [(colour, f"{what} (pLDDT {low} or more)") for low, colour, what in BANDS]
    elif several:
        present = np.unique(numbers)
        shades = colours_by_chain(present)
        legend = [(c, f"chain {chain_name(int(k) - 1)}") for k, c in zip(present, shades)]
    script = files("sciml.protein").joinpath("structure.js").read_text(encoding="utf-8")
    data = {
        "points": np.round(points, 1).ravel().tolist(),
        "colours": [colours[i] for i in real],
        "ends": np.flatnonzero(np.diff(numbers[real])).tolist(),
        "names": names, "legend": legend,
        "hint": "Drag to turn, point at a residue for its name.",
    }  # fmt: skip
    return Component("structure", script, data, f"CA trace of {name} in three dimensions")


def confidence_colours(plddt: np.ndarray) -> list[str]:
    """AlphaFold's four colours for pLDDT above 90, 70, 50 and below."""
    return [next((c for limit, c, _ in BANDS if v >= limit), BANDS[-1][1]) for v in plddt]


def chain_colours(count: int) -> list[str]:
    """Blue at the start to red at the end."""
    return [f"hsl({240 - 240 * i / max(count - 1, 1):.0f} 80% 45%)" for i in range(count)]


CHAIN_COLOURS = "#1f77b4 #ff7f0e #2ca02c #d62728 #9467bd #8c564b #e377c2 #bcbd22 #17becf".split()
"""Of the chains of a complex, in turn."""


def colours_by_chain(chains: np.ndarray) -> list[str]:
    """The colour of each residue's chain, from numbers from 1."""
    return [CHAIN_COLOURS[(int(k) - 1) % len(CHAIN_COLOURS)] for k in chains]


def chain_borders(chains: np.ndarray | None) -> np.ndarray:
    """Places between two chains, on a scale where residue k from 1 is at k."""
    return np.flatnonzero(np.diff(chains)) + 1.5 if chains is not None else np.zeros(0)


def _borders(axis: Any, chains: np.ndarray | None, *, both: bool = False) -> None:
    """Lines between chains."""
    for place in chain_borders(chains):
        axis.axvline(place, color="black", linewidth=0.8)
        if both:
            axis.axhline(place, color="black", linewidth=0.8)


def coverage_figure(
    alignment: Alignment, max_rows: int = 2000, chains: np.ndarray | None = None
) -> Any:
    """Rows sorted by identity to the query (every k-th of many), and coverage of each column.

    Of a complex, whose `chains` [C] are given, rows of more chains stand higher.
    """
    figure, axis = axes(4.8, 2.9)
    identity = alignment.identity_to()
    together = np.zeros(alignment.depth)
    if chains is not None:
        for chain in np.unique(chains):
            together += (alignment.rows[:, chains == chain] != GAP).any(1)
    order = np.lexsort((identity, together))[:: -(-alignment.depth // max_rows)]
    image = np.where(alignment.rows[order] != GAP, identity[order][:, None], np.nan)
    shown = axis.imshow(
        image,
        aspect="auto",
        origin="lower",
        extent=(0.5, alignment.columns + 0.5, 0, alignment.depth),
        cmap="viridis",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    figure.colorbar(shown, ax=axis, label="identity to the query")
    covered = (alignment.rows != GAP).sum(0)
    axis.plot(np.arange(1, alignment.columns + 1), covered, color="black", linewidth=1)
    _borders(axis, chains)
    axis.set_ylim(0, 1.04 * alignment.depth)
    axis.set_xlabel("residue")
    axis.set_ylabel("sequences (line: coverage)")
    return figure


def plddt_figure(plddt: np.ndarray, chains: np.ndarray | None = None) -> Any:
    """Confidence along the chain, or along all chains with lines between them."""
    figure, axis = axes(4.8, 2.3)
    axis.plot(np.arange(1, len(plddt) + 1), plddt, linewidth=1.5)
    _borders(axis, chains)
    axis.set_ylim(0, 100)
    axis.set_xlabel("residue")
    axis.set_ylabel("pLDDT")
    return figure


def _residues(count: int) -> tuple[float, float, float, float]:
    """Extent of an image of pairs in which residues count from 1."""
    return 0.5, count + 0.5, count + 0.5, 0.5


def pae_figure(pae: np.ndarray, chains: np.ndarray | None = None) -> Any:
    """Predicted aligned error, with lines between chains."""
    figure, axis = axes(4.2, 3.6)
    shown = axis.imshow(pae, cmap="Greens_r", vmin=0, vmax=31.75, extent=_residues(len(pae)))
    _borders(axis, chains, both=True)
    figure.colorbar(shown, ax=axis, label="expected error [Å]")
    axis.grid(False)
    axis.set_xlabel("scored residue")
    axis.set_ylabel("aligned residue")
    return figure


def iptm_figure(scores: np.ndarray, names: list[str]) -> Any:
    """ipTM of every two chains, pTM of each on the diagonal: [chains, chains]."""
    size = 1.4 + 0.42 * len(names)
    figure, axis = axes(max(size + 0.6, 2.8), max(size, 2.4))
    shown = axis.imshow(scores, cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axis, label="ipTM (diagonal: pTM)")
    axis.grid(False)
    axis.set_xticks(range(len(names)), names)
    axis.set_yticks(range(len(names)), names)
    if len(names) <= 12:
        for (i, j), value in np.ndenumerate(scores):
            colour = "0.05" if value > 0.6 else "white"
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def contact_figure(
    probability: np.ndarray,
    truth: np.ndarray | None = None,
    other: np.ndarray | None = None,
    chains: np.ndarray | None = None,
) -> Any:
    """Contact map: the prediction above the diagonal; below it the truth (or `other` scores)."""
    figure, axis = axes(4.4, 3.9)
    image = np.triu(probability, 1)
    lower = truth if truth is not None else probability if other is None else other
    image = image + np.tril(np.asarray(lower, float), -1)
    shown = axis.imshow(image, cmap="magma_r", vmin=0, vmax=1, extent=_residues(len(image)))
    figure.colorbar(shown, ax=axis, label="probability of a contact")
    _borders(axis, chains, both=True)
    axis.grid(False)
    below = "structure" if truth is not None else None if other is None else "other scores"
    axis.set_xlabel("residue")
    axis.set_ylabel("residue")
    if below:
        axis.set_title(f"above: prediction; below: {below}", fontsize=9)
    return figure
