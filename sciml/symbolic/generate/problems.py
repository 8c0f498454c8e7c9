"""Generated problems with their solutions: integrals (BWD, FWD, IBP) and differential equations
(ODE1, ODE2), as a stream and as the command `sciml data make expressions`.

The constructions are those of Lample & Charton (ICLR 2020, section 4); see `integrals` and
`equations`. Sample number k depends only on the seed and k, so that a file is the same for any
number of workers; duplicates are dropped by a structural key, as is every problem that occurs in a
file given to be excluded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from sciml.errors import InputError
from sciml.renamed import renamed
from sciml.symbolic.expr import expression as ex

Kind = Literal["bwd", "fwd", "ibp", "ode1", "ode2"]
Vary = Literal["none", "scale", "sum", "shift", "stretch"]
Row = tuple[int, str, str]
"""(structural key of the problem, problem, answer)."""
_CHUNK = {"bwd": 4096, "fwd": 64, "ibp": 2048, "ode1": 256, "ode2": 128}
"""Samples that are made at once."""
SAMPLES = 1 << 40
"""Sample numbers that are set aside for each shard."""


def chunk(kind: Kind, seed: int, start: int, count: int) -> list[Row]:
    """Samples number start .. start + count - 1 of a kind; a sample may come to nothing."""
    from sciml.symbolic.generate import equations, integrals  # numba takes a second to load

    if kind in ("ode1", "ode2"):
        return equations.odes(1 if kind == "ode1" else 2, seed, start, count)
    make = {"bwd": integrals.bwd, "fwd": integrals.fwd, "ibp": integrals.ibp}[kind]
    return make(seed, start, count)


def stream(
    kind: Kind, seed: int, *, workers: int = 1, exclude: Iterable[int] = (), first: int = 0
) -> Iterator[Row]:
    """Endless rows of one kind without duplicates, the same for any number of workers; from sample
    number `first` on."""
    seen = set(exclude)
    size = _CHUNK[kind]

    def rows(batches: Iterable[list[Row]]) -> Iterator[Row]:
        for batch in batches:
            for row in batch:
                if row[0] not in seen:
                    seen.add(row[0])
                    yield row

    if workers <= 1:
        start = first
        while True:
            yield from rows([chunk(kind, seed, start, size)])
            start += size
    with ProcessPoolExecutor(workers) as pool:
        start = first
        while True:
            starts = [start + i * size for i in range(4 * workers)]
            jobs = [pool.submit(chunk, kind, seed, s, size) for s in starts]
            yield from rows(job.result() for job in jobs)
            start += 4 * workers * size


def varied(row: Row, previous: Row, vary: Vary, k: int) -> Row:
    """The families on which sequence models are known to break (Welleck et al. 2022,
    arXiv:2109.13986): k f, f + g, f(x + k), f(k x)."""
    from sciml.symbolic.expr.parser import parse

    f, answer = parse(row[1]), parse(row[2])
    x = ex.symbol("x")
    if vary == "scale":
        f, answer = k * f, k * answer
    elif vary == "sum":
        f, answer = f + parse(previous[1]), answer + parse(previous[2])
    elif vary == "shift":
        f, answer = f.subs({x: x + k}), answer.subs({x: x + k})
    elif vary == "stretch":
        f, answer = f.subs({x: k * x}), answer.subs({x: k * x}) / k
    return f.key, str(f), str(answer)


@renamed(output="out", largest="max_k")
def make(
    kind: Kind,
    count: int,
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    seed: int = 0,
    workers: int = 1,
    exclude: tuple[Path, ...] = (),
    vary: Vary = "none",
    max_k: int = 10_000,
    shards: int = 0,
    shard: int | None = None,
) -> int:
    """Make problems with their solutions, one line {"problem": ..., "answer": ...} each.

    Args:
        kind: bwd, fwd, ibp (integrals) or ode1, ode2 (differential equations: problem = 0).
        count: Rows to write.
        out: The file, JSON lines.
        seed: Seed; the same seed gives the same file, for any number of workers.
        workers: Processes.
        exclude: Files of problems that must not occur (JSON lines or the published format).
        vary: Brittleness family: scale k f, sum f + g, shift f(x + k), stretch f(k x).
        max_k: Largest absolute value of a family's k.
        shards: Write so many Parquet files into the folder `out` instead. Duplicates are dropped
            within each, so that each can be made alone.
        shard: Make this one of them alone (0 is the first): for jobs on several machines.
    """
    from rich.console import Console
    from rich.progress import track

    from sciml.data import shards as files
    from sciml.data.on_disk import key_of
    from sciml.paths import atomic_write
    from sciml.symbolic.generate.problem_files import excluded_keys

    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    if not 1 <= workers <= 256:
        raise InputError(f"workers must be 1 to 256, got {workers}")
    if vary != "none" and kind.startswith("ode"):
        raise InputError("the families of `vary` are for integrals")
    console = Console(stderr=True)
    keys = excluded_keys(exclude)

    def made(count: int, first: int = 0) -> Iterator[Row]:
        random = np.random.default_rng([seed, 77, first] if first else [seed, 77])
        rows = stream(kind, seed, workers=workers, exclude=keys, first=first)
        previous: Row | None = None
        for _ in track(range(count), kind, console=console, disable=not console.is_terminal):
            row = next(rows)
            if vary != "none":
                k = int(random.integers(2, max_k + 1)) * (1 if random.random() < 0.5 else -1)
                other = previous or next(rows)
                previous = row
                row = varied(row, other, vary, k)
            yield row

    if shards or shard is not None:
        facts = {"kind": kind, "count": count, "seed": seed, "vary": vary, "max_k": max_k,
                 "excluded": key_of({"keys": sorted(keys)})}  # fmt: skip
        for number, path in files.to_make(out, shards, shard, facts):
            here = files.share(count, number, shards)
            rows = ({"problem": r[1], "answer": r[2]} for r in made(len(here), number * SAMPLES))
            files.write(path, "expressions", rows, {**facts, "shards": shards, "shard": number})
            print(f"{path}: {len(here)} problems")
        return 0
    with atomic_write(out) as path, path.open("w", encoding="utf-8") as file:
        for row in made(count):
            file.write(f'{{"problem": "{row[1]}", "answer": "{row[2]}"}}\n')
    return 0
