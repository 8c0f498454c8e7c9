"""`sciml placement attack`: what a netlist that is a little wrong does to a placement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

from sciml.errors import InputError
from sciml.paths import keep_apart
from sciml.placement.command_files import Files, read


def attack(
    design: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    plc: Path | None = None,
    pl: Path | None = None,
    lef: Files = (),
    kinds: tuple[str, ...] = ("weights", "pins"),
    tolerances: tuple[float, ...] = (0.05, 0.1, 0.2),
    tries: int = 5,
    cpu_seconds: float = 2.0,
    seed: int = 0,
) -> None:
    """Change net weights and pin positions within a tolerance: how much wire of a placement they
    make, and what is lost by placing the wrong netlist. A page with curves.

    Wire: random changes, and the worst one within the tolerance. Anew: the placer gets the changed
    netlist and is judged on the right one.

    Args:
        design: A .aux, .pb.txt, .def or a folder with one of them (may be packed).
        out: The page, .html.
        plc: Circuit Training placement of a .pb.txt, for its canvas and grid.
        pl: Bookshelf placement instead of the one the .aux names.
        lef: Libraries of a .def (default: every .lef beside it).
        kinds: Changes: weights of nets (their total stays), pins of macros (within the macro).
        tolerances: Largest changes, in shares of a weight or of a macro's sides.
        tries: Random changes of each kind and tolerance, and further seeds.
        cpu_seconds: Of each placement; there are tries x (kinds x tolerances + 1) + 1 of them.
        seed: Of the changes and of the first placement.
    """
    from sciml.placement.learning.attacks import robustness
    from sciml.placement.placer import place
    from sciml.train.log import Bar, console

    if out.suffix != ".html":
        raise InputError("must end in .html", where=out)
    if not cpu_seconds > 0:
        raise InputError(f"`cpu_seconds` must be > 0, got {cpu_seconds}")
    keep_apart(out, design, plc, pl, *lef)
    netlist = read(design, plc, pl, lef)
    placements = tries * (len(kinds) * len(tolerances) + 1) + 1
    with Bar("placements", placements) as bar:

        def placer(wrong: Any, seed: int) -> Any:
            placed = place(wrong, cpu_seconds=cpu_seconds, seed=seed).design
            bar.advance(1)
            return placed

        rows = robustness(
            netlist, placer, kinds=kinds, tolerances=tuple(sorted(tolerances)),  # type: ignore[arg-type]
            tries=tries, seed=seed,
        )  # fmt: skip
    _page(rows, netlist.name, tries, cpu_seconds, seed).write(out)
    for row in rows:
        shown = ", ".join(f"{k} {v:+.2%}" for k, v in row.items()
                          if isinstance(v, float) and k != "tolerance")  # fmt: skip
        console.print(f"{row['kind']} within {row['tolerance']:g}: {shown}", soft_wrap=True)
    console.print(str(out), soft_wrap=True)


def _page(rows: list[dict[str, Any]], name: str, tries: int, cpu_seconds: float, seed: int) -> Any:
    from sciml.report import Page, literal, plots

    page = Page("What a wrong netlist does to a placement",
                lead=f"{literal(name)}: relative changes of the wire length of one placement, and "
                "of the proxy of placements made for a wrong netlist and judged on the right one. "
                f"{tries} random changes each, {cpu_seconds:g} CPU-seconds a placement.",
                seeds=(seed,))  # fmt: skip
    for kind in dict.fromkeys(row["kind"] for row in rows):
        mine = [row for row in rows if row["kind"] == kind]
        figure, axis = plots.axes()
        axis.axhspan(-100 * mine[0]["seeds"], 100 * mine[0]["seeds"], color="0.9",
                     label="seeds alone")  # fmt: skip
        for way in ("wire, random", "wire, worst", "anew, mean", "anew, worst"):
            axis.plot([100 * row["tolerance"] for row in mine], [100 * row[way] for row in mine],
                      marker="o", label=way)  # fmt: skip
        axis.set_xlabel("tolerance [%]")
        axis.set_ylabel("change [%]")
        axis.legend(frameon=False)
        page.figure(figure, f"Changes of the **{kind}**: wire of one placement, and proxy lost "
                    "by placing the wrong netlist (anew).")  # fmt: skip
    page.table(rows, "Relative changes. Seeds: half the range of the proxy over seeds on the right "
               "netlist; a loss within it is none.")  # fmt: skip
    return page
