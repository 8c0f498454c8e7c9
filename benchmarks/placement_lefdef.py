"""Public LEF and DEF files: which are read, and whether KLayout and Si2's reader see the same.

    python benchmarks/placement_lefdef.py OPENROAD MACROPLACEMENT --peer PYTHON

OPENROAD and MACROPLACEMENT are checkouts of The-OpenROAD-Project/OpenROAD and
TILOS-AI-Institute/MacroPlacement; PYTHON has `klayout` and `lefdef` from PyPI. Every LEF is read,
and every DEF among the tests of OpenROAD's dpl, gpl and mpl, with the LEF files that the test
scripts name, as well as the DEFs of MacroPlacement. Writes benchmarks/results/lefdef_files.json.
What is compared: macros (width, height), pins (the bounding box of their shapes), components (the
outline as placed), ports, nets and rows; the DEF written back must be the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import tempfile
import warnings
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results/lefdef_files.json"
CLOSE = 0.0016
"""Micrometres: KLayout rounds to its database unit, .001."""
NAMED = re.compile(r"""(read_?lef|read_?def)\W+["{]?([^\s"'})]+)""", re.IGNORECASE)


def files(root: Path, *endings: str) -> list[Path]:
    """Files below a folder with these endings, packed or not; no links."""
    names = tuple(e + packed for e in endings for packed in ("", ".gz"))
    return sorted(p for p in root.rglob("*") if p.name.lower().endswith(names)
                  and p.is_file() and not p.is_symlink())  # fmt: skip


# -- the peers, in their own process --------------------------------------------------------
KEPT: list[Any] = []
"""Si2's readers: they own what they have read, and crash when they give it back."""


def klayout_lef(path: str) -> dict[str, Any]:
    """name -> [width, height, {pin: box}] of KLayout."""
    import klayout.db as kdb

    options = kdb.LoadLayoutOptions()
    config = options.lefdef_config
    config.dbu = 0.001
    config.macro_resolution_mode = 1  # LEF's shapes, also of macros with a FOREIGN
    config.pin_property_name = 1
    config.read_lef_with_def = False
    options.lefdef_config = config
    layout = kdb.Layout()
    with tempfile.TemporaryDirectory() as folder:  # KLayout goes by the ending, .tlef it knows not
        link = Path(folder) / f"{Path(path).name.removesuffix('.gz')}.lef"
        link.write_bytes(plain(Path(path)))
        layout.read(str(link), options)
    outline = layout.find_layer(kdb.LayerInfo("OUTLINE"))
    out: dict[str, Any] = {}
    for cell in layout.each_cell():
        box = cell.bbox() if outline is None else cell.bbox(outline)
        if box.empty():
            continue
        pins: dict[str, Any] = {}
        for index in layout.layer_indexes():
            if index == outline:
                continue
            for shape in cell.shapes(index).each():
                name = shape.property(1)
                if name is not None and not shape.is_text():
                    pins[name] = pins.get(name, kdb.DBox()) + shape.dbbox()
        low = box.to_dtype(0.001)
        out[cell.name] = [low.width(), low.height(), {
            name: [b.left - low.left, b.bottom - low.bottom, b.right - low.left, b.top - low.bottom]
            for name, b in pins.items()
        }]  # fmt: skip
    return out


def si2_lef(path: str) -> dict[str, Any]:
    """name -> [width, height, {pin: None}] of Si2's reader."""
    from lefdef import C_LefReader

    lef = C_LefReader().read(path)
    out = {}
    for i in range(lef.c_num_macros):
        macro = lef.c_macros[i]
        pins = {macro.c_pins[k].c_name.decode(): None for k in range(macro.c_num_pins)}
        out[macro.c_name.decode()] = [macro.c_size_x, macro.c_size_y, pins]
    return out


def klayout_def(path: str, lefs: list[str]) -> dict[str, Any]:
    """Outlines of the instances of KLayout [um]."""
    import klayout.db as kdb

    options = kdb.LoadLayoutOptions()
    config = options.lefdef_config
    config.dbu = 0.001
    config.macro_resolution_mode = 1
    config.instance_property_name = 1
    config.read_lef_with_def = False
    config.lef_files = lefs
    config.produce_routing = config.produce_special_routing = config.produce_fills = False
    options.lefdef_config = config
    layout = kdb.Layout()
    layout.read(path, options)
    outline = layout.find_layer(kdb.LayerInfo("OUTLINE"))
    placed: dict[str, Any] = {}
    for instance in layout.top_cell().each_inst():
        name = instance.property(1)
        if name is not None and outline is not None:
            box = instance.cell.bbox(outline).transformed(instance.trans).to_dtype(0.001)
            placed[name] = [box.left, box.bottom, box.right, box.top]
    return {"placed": placed}


def si2_def(path: str) -> dict[str, Any]:
    """Numbers of components, ports, nets and rows of Si2's reader."""
    from lefdef import C_DefReader

    d = C_DefReader().read(path)
    keys = {"components": "components", "ports": "pins", "nets": "nets", "rows": "rows"}
    return {key: getattr(d, f"c_num_{name}") for key, name in keys.items()}


def peer(jobs: list[list[Any]]) -> None:
    """One answer a line for each [function, argument, ...]."""
    import os

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the readers print to stdout, too
    for name, *arguments in jobs:
        try:
            answer: Any = globals()[name](*arguments)
        except Exception as error:
            answer = {"error": str(error).splitlines()[0][:200]}
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)


