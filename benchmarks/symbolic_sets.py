"""The rows of the sets of integrals and differential equations that `symbolic_vs_cas.py` solves.

The files are not part of this project. `--shared` is a folder with published rows of Lample and
Charton, Rubi's integrals and Kamke's equations; `--suites` a checkout of
github.com/asmeurer/integration-test-suites (the integrals of Blake and Hebisch, the MIT Integration
Bee), of whose rows only those with an even index are used. Rows that the parser does not read are
left out; they are counted. The rest is in one fixed shuffled order, of which a run takes the first,
or those after `SKIPPED`.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.symbolic.definite.integral import read_end
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.expr.tokens import parse_prefix

UNSEEN = 990_001
CHAPTERS = ("Rubi's chapters", "Rubi's chapters with parameters")
SUITES = {"Blake": "blake", "Hebisch": "hebisch", "MIT Bee": "mit_bee_official"}
INTEGRALS = ("BWD", "FWD", "IBP", "Rubi", *CHAPTERS, "Blake", "Hebisch")
EQUATIONS = ("ODE1", "ODE2", "Kamke", "Kamke with parameters")
DEFINITE = ("MIT Bee",)
SKIPPED = {"BWD": 500, **dict.fromkeys(CHAPTERS, 400), "Blake": 300, "Hebisch": 100}
"""Rows at the front of the order that earlier runs used, by set; of the others all were used."""


@dataclass(frozen=True)
class Definite:
    """A definite integral, with its published value."""

    f: Expr
    low: End
    high: End
    value: Expr


Problem = Expr | Definite


@dataclass(frozen=True)
class Rows:
    """Some rows of a set, and how many rows of the whole set are not read."""

    problems: list[Any]
    unread: int = 0
    of: int = 0


def load(name: str, shared: Path, suites: Path | None, rows: int, fresh: bool = False) -> Rows:
    """The first rows of a set in its fixed order.

    Args:
        name: of `INTEGRALS`, `EQUATIONS` or `DEFINITE`.
        shared, suites: the folders; a set whose folder is missing has no rows.
        rows: how many.
        fresh: whether to leave out the rows in front that earlier runs used.
    """
    if name in ("IBP", "ODE1", "ODE2"):
        return Rows(_generated(name.lower(), rows), 0, rows)
    if name in SUITES:
        if suites is None or not suites.is_dir():
            return Rows([])
        folder = suites / "data" / SUITES[name]
        items, unread = _suite(folder / f"{SUITES[name]}.jsonl", name in DEFINITE)
    else:
        folder = shared / "data" / "symbolic"
        if not folder.is_dir():
            return Rows([])
        items, unread = _shared(folder, name)
    first = SKIPPED.get(name, 0) if fresh else 0
    order = np.random.default_rng(7).permutation(len(items))[first : first + rows]
    return Rows([items[i] for i in order], unread, len(items) + unread)


def _shared(folder: Path, name: str) -> tuple[list[Problem], int]:
    if name in ("BWD", "FWD"):
        published = {"BWD": "prim_bwd.test.first3000.gz", "FWD": "prim_fwd.valid.gz"}[name]
        lines = gzip.open(folder / published, "rt").read().splitlines()
        return [parse_prefix(row.split("|")[1].split("\t")[0].split()[2:]) for row in lines], 0
    with_symbols = name.endswith("with parameters")
    if name == "Rubi":
        return _texts(folder / "rubi_independent_x_only.shared.jsonl.gz", "integrand")
    if name in CHAPTERS:
        file = folder / "rubi_main.shared.jsonl.gz"
        return _texts(file, "integrand", parameters=with_symbols)
    file = folder / "kamke_odes_odd.jsonl.gz"
    return _texts(file, "equation", ode=True, parameters=with_symbols)


def _texts(
    path: Path, key: str, ode: bool = False, parameters: bool | None = None
) -> tuple[list[Problem], int]:
    """The rows of a file that are read, with symbols (True), without, or all, and how many are
    not."""
    out: list[Problem] = []
    unread = 0
    for line in gzip.open(path, "rt"):
        row = json.loads(line)
        symbols = bool(row.get("parameters") or row.get("constants"))
        if row.get("arbitrary_functions") or parameters not in (None, symbols):
            continue
        try:
            out.append(parse(row[key], unknown=Unknown("y", "x") if ode else None))
        except InputError:
            unread += 1
    return out, unread


def _suite(path: Path, definite: bool) -> tuple[list[Problem], int]:
    out: list[Problem] = []
    unread = 0
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if row["index"] % 2 or row["variable"] != "x" or definite and "value" not in row:
            continue
        try:
            f = parse(row["integrand"])
            if definite:
                low, high = (read_end(row[end], parse) for end in ("lower", "upper"))
                out.append(Definite(f, low, high, parse(row["value"])))
            else:
                out.append(f)
        except InputError:
            unread += 1
    return out, unread


def _generated(kind: str, rows: int) -> list[Problem]:
    from sciml.symbolic.generate import problems as generate

    stream = generate.stream(kind, UNSEEN)  # type: ignore[arg-type]
    unknown = Unknown("y", "x") if kind.startswith("ode") else None
    return [parse(next(stream)[1], unknown=unknown) for _ in range(rows)]
