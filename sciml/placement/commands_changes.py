"""`sciml placement legalise`, `cluster` and `compare`: work on designs that exist already."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Literal

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
    write,
)


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

    original = read(design, plc, pl, lef, rows=rows)
    older = None if near is None else read(near, None, None, lef)
    target = target_file(original, design, out)
    keep_apart(target, design, plc, pl, rows, near, *lef)
    netlist = original if rules is None else with_rules(original, rules)
    with locked_file(target):
        result = legalise_design(netlist, movable=movable, only_new=only_new, near=older)
        files = write(without_rules(result.design, original), target)
    if result.violations:
        print(f"the result is not legal: {first(result.violations)}", file=sys.stderr)
    show(result.scores(), json)
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
    flat = read(design, plc, pl, lef, canvas, grid)
    with warnings_as_lines():
        result = cluster_design(flat, clusters, seed=seed, imbalance=imbalance,
                                utilisation=utilisation, threads=threads)  # fmt: skip
    clustered = result.design
    files = write(clustered, out)
    show({
        "soft_macros": int((clustered.kind == 1).sum()), "nets": clustered.nets,
        "net_weight": float(clustered.net_weight.sum()), "pins": clustered.pins, "cut": result.cut,
        "left_out": int((result.index < 0).sum()), "files": ", ".join(map(str, files)),
    }, json)  # fmt: skip


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
        read(path, plc[min(k, len(plc) - 1)] if plc else None,
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
