"""`sciml placement route`: is a placement routable?"""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import tyro

from sciml.errors import InputError
from sciml.paths import keep_apart
from sciml.placement.command_files import Files, read, show, with_tracks


def route(
    design: tyro.conf.Positional[Path],
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    plc: Path | None = None,
    pl: Path | None = None,
    lef: Files = (),
    rows: Path | None = None,
    tracks: tuple[float, float] | None = None,
    gcell: float | None = None,
    rounds: int = 20,
    json: bool = False,
) -> None:
    """Route a placement globally and tell where wires do not fit (overflow).

    All layers of a direction count as one; a global cell holds the tracks that cross it, less the
    share that hard macros take. Nets in more than 1,000 global cells (clocks) are left out.

    Args:
        design: A .aux, .pb.txt, .def or a folder with one of them.
        out: A picture of the crowding, .png or .svg.
        plc: Circuit Training placement of a .pb.txt.
        pl: Bookshelf placement instead of the one the .aux names.
        lef: Libraries of a .def.
        rows: A .def whose rows and die a .pb.txt gets.
        tracks: Horizontal and vertical routing tracks per micrometre over all layers (default: of
            the LEF's routing layers without the lowest, or the header of a .plc).
        gcell: Side of a global cell in micrometres (default: three rows of standard cells).
        rounds: Rounds of rip-up and rerouting, at most.
        json: Print one JSON object.
    """
    from sciml.placement.routing.router import RouterConfig
    from sciml.placement.routing.router import route as route_design

    if rounds < 0:
        raise InputError(f"--rounds must be at least 0, got {rounds}")
    if out is not None:
        keep_apart(out, design, plc, pl, rows, *lef)
        if out.suffix.lower() not in (".png", ".svg"):
            raise InputError(f"a picture ends in .png or .svg, not {out.suffix!r}", where=out)
    placed = with_tracks(read(design, plc, pl, lef, rows=rows), tracks)
    routed = route_design(placed, gcell, RouterConfig(rounds=rounds))
    values: dict[str, Any] = routed.as_dict()
    if json:
        print(json_module.dumps(values))
    else:
        values["utilisation"] = ", ".join(
            f"{value:.1f} % ({'mean' if name == 'mean' else f'worst {name} %'})"
            for name, value in routed.utilisation.items()
        )
        show(values, False)
    if out is not None:
        _picture(routed, out)


def _picture(routed: Any, out: Path) -> None:
    from matplotlib.figure import Figure

    from sciml.paths import atomic_write

    grid = routed.grid
    rows, columns = grid.shape
    box = (grid.x0, grid.x0 + columns * grid.width, grid.y0, grid.y0 + rows * grid.height)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(
        100 * routed.crowding(), origin="lower", extent=box, cmap="inferno", vmin=0, vmax=150
    )
    axes.set_title(f"overflow {routed.overflow:,.0f} wires on {routed.overfull_edges:,} edges")
    axes.set_xticks([])
    axes.set_yticks([])
    figure.colorbar(image, ax=axes, label="demand over supply (%)")
    with atomic_write(out) as part:
        figure.savefig(part, format=out.suffix[1:].lower(), dpi=130)
