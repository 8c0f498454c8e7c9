"""`sciml placement ...`: place, score, check, convert and draw circuits."""

from __future__ import annotations

import json as json_module
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from sciml.errors import InputError
from sciml.paths import keep_apart
from sciml.placement.command_files import (
    Files,
    first,
    read,
    show,
    target_file,
    warnings_as_lines,
    with_rules,
    with_tracks,
    write,
)
from sciml.placement.commands_changes import cluster, compare, legalise
from sciml.placement.commands_routing import route
from sciml.placement.learning.commands import attack
from sciml.renamed import renamed


def score(
    design: tyro.conf.Positional[Path],
    plc: Path | None = None,
    pl: Path | None = None,
    lef: Files = (),
    rows: Path | None = None,
    canvas: tuple[float, float] | None = None,
    grid: tuple[int, int] | None = None,
    rules: str | None = None,
    steiner: bool = False,
    json: bool = False,
) -> None:
    """Score a placement: wire length, density, congestion, proxy, overlap, legality.

    Args:
        design: A .aux, .pb.txt, .def or a folder with one of them (may be packed).
        plc: Circuit Training placement of a .pb.txt.
        pl: Bookshelf placement instead of the one the .aux names.
        lef: Libraries of a .def (default: every .lef beside it).
        rows: A .def whose rows and die a .pb.txt gets.
        canvas: Width and height, where the files state none.
        grid: Columns and rows of the proxy's grid, where the files state none.
        rules: Further rules for `legal`, a .toml file or "challenge".
        steiner: Also the length of rectilinear Steiner trees (RSMT), at most 1.5 times the least.
        json: Print one JSON object.
    """
    from sciml.placement.placer import score as score_design

    netlist = read(design, plc, pl, lef, canvas, grid, rows, rules)
    show(score_design(netlist, steiner=steiner), json)


def check(
    design: tyro.conf.Positional[Path],
    plc: Path | None = None,
    pl: Path | None = None,
    lef: Files = (),
    rows: Path | None = None,
    rules: str | None = None,
    json: bool = False,
) -> int:
    """Check a placement against every rule of its files. Exit code 0 legal, 1 not.

    One line names each object that overlaps another, is outside the die, off its row or site, in an
    orientation that its row or SYMMETRY does not allow, in a blockage or a halo, or on the wrong
    side of a fence.

    Args:
        design: The netlist; its own placement says where fixed nodes belong.
        plc: The placement to check, of a .pb.txt.
        pl: The placement to check, of a Bookshelf design.
        lef: Libraries of a .def.
        rows: A .def whose rows and die a .pb.txt gets.
        rules: Further rules, a .toml file or "challenge".
        json: Print one JSON object with names and outlines of every violation.
    """
    from sciml.placement.legality import check as check_design

    placed = read(design, plc, pl, lef, rows=rows, rules=rules)
    reference = None
    if pl is not None:
        reference = read(design, None, None, lef, rows=rows)
    verdict = check_design(placed, reference)
    if json:
        print(json_module.dumps(verdict.as_dict()))
    else:
        for line in verdict.problems:
            print(line)
        for line in verdict.notes:
            print(f"note: {line}", file=sys.stderr)
        print("legal" if verdict.legal else "not legal")
    return 0 if verdict.legal else 1


