"""`sciml placement ...`: place, score, check, convert and draw circuits."""

from __future__ import annotations

import json as json_module
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from sciml.errors import InputError
from sciml.paths import keep_apart
from sciml.placement.design import Canvas, Design, Grid, check_sizes
from sciml.placement.tokens import LARGEST, too_large
from sciml.renamed import renamed

Files = tuple[Path, ...]


def _read(
    design: Path,
    plc: Path | None,
    pl: Path | None,
    lef: Files,
    canvas: tuple[float, float] | None = None,
    grid: tuple[int, int] | None = None,
    rows: Path | None = None,
    rules: str | None = None,
) -> Design:
    from sciml.placement.formats.io import read_design

    with _warnings_as_lines():
        netlist = read_design(design, plc=plc, pl=pl, lef=lef, rows=rows)
    if canvas is not None:
        if not all(math.isfinite(v) and v > 0 for v in canvas):
            raise InputError(f"--canvas must be two numbers > 0, got {canvas[0]} {canvas[1]}")
        if max(canvas) > LARGEST:
            raise too_large("--canvas", f"{max(canvas):g}", None)
        origin = netlist.canvas
        netlist = replace(
            netlist,
            canvas=Canvas(origin.x0, origin.y0, origin.x0 + canvas[0], origin.y0 + canvas[1]),
            canvas_from="given",
        )
        check_sizes(netlist, design)
    elif netlist.canvas_from == "derived":
        print(
            f"{design}: no .plc states the canvas; {netlist.canvas.width:g} x "
            f"{netlist.canvas.height:g} was derived from the nodes. Do not compare this proxy with "
            "one on the .plc's canvas (give --plc or --canvas).",
            file=sys.stderr,
        )
    if grid is not None:
        if min(grid) < 1 or grid[0] * grid[1] > 1 << 22:
            raise InputError(f"--grid must be two numbers >= 1, got {grid[0]} {grid[1]}")
        new: Grid = replace(netlist.grid, columns=grid[0], rows=grid[1])
        netlist = replace(netlist, grid=new)
    return netlist if rules is None else _with_rules(netlist, rules)


def _with_rules(design: Design, rules: str) -> Design:
    from sciml.placement import rules as user_rules

    if rules == "challenge":
        return user_rules.apply(design, user_rules.challenge())
    return user_rules.apply(design, user_rules.read_rules(rules), rules)


def _show(values: dict[str, Any], json: bool) -> None:
    if json:
        print(json_module.dumps(values))
        return
    width = max(map(len, values))
    for key, value in values.items():
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        print(f"{key:<{width}}  {text}")


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

    netlist = _read(design, plc, pl, lef, canvas, grid, rows, rules)
    _show(score_design(netlist, steiner=steiner), json)


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

    placed = _read(design, plc, pl, lef, rows=rows, rules=rules)
    reference = None
    if pl is not None:
        reference = _read(design, None, None, lef, rows=rows)
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
    from sciml.placement.placer import place as place_design
    from sciml.placement.rules import CHALLENGE_SECONDS, without_rules

    if chains < 1 or workers < 1:
        raise InputError("--chains and --workers must be at least 1")
    annealing = AnnealingConfig(chains=chains, workers=workers, centred=centred)
    if rules == "challenge" and _seconds(cpu_seconds or "60") > CHALLENGE_SECONDS:
        raise InputError("--rules challenge allows one hour", hint="Give --cpu-seconds 1h or less")
    original = _read(design, plc, pl, lef, canvas, grid, rows)
    netlist = original if rules is None else _with_rules(original, rules)
    target = _target(netlist, design, out)
    keep_apart(target, design, plc, pl, rows, policy, *lef)
    state = target.parent / f".{target.name}.search.npz"
    with locked_file(target), _warnings_as_lines():
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
            state=state,
            resume=resume,
            report=None if json else _progress,
        )
        files = _write(without_rules(placed.design, original), target)
        if not placed.stopped:
            state.unlink(missing_ok=True)
    if placed.violations:
        print(f"the result is not legal: {_first(placed.violations)}; `sciml placement check` "
              "with it names all", file=sys.stderr)  # fmt: skip
    elif not placed.scores["legal"]:
        from sciml.placement.legality import check as check_design

        problems = check_design(placed.design, netlist).problems
        print(f"not legal is what was not to be moved: {_first(problems)}", file=sys.stderr)
    if json:
        print(json_module.dumps(placed.scores))
    else:
        _show(placed.scores, False)
        print("wrote " + ", ".join(map(str, files)))
        if placed.stopped:
            remaining = "; the same command with --resume goes on" if state.exists() else ""
            print(f"stopped early{remaining}")
    return 1 if placed.violations else 0