class Peer:
    """Asks the peers in processes of their own, which may die."""

    def __init__(self, python: str | None, jobs: list[list[Any]]) -> None:
        self.answers: dict[str, Any] = {}
        while jobs and python is not None:
            command = [python, __file__, "--serve", json.dumps(jobs)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
            lines = done.stdout.strip().splitlines()
            for job, line in zip(jobs, lines, strict=False):
                self.answers[json.dumps(job[:2])] = json.loads(line)
            if len(lines) < len(jobs):
                died = jobs[len(lines)]
                self.answers[json.dumps(died[:2])] = {"error": f"died, exit code {done.returncode}"}
            jobs = jobs[len(lines) + 1 :]

    def ask(self, function: str, path: Path) -> Any:
        """The answer, or {"error": ...}."""
        return self.answers.get(json.dumps([function, str(path)]), {"error": "not asked"})


# -- ours -----------------------------------------------------------------------------------
def differences(ours: Any, theirs: dict[str, Any]) -> list[str]:
    """What a peer's LEF says otherwise: macros, sizes, pins and the boxes of their shapes."""
    if "error" in theirs and isinstance(theirs["error"], str):
        return []
    out = [f"macro {name} only in one" for name in sorted(set(ours.macros) ^ set(theirs))]
    for name in set(ours.macros) & set(theirs):
        macro = ours.macros[name]
        width, height, pins = theirs[name]
        if max(abs(macro.width - width), abs(macro.height - height)) > CLOSE:
            out.append(f"size of {name}: {macro.width} {macro.height}, not {width} {height}")
        for pin, box in pins.items():
            own = macro.pins.get(pin)
            if own is None:
                out.append(f"pin {pin} of {name} is missing")
            elif box is not None:
                values = (own.x, (box[0] + box[2]) / 2), (own.y, (box[1] + box[3]) / 2)
                if max(abs(a - b) for a, b in (*values, (own.bottom, box[1]))) > CLOSE:
                    out.append(f"shapes of pin {pin} of {name}")
    return out


def read_one_lef(path: Path, label: str, asked: Peer) -> dict[str, Any]:
    """The row of a LEF file."""
    from sciml.errors import InputError
    from sciml.placement.formats.lef import read_lef

    row: dict[str, Any] = {"file": label}
    try:
        library = read_lef([path])
    except InputError as error:
        return {**row, "outcome": f"refused: {str(error).replace(str(path), path.name)}"}
    row |= {"outcome": "read", "macros": len(library.macros), "sites": len(library.sites),
            "pins": sum(len(m.pins) for m in library.macros.values())}  # fmt: skip
    for name, function in (("klayout", "klayout_lef"), ("si2", "si2_lef")):
        answer = asked.ask(function, path)
        if isinstance(answer.get("error"), str):
            row[name] = f"reads it not: {answer['error'].replace(str(path), path.name)}"
            continue
        different = differences(library, answer)
        if name == "klayout":
            row["shapes compared"] = sum(len(pins) for _, _, pins in answer.values())
        row[name] = "same" if not different else {"differs": different[:5], "in": len(different)}
    return row


def plain(path: Path) -> bytes:
    """The content of a file, unpacked."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def libraries(root: Path) -> dict[Path, list[Path]]:
    """DEF -> the LEF files that a test script beside it reads before it."""
    out: dict[Path, list[Path]] = {}
    for script in files(root, ".tcl", ".py"):
        text = script.read_text(errors="replace")
        text = text.replace("$test_name", script.stem).replace("${test_name}", script.stem)
        for name, value in re.findall(r"^set (\w+)\s+\"?([\w./]+)\"?\s*$", text, re.MULTILINE):
            text = text.replace(f"${{{name}}}", value).replace(f"${name}", value)
        lefs: list[Path] = []
        for word, name in NAMED.findall(text):
            path = script.parent / name
            if word.lower().replace("_", "") == "readlef":
                lefs += [path] if path.exists() else []
            elif path.exists() and lefs:
                out.setdefault(path.resolve(), list(lefs))
    return out


def read_one_def(path: Path, lefs: list[Path], label: str, asked: Peer) -> dict[str, Any]:
    """The row of a DEF file."""
    from sciml.errors import InputError
    from sciml.placement import read_design, write_design
    from sciml.placement.design import PORT

    row: dict[str, Any] = {"file": label, "lef": [p.name for p in lefs]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            design = read_design(path, lef=lefs)
        except InputError as error:
            return {**row, "outcome": f"refused: {str(error).replace(str(path), path.name)}"}
    count: int = getattr(design.origin, "components", 0)
    row |= {"outcome": "read", "components": count, "ports": int((design.kind[count:] == PORT)
            .sum()), "nets": design.nets, "rows": 0 if design.rows is None else len(design.rows),
            "warnings": len(caught)}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / path.name
        write_design(design, again)
        row["written back"] = "same bytes" if plain(again) == plain(path) else "differs"
    counted = asked.ask("si2_def", path)
    if isinstance(counted.get("error"), str):
        row["si2"] = f"reads it not: {counted['error'].replace(str(path), path.name)}"
    else:
        wrong = [f"{k} {v}" for k, v in counted.items() if v != row[k]]
        row["si2"] = "same" if not wrong else {"differs": wrong}
    outlines = asked.ask("klayout_def", path)
    if isinstance(outlines.get("error"), str):
        row["klayout"] = f"reads it not: {outlines['error'].replace(str(path), path.name)}"
        return row
    width, height = design.size()
    # KLayout leaves out the backslashes of names.
    index = {name.replace("\\", ""): i for i, name in enumerate(design.names[:count])}
    wrong = []
    for name, box in outlines["placed"].items():
        i = index.get(name)
        if i is None:
            wrong.append(f"{name} only in KLayout")
            continue
        x, y, w, h = design.x[i], design.y[i], width[i] / 2, height[i] / 2
        if max(abs(a - b) for a, b in zip((x - w, y - h, x + w, y + h), box, strict=True)) > CLOSE:
            wrong.append(name)
    row["outlines compared"] = len(outlines["placed"])
    row["klayout"] = "same" if not wrong else {"differs": wrong[:5], "in": len(wrong)}
    return row


def main() -> None:
    """Read all, compare, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", nargs="*", type=Path)
    parser.add_argument("--peer")
    parser.add_argument("--serve")
    parser.add_argument("--def-only", action="store_true", help="keep the table of LEF files")
    args = parser.parse_args()
    if args.serve:
        peer(json.loads(args.serve))
        return
    before = json.loads(RESULTS.read_text()) if args.def_only else {"lef": []}
    roots = [] if args.def_only else args.roots
    libs = [(root, path) for root in roots for path in files(root, ".lef", ".tlef")]
    jobs: list[list[Any]] = [[f, str(p)] for f in ("klayout_lef", "si2_lef") for _, p in libs]
    asked = Peer(args.peer, jobs)
    lefs = before["lef"] + [
        read_one_lef(p, f"{root.name}/{p.relative_to(root)}", asked) for root, p in libs
    ]
    defs, designs = [], []
    for root in args.roots:
        named = libraries(root)
        beside = [root / f"src/{tool}/test" for tool in ("dpl", "gpl", "mpl")]
        for folder in [b for b in beside if b.is_dir()] or [root]:
            for path in files(folder, ".def"):
                label = f"{root.name}/{path.relative_to(root)}"
                if given := named.get(path.resolve()) or enablement(root, path):
                    designs.append((path, given, label))
                else:
                    defs.append({"file": label, "outcome": "not tried: no script names its LEF"})
    jobs = [["si2_def", str(path)] for path, _, _ in designs]
    jobs += [["klayout_def", str(path), [str(p) for p in given]] for path, given, _ in designs]
    asked = Peer(args.peer, jobs)
    defs += [read_one_def(*design, asked) for design in designs]
    outcomes = {
        kind: dict(Counter(row["outcome"].split(":")[0] for row in rows))
        for kind, rows in (("lef", lefs), ("def", defs))
    }
    table = {"date": str(date.today()), "outcomes": outcomes, "lef": lefs, "def": defs}
    for kind, rows in (("lef", lefs), ("def", defs)):
        for key in ("klayout", "si2", "written back"):
            said = [row[key] for row in rows if key in row]
            outcomes[f"{kind}, {key}"] = dict(
                Counter(s.split(":")[0] if isinstance(s, str) else "differs" for s in said)
            )
    RESULTS.write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(outcomes, indent=1))


def enablement(root: Path, path: Path) -> list[Path]:
    """The LEF files of MacroPlacement for the technology in a DEF's path; those beside it first."""
    beside = files(path.parent, ".lef")
    technology = next((p for p in path.parts if p in ("ASAP7", "NanGate45", "SKY130HD")), None)
    if technology is None:
        return beside or files(path.parent.parent / "lefs", ".lef")
    of_technology = files(root / "Enablements" / technology / "lef", ".lef")
    return beside + [p for p in of_technology if "_4x_" not in p.name]  # ASAP7 comes in two scales


if __name__ == "__main__":
    main()
