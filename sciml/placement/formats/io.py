"""Read, write and convert designs; the format follows from the file names.

| name | format |
|---|---|
| `*.aux` (or `*.nodes` beside the others), also `.gz` | Bookshelf |
| `*.pb.txt`, also `.gz`, with a `*.plc` | Circuit Training |
| `*.def` with one or more `*.lef`, also `.gz` | LEF/DEF |
| a folder | the one design in it |
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sciml.errors import InputError
from sciml.placement.design import MACRO, Design, check_sizes

_FORMATS = "Known: a Bookshelf .aux, a Circuit Training .pb.txt (+ .plc), a .def (+ .lef), a folder"


def _bare(path: Path) -> str:
    name = path.name.lower()
    for packed in (".gz", ".xz", ".bz2"):
        name = name.removesuffix(packed)
    return name


def format_of(path: str | os.PathLike[str]) -> str:
    """ "bookshelf", "protobuf" or "def".

    Raises:
        InputError: the name has another ending.
    """
    name = _bare(Path(path))
    if name.endswith((".aux", ".nodes")):
        return "bookshelf"
    if name.endswith((".pb.txt", ".pbtxt")):
        return "protobuf"
    if name.endswith(".def"):
        return "def"
    raise InputError("unknown kind of design", where=path, hint=_FORMATS)


def _in_folder(folder: Path) -> Path:
    designs = []
    for path in sorted(folder.iterdir()):
        if _bare(path).endswith((".aux", ".pb.txt", ".pbtxt", ".def")):
            designs.append(path)
    if len(designs) != 1:
        names = ", ".join(p.name for p in designs[:5]) or "none"
        raise InputError(
            f"needs exactly one design, has {len(designs)} ({names})", where=folder, hint=_FORMATS
        )
    return designs[0]


def read_design(
    path: str | os.PathLike[str],
    *,
    plc: str | os.PathLike[str] | None = None,
    pl: str | os.PathLike[str] | None = None,
    lef: Sequence[str | os.PathLike[str]] = (),
    rows: str | os.PathLike[str] | None = None,
) -> Design:
    """Read a design in any known format.

    Args:
        path: the design, or a folder that holds one.
        plc: Circuit Training placement; without it, the only .plc beside the netlist, if any.
        pl: Bookshelf placement that replaces the one the .aux names.
        lef: libraries for a .def; without them, every .lef beside it.
        rows: a .def whose rows and die a netlist.pb.txt gets, which has none.

    Raises:
        InputError: the files are missing, broken or contradict each other.
    """
    path = Path(path)
    if path.is_dir():
        path = _in_folder(path)
    if not path.exists():
        raise InputError("no such file", where=path)
    kind = format_of(path)
    if rows is not None and kind != "protobuf":
        raise InputError("--rows belongs to a .pb.txt netlist; this format has its own rows",
                         where=path)  # fmt: skip
    if kind == "bookshelf":
        from sciml.placement.formats.bookshelf import read_bookshelf

        if plc is not None:
            raise InputError("--plc belongs to a .pb.txt netlist", where=path, hint="Use --pl")
        return read_bookshelf(path, pl=pl)
    if pl is not None:
        raise InputError("--pl belongs to a Bookshelf design", where=path, hint="Use --plc")
    if kind == "protobuf":
        from sciml.placement.formats.protobuf_netlist import read_netlist

        if plc is None:
            beside = sorted(path.parent.glob("*.plc"))
            plc = beside[0] if len(beside) == 1 else None
        design = read_netlist(path, plc)
        return design if rows is None else _with_rows(design, rows, lef)
    from sciml.placement.formats.def_reader import read_def

    libraries = [Path(p) for p in lef] or [
        p for p in sorted(path.parent.iterdir()) if _bare(p).endswith(".lef")
    ]
    return read_def(path, libraries)


def _with_rows(
    design: Design, path: str | os.PathLike[str], lef: Sequence[str | os.PathLike[str]]
) -> Design:
    from sciml.placement.formats.def_floorplan import read_floorplan

    die, rows = read_floorplan(path, lef)
    if die is not None:
        design = replace(design, canvas=die, canvas_from="file")
    design = replace(design, rows=rows)
    check_sizes(design, path)
    return design


def write_design(design: Design, path: str | os.PathLike[str]) -> list[Path]:
    """Write a design; returns the files. A warning names what the format cannot express.

    A .pb.txt comes with a .plc, a .def with a .lef, an .aux with its five companions. A .plc or
    a .pl alone holds the placement only, a .tcl that of the macros, for OpenROAD.
    """
    path = Path(path)
    name = _bare(path)
    if name.endswith(".plc"):
        from sciml.placement.formats.plc import write_plc

        stated, macros = design.netlist_turns, design.kind == MACRO
        differing = 0 if stated is None else int((stated != design.orientation)[macros].sum())
        if differing:
            warnings.warn(
                f"{differing:,} macros are oriented otherwise than in the netlist; plc_client_os "
                "reads orientations from the netlist alone: write a .pb.txt to be scored alike",
                stacklevel=2,
            )
        write_plc(design, path)
        return [path]
    if name.endswith(".pl"):
        from sciml.placement.formats.bookshelf_writer import write_pl

        write_pl(design, path)
        return [path]
    if name.endswith(".tcl"):
        from sciml.placement.formats.openroad import write_tcl

        return write_tcl(design, path)
    kind = format_of(path)
    if kind == "bookshelf":
        from sciml.placement.formats.bookshelf_writer import write_bookshelf

        return write_bookshelf(design, path)
    if kind == "protobuf":
        from sciml.placement.constraints import without
        from sciml.placement.formats.plc import write_plc
        from sciml.placement.formats.protobuf_netlist import write_netlist

        without(design.constraints, "Circuit Training's format")
        if design.unit_um != 1:  # this format is in micrometres
            design = design.rescaled(design.unit_um)
        index = write_netlist(design, path)
        plc = path.parent / (path.name.split(".")[0] + ".plc")
        write_plc(replace(design, plc_index=index), plc)
        return [path, plc]
    from sciml.placement.formats.def_reader import write_def

    return write_def(design, path)


def convert(source: str | os.PathLike[str], to: str | os.PathLike[str]) -> list[Path]:
    """Read one format and write another; returns the files."""
    return write_design(read_design(source), to)