def legalise(
    design: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    plc: Path | None = None,
    pl: Path | None = None,
    lef: Files = (),
    rows: Path | None = None,
    movable: Literal["macros", "cells", "all"] = "all",
    only_new: bool = False,
    near: Path | None = None,
    rules: str | None = None,
    json: bool = False,
) -> int:
    """Make a placement legal with the least total displacement, and tell how far nodes moved.

    What is legal stays where it is. Exit code 1 if a node that was to be moved breaks a rule.

    Args:
        design: A .aux, .pb.txt, .def or a folder with one of them; its positions are desired.
        out: A file (.plc, .pl, .aux, .pb.txt, .def, or .tcl for OpenROAD) or a folder.
        plc: Circuit Training placement of a .pb.txt.
        pl: Bookshelf placement instead of the one the .aux names.
        lef: Libraries of a .def, and of `near`.
        rows: A .def whose rows and die a .pb.txt gets.
        movable: What may move, macros, standard cells, or all.
        only_new: Move nothing but what has no position or is not in `near`.
        near: An older version of the design, where nodes of both are wanted.
        rules: Further rules, a .toml file or "challenge".
        json: Print one JSON object.
    """
    from sciml.files.locks import locked_file
    from sciml.placement.eco import legalise as legalise_design
    from sciml.placement.rules import without_rules

    original = _read(design, plc, pl, lef, rows=rows)
    older = None if near is None else _read(near, None, None, lef)
    target = _target(original, design, out)
    keep_apart(target, design, plc, pl, rows, near, *lef)
    netlist = original if rules is None else _with_rules(original, rules)
    with locked_file(target):
        result = legalise_design(netlist, movable=movable, only_new=only_new, near=older)
        files = _write(without_rules(result.design, original), target)
    if result.violations:
        print(f"the result is not legal: {_first(result.violations)}", file=sys.stderr)
    _show(result.scores(), json)
    if not json:
        print("wrote " + ", ".join(map(str, files)))
    return 1 if result.violations else 0


def cluster(
    design: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    plc: Path | None = None,
    pl: Path | None = None,
    lef: Files = (),
    clusters: int | None = None,
    seed: int = 0,
    imbalance: float = 0.05,
    utilisation: float = 1.0,
    threads: int = 1,
    canvas: tuple[float, float] | None = None,
    grid: tuple[int, int] | None = None,
    json: bool = False,
) -> None:
    """Cluster the standard cells of a flat netlist into soft macros, for the proxy cost.

    `legalise FLAT --near CLUSTERED.pb.txt --movable macros` brings placed macros back. Needs
    Mt-KaHyPar (pip install 'sciml[placement]').

    Args:
        design: A flat .def, .aux or .pb.txt, or a folder with one of them.
        out: The netlist, .pb.txt (a .plc is written beside it).
        plc: Circuit Training placement of a .pb.txt.
        pl: Bookshelf placement instead of the one the .aux names.
        lef: Libraries of a .def.
        clusters: Number of soft macros (default one for every 113 cells).
        seed: Seed of the partitioning, which is deterministic.
        imbalance: How much larger than the mean a cluster may be, in area.
        utilisation: Of the soft macros by their cells; below 1 they are larger.
        threads: Threads of the partitioning.
        canvas: Width and height, where the files state none.
        grid: Columns and rows of the proxy's grid.
        json: Print one JSON object.
    """
    from sciml.placement.clustering import cluster as cluster_design

    if not out.name.lower().endswith((".pb.txt", ".pb.txt.gz")):
        raise InputError("a clustered netlist is a .pb.txt", where=out)
    keep_apart(out, design, plc, pl, *lef)
    flat = _read(design, plc, pl, lef, canvas, grid)
    with _warnings_as_lines():
        result = cluster_design(flat, clusters, seed=seed, imbalance=imbalance,
                                utilisation=utilisation, threads=threads)  # fmt: skip
    clustered = result.design
    files = _write(clustered, out)
    _show({
        "soft_macros": int((clustered.kind == 1).sum()), "nets": clustered.nets,
        "net_weight": float(clustered.net_weight.sum()), "pins": clustered.pins, "cut": result.cut,
        "left_out": int((result.index < 0).sum()), "files": ", ".join(map(str, files)),
    }, json)  # fmt: skip


