"""Figures of proteins: alignment coverage, confidence, contacts, and the model in 3D."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from sciml.protein.io.alignment import GAP, Alignment
from sciml.protein.io.structure_writing import chain_name
from sciml.report.plots import axes

_VIEWER = """
<canvas class="chain" id="ID" width="640" height="420" style="width:100%;max-width:640px;
touch-action:none;border:1px solid #8884;border-radius:6px;cursor:grab"
aria-label="The chain in three dimensions; drag to turn, wheel to zoom"></canvas>
<script>(function(){const P=POINTS,C=COLORS,E=new Set(ENDS);
const c=document.getElementById("ID"),g=c.getContext("2d");
let a=0.4,b=0.3,z=1,d=null;const n=P.length;let r=1;for(const p of P)r=Math.max(r,Math.hypot(...p));
function at(p){const x=p[0]*Math.cos(a)+p[2]*Math.sin(a),w=-p[0]*Math.sin(a)+p[2]*Math.cos(a);
const y=p[1]*Math.cos(b)-w*Math.sin(b),q=p[1]*Math.sin(b)+w*Math.cos(b);
const s=0.45*Math.min(c.width,c.height)*z/r;return[c.width/2+x*s,c.height/2-y*s,q]}
function draw(){g.clearRect(0,0,c.width,c.height);const q=P.map(at),o=[...Array(n-1).keys()];
o.sort((i,j)=>q[i][2]+q[i+1][2]-q[j][2]-q[j+1][2]);g.lineCap="round";
for(const i of o){if(E.has(i))continue;
const f=(q[i][2]/r+1)/2;g.lineWidth=3+4*f;g.strokeStyle=C[i];g.globalAlpha=0.45+0.55*f;
g.beginPath();g.moveTo(q[i][0],q[i][1]);g.lineTo(q[i+1][0],q[i+1][1]);g.stroke()}g.globalAlpha=1}
c.onpointerdown=e=>{d=[e.clientX,e.clientY];c.setPointerCapture(e.pointerId)};
c.onpointerup=()=>d=null;c.onpointermove=e=>{if(!d)return;a+=(e.clientX-d[0])/120;
b+=(e.clientY-d[1])/120;d=[e.clientX,e.clientY];draw()};
c.addEventListener("wheel",e=>{e.preventDefault();z*=Math.exp(-e.deltaY/800);draw()},{passive:false});
draw()})();</script>
"""


def viewer(ca: np.ndarray, colours: list[str], name: str, chains: np.ndarray | None = None) -> str:
    """HTML of CA traces [N, 3] that can be turned; it needs no library and no network.

    Args:
        ca: CA positions [A]; rows that are not finite are left out.
        colours: one CSS colour per residue.
        name: of the chain or complex, for the id of the element.
        chains: [N] number of each residue's chain; None: one chain.
    """
    real = np.isfinite(ca).all(1)
    numbers = np.zeros(len(ca)) if chains is None else np.asarray(chains)
    ends = np.flatnonzero(np.diff(numbers[real]))
    points = ca[real] - ca[real].mean(0)
    used = [colour for colour, keep in zip(colours, real, strict=True) if keep]
    identifier = "chain-" + "".join(c if c.isalnum() else "-" for c in name)
    legend = ""
    if chains is not None and len(ends):
        names = (chain_name(k) for k in range(len(np.unique(numbers))))
        shades = colours_by_chain(np.unique(numbers))
        marks = (
            f'<span style="color:{shade}">&#9632;</span> {name}'
            for name, shade in zip(names, shades, strict=True)
        )
        legend = f"<p>Chains: {' '.join(marks)}</p>"
    return legend + (
        _VIEWER.replace("ID", identifier)
        .replace("POINTS", json.dumps(np.round(points, 2).tolist()))
        .replace("COLORS", json.dumps(used))
        .replace("ENDS", json.dumps(ends.tolist()))
    )


def confidence_colours(plddt: np.ndarray) -> list[str]:
    """AlphaFold's four colours for pLDDT above 90, 70, 50 and below."""
    bands = ((90, "#0053d6"), (70, "#65cbf3"), (50, "#ffdb13"))
    return [next((c for limit, c in bands if v >= limit), "#ff7d45") for v in plddt]


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
    figure, axis = axes(6.0, 3.0)
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
    figure, axis = axes(6.0, 2.4)
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
    figure.colorbar(shown, ax=axis, label="expected error [A]")
    axis.set_xlabel("scored residue")
    axis.set_ylabel("aligned residue")
    return figure


def iptm_figure(scores: np.ndarray, names: list[str]) -> Any:
    """ipTM of every two chains, pTM of each on the diagonal: [chains, chains]."""
    size = 1.4 + 0.42 * len(names)
    figure, axis = axes(max(size + 0.6, 2.8), max(size, 2.4))
    shown = axis.imshow(scores, cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axis, label="ipTM (diagonal: pTM)")
    axis.set_xticks(range(len(names)), names)
    axis.set_yticks(range(len(names)), names)
    if len(names) <= 12:
        for (i, j), value in np.ndenumerate(scores):
            colour = "black" if value > 0.6 else "white"
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
    below = "structure" if truth is not None else None if other is None else "other scores"
    axis.set_xlabel("residue" + (f" (above: prediction, below: {below})" if below else ""))
    axis.set_ylabel("residue")
    return figure