@renamed(output="out", budget="cpu_seconds")
def place(
    design: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    plc: Path | None = None,
    pl: Path | None = None,
    lef: Files = (),
    rows: Path | None = None,
    cpu_seconds: str | None = None,
    max_moves: int | None = None,
    seed: int = 0,
    start: Literal["auto", "zero", "file", "electrostatic"] = "auto",
    method: Literal["auto", "sa", "search", "policy", "electrostatic"] = "auto",
    policy: str | None = None,
    movable: Literal["macros", "cells", "all"] = "macros",
    rules: str | None = None,
    net_weights: Path | None = None,
    routability: bool = False,
    tracks: tuple[float, float] | None = None,
    chains: int = 1,
    workers: int = 1,
    centred: bool = False,
    canvas: tuple[float, float] | None = None,
    grid: tuple[int, int] | None = None,
    resume: bool = False,
    json: bool = False,
) -> int:
    """Place a design within a budget. Ctrl-C ends early and writes the best legal result.

    Exit code 1 if a node that was to be moved breaks a rule; the file is written all the same.
    A DEF keeps everything but coordinates and orientations; its LEF files are given with --lef.

    Args:
        design: A .aux, .pb.txt, .def or a folder with one of them.
        out: A file (.plc, .pl, .aux, .pb.txt, .def, or .tcl for OpenROAD) or a folder.
        plc: Circuit Training placement: canvas, grid and fixed nodes.
        pl: Bookshelf placement to start from.
        lef: Libraries of a .def.
        rows: A .def whose rows and die a .pb.txt gets.
        cpu_seconds: CPU time of the search, 60, 60s or 5m (default 60).
        max_moves: Moves of the search instead of time; the result then depends on the seed alone.
        seed: Seed of every random choice.
        start: Forget the coordinates of the files (zero), start from them (file) or from an
            electrostatic placement of the macros, or choose by size and budget (auto).
        method: Annealing (sa), search on the wire mask, a trained policy, electrostatic placement
            of standard cells, or choose (auto).
        policy: For --method policy, a policy.safetensors that `sciml run circuit_placement` wrote.
        movable: What may move, macros, standard cells, or all.
        rules: Further rules, a .toml file (channel between macros, halos, aligned or soft-fixed
            macros, densities and more) or "challenge" (macros never overlap, N FN S FS, one hour).
        net_weights: A text file of nets and factors of their weights, or their criticalities from
            0 to 1 below a first line `net,criticality`; the search alone uses them.
        routability: Standard cells leave room for wires where these are crowded.
        tracks: For --routability, horizontal and vertical routing tracks per micrometre over all
            layers (default: those of the LEF's routing layers).
        chains: Annealing chains that share the budget.
        workers: Threads for the chains.
        centred: Hard macros only at centres of grid cells.
        canvas: Width and height, where the files state none.
        grid: Columns and rows of the proxy's grid.
        resume: Continue a search that was interrupted (its state is beside the output).
        json: Print one JSON object.
    """
    from sciml.files.locks import locked_file
    from sciml.placement.classical.annealing import AnnealingConfig
    from sciml.placement.formats.net_weights import read_net_weights
    from sciml.placement.placer import place as place_design
    from sciml.placement.rules import CHALLENGE_SECONDS, without_rules

    if chains < 1 or workers < 1:
        raise InputError("--chains and --workers must be at least 1")
    annealing = AnnealingConfig(chains=chains, workers=workers, centred=centred)
    if rules == "challenge" and _seconds(cpu_seconds or "60") > CHALLENGE_SECONDS:
        raise InputError("--rules challenge allows one hour", hint="Give --cpu-seconds 1h or less")
    original = read(design, plc, pl, lef, canvas, grid, rows)
    netlist = original if rules is None else with_rules(original, rules)
    netlist = with_tracks(netlist, tracks)
    target = target_file(netlist, design, out)
    keep_apart(target, design, plc, pl, rows, policy, net_weights, *lef)
    factors = None if net_weights is None else read_net_weights(net_weights, netlist)
    state = target.parent / f".{target.name}.search.npz"
    with locked_file(target), warnings_as_lines():
        placed = place_design(
            netlist,
            cpu_seconds=None if cpu_seconds is None else _seconds(cpu_seconds),
            max_moves=max_moves,
            seed=seed,
            start=start,
            method=method,
            policy=policy,
            movable=movable,
            config=None if annealing == AnnealingConfig() else annealing,
            net_weights=factors,
            routability=routability,
            state=state,
            resume=resume,
            report=None if json else _progress,
        )
        files = write(without_rules(placed.design, original), target)
        if not placed.stopped:
            state.unlink(missing_ok=True)
    if placed.violations:
        print(f"the result is not legal: {first(placed.violations)}; `sciml placement check` "
              "with it names all", file=sys.stderr)  # fmt: skip
    elif not placed.scores["legal"]:
        from sciml.placement.legality import check as check_design

        problems = check_design(placed.design, netlist).problems
        print(f"not legal is what was not to be moved: {first(problems)}", file=sys.stderr)
    if json:
        print(json_module.dumps(placed.scores))
    else:
        show(placed.scores, False)
        print("wrote " + ", ".join(map(str, files)))
        if placed.stopped:
            remaining = "; the same command with --resume goes on" if state.exists() else ""
            print(f"stopped early{remaining}")
    return 1 if placed.violations else 0


def convert(
    source: tyro.conf.Positional[Path],
    to: tyro.conf.Positional[Path],
    plc: Path | None = None,
    pl: Path | None = None,
    lef: Files = (),
    rows: Path | None = None,
) -> None:
    """Convert a design between Bookshelf, Circuit Training and LEF/DEF.

    Args:
        source: A .aux, .pb.txt, .def or a folder with one of them.
        to: The new .aux, .pb.txt, .def, or a placement alone: .pl, .plc, .tcl (macros).
        plc: Circuit Training placement of the source.
        pl: Bookshelf placement of the source.
        lef: Libraries of a .def.
        rows: A .def whose rows and die a .pb.txt gets.
    """
    keep_apart(to, source, plc, pl, rows, *lef)
    for path in write(read(source, plc, pl, lef, rows=rows), to):
        print(f"wrote {path}")


@renamed(output="out")
def draw(
    design: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    plc: Path | None = None,
    pl: Path | None = None,
    lef: Files = (),
    rows: Path | None = None,
    canvas: tuple[float, float] | None = None,
    grid: tuple[int, int] | None = None,
) -> None:
    """Draw a placement: macros and cells, density, congestion, wire demand.

    An .html is an interactive page: pan, zoom, layers, the nets of a macro, violations.

    Args:
        design: A .aux, .pb.txt, .def or a folder with one of them.
        out: The picture, .png or .svg, or the page, .html.
        plc: Circuit Training placement.
        pl: Bookshelf placement.
        lef: Libraries of a .def.
        rows: A .def whose rows and die a .pb.txt gets.
        canvas: Width and height, where the files state none.
        grid: Columns and rows of the maps.
    """
    from sciml.placement.draw import draw_file

    keep_apart(out, design, plc, pl, rows, *lef)
    draw_file(read(design, plc, pl, lef, canvas, grid, rows), out)
    print(f"wrote {out}")


def _seconds(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        value = math.nan
    if not 0 < value < 1e7:
        raise InputError(f"--cpu-seconds must be a time such as 60, 60s or 5m, got {text!r}")
    return value


def _progress(row: dict[str, float]) -> None:
    from rich.console import Console

    text = "  ".join(
        f"{key} {value:.4f}" if abs(value) < 10 else f"{key} {value:,.0f}"
        for key, value in row.items()
        if key in ("cpu_seconds", "proxy", "best", "hpwl", "overflow")
    )
    Console(stderr=True, highlight=False).print(f"{row.get('progress', 0):4.0%}  {text}")


COMMANDS: dict[str, Callable[..., Any]] = {
    "place": place,
    "legalise": legalise,
    "cluster": cluster,
    "score": score,
    "check": check,
    "convert": convert,
    "draw": draw,
    "compare": compare,
    "route": route,
    "attack": attack,
}