def _first(problems: list[str], limit: int = 3) -> str:
    remaining = len(problems) - limit
    return "; ".join(problems[:limit]) + (f" (and {remaining:,} more)" if remaining > 0 else "")


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
    for path in _write(_read(source, plc, pl, lef, rows=rows), to):
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
    draw_file(_read(design, plc, pl, lef, canvas, grid, rows), out)
    print(f"wrote {out}")


def compare(
    before: tyro.conf.Positional[Path],
    after: tyro.conf.Positional[Path],
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    plc: Files = (),
    pl: Files = (),
    lef: Files = (),
    rows: Path | None = None,
    grid: tuple[int, int] | None = None,
    json: bool = False,
) -> None:
    """Compare two placements of one netlist: scores, what moved and how far, the nets that changed.

    Args:
        before: A .aux, .pb.txt, .def or a folder with one of them.
        after: Another; with two --plc or --pl it may be the same file.
        out: An interactive page (.html) that goes from one to the other.
        plc: Circuit Training placements of the first and the second, or one for both.
        pl: Bookshelf placements, alike.
        lef: Libraries of .def files.
        rows: A .def whose rows and die a .pb.txt gets.
        grid: Columns and rows of the proxy's grid.
        json: Print one JSON object.
    """
    from sciml.placement.viewer import compare as compare_designs
    from sciml.placement.viewer import write_viewer

    if max(len(plc), len(pl)) > 2:
        raise InputError("--plc and --pl take two files at most")
    if out is not None and out.suffix.lower() != ".html":
        raise InputError(f"a comparison is an .html page, not {out.suffix!r}", where=out)
    pair = [
        _read(path, plc[min(k, len(plc) - 1)] if plc else None,
              pl[min(k, len(pl) - 1)] if pl else None, lef, None, grid, rows)
        for k, path in enumerate((before, after))
    ]  # fmt: skip
    result = compare_designs(pair[0], pair[1])
    if json:
        print(json_module.dumps(result.as_dict()))
    else:
        for line in result.lines():
            print(line)
    if out is not None:
        keep_apart(out, before, after, rows, *plc, *pl, *lef)
        named = next((files for files in (plc, pl) if len(files) == 2), (before, after))
        write_viewer((pair[0], pair[1]), out, tuple(path.name for path in named))
        print(f"wrote {out}", file=sys.stderr)


def _target(design: Design, source: Path, out: Path) -> Path:
    """The file to write for an output that may be a folder."""
    name = out.name.lower()
    if name.endswith((".plc", ".pl", ".aux", ".pb.txt", ".def", ".tcl", ".gz")):
        return out
    if out.suffix and not out.is_dir():
        raise InputError(f"unknown kind of output {out.suffix!r}", where=out,
                         hint="Use .plc, .pl, .aux, .pb.txt, .def, .tcl or a folder")  # fmt: skip
    if design.plc_index is not None:
        return out / f"{design.name}.plc"
    if ".def" in source.name.lower():
        return out / f"{design.name}.def"
    return out / f"{design.name}.pl"


def _write(design: Design, to: Path) -> list[Path]:
    """Write a design, with one line on stderr for each thing that its format cannot express."""
    from sciml.placement.formats.io import write_design

    with _warnings_as_lines(f"{to}: "):
        return write_design(design, to)


@contextmanager
def _warnings_as_lines(prefix: str = "") -> Iterator[None]:
    """One line on stderr for each warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"{prefix}{warning.message}", file=sys.stderr)


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
}
