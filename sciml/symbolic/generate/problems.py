"""Problems with their solutions: integrals (FWD, BWD, IBP) and differential equations (ODE1, ODE2).

The constructions are those of Lample & Charton (ICLR 2020, section 4): FWD integrates a random
function, BWD differentiates one, IBP integrates by parts over known pairs, ODE1 and ODE2 solve a
random function for its constants and differentiate. Sample number k depends only on the seed and
k, so that a file is the same for any number of workers; duplicates are dropped by a structural
key, as is every problem that occurs in a file given to be excluded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

Kind = Literal["bwd", "fwd", "ibp", "ode1", "ode2"]
Vary = Literal["none", "scale", "sum", "shift", "stretch"]
Row = tuple[int, str, str]
"""(structural key of the problem, problem, answer)."""
_CHUNK = {"bwd": 4096, "fwd": 64, "ibp": 2048, "ode1": 256, "ode2": 128}
_TABLE = 150_000
_SMALL = 4
_TRIES = 60


@lru_cache(maxsize=1)
def _arena() -> np.ndarray:
    from sciml.symbolic.generate import arena

    return arena.new()


def chunk(kind: Kind, seed: int, start: int, count: int) -> list[Row]:
    """Samples number start .. start + count - 1 of a kind; a sample may come to nothing."""
    if kind == "bwd":
        return _backward(seed, start, count)
    if kind == "ibp":
        return _by_parts(seed, start, count)
    if kind == "fwd":
        return _forward(seed, start, count)
    return _equations(kind, seed, start, count)


def _backward(seed: int, start: int, count: int) -> list[Row]:
    from sciml.symbolic.generate import sampling

    text = np.empty(count * 2048 + 65536, np.uint8)
    ends, keys = np.zeros((count, 2), np.int64), np.zeros(count, np.int64)
    lengths = np.zeros((count, 2), np.int64)
    made = sampling.backward(
        _arena(), seed, start, count, sampling.MAX_OPERATORS, text, ends, keys, lengths, True
    )
    return _rows(text, ends, keys, made)


def reference(seed: int, start: int, count: int, most: int = 8) -> list[Row]:
    """BWD pairs by the plain rules of `expression`: slower, and what the compiled ones are held
    equal to. Only the trees are compiled."""
    from sciml.symbolic.expr.tokens import parse_prefix
    from sciml.symbolic.generate import sampling
    from sciml.symbolic.generate.arena_text import TOKENS

    tokens = np.empty(1024, np.int64)
    x = "x"
    out: list[Row] = []
    for k in range(start, start + count):
        rng = sampling.seeded(seed, k)
        while True:
            n = sampling.tree(rng, sampling.operator_count(rng, most), tokens)
            try:
                big = parse_prefix([TOKENS[t] for t in tokens[:n]])
                if big.op == "add":
                    big = ex.add([t for t in big.args if x in t.free])
                f = big.diff(x)
            except (ex.TooLarge, ex.Undefined, InputError):
                continue
            if x in big.free and f is not ex.ZERO and "I" not in str(big):
                break
        out.append((f.key, str(f), str(big)))
    return out


def _rows(text: np.ndarray, ends: np.ndarray, keys: np.ndarray, made: int) -> list[Row]:
    whole = text[: ends[made - 1, 1]].tobytes().decode() if made else ""
    out, at = [], 0
    for key, (middle, end) in zip(keys[:made].tolist(), ends[:made].tolist(), strict=True):
        if key:
            out.append((key, whole[at:middle], whole[middle:end]))
        at = end
    return out


@lru_cache(maxsize=2)
def _known(seed: int) -> tuple[np.ndarray, ...]:
    """Sorted keys, their order, token ends and tokens of known integrals."""
    from sciml.symbolic.generate import sampling

    keys, ends = np.zeros(_TABLE, np.int64), np.zeros(_TABLE, np.int64)
    pool = np.zeros(_TABLE * 24, np.int64)
    made = sampling.known_integrals(_arena(), seed, _TABLE, _SMALL + 2, keys, ends, pool)
    unique, order = np.unique(keys[:made], return_index=True)
    return unique, order.astype(np.int64), ends[:made], pool


def _by_parts(seed: int, start: int, count: int) -> list[Row]:
    from sciml.symbolic.generate import sampling

    known, order, table_ends, pool = _known(seed)
    text = np.empty(count * 1024 + 65536, np.uint8)
    ends, keys = np.zeros((count, 2), np.int64), np.zeros(count, np.int64)
    made = sampling.by_parts(
        _arena(), seed + 1, start, count, _SMALL, _TRIES, known, order, table_ends, pool, text,
        ends, keys,
    )  # fmt: skip
    return _rows(text, ends, keys, made)


def _forward(seed: int, start: int, count: int) -> list[Row]:
    """Random functions that the ansatz integrates; its work is bounded by size, not by the clock,
    so that the same samples come out on a slower machine."""
    from sciml.symbolic.expr.clock import now
    from sciml.symbolic.expr.parser import parse
    from sciml.symbolic.expr.tokens import to_prefix
    from sciml.symbolic.generate import sampling
    from sciml.symbolic.integration import ansatz
    from sciml.symbolic.verification.checking import check

    text = np.empty(count * 2048 + 65536, np.uint8)
    ends, keys = np.zeros((count, 2), np.int64), np.zeros(count, np.int64)
    made = sampling.forward(_arena(), seed, start, count, sampling.MAX_OPERATORS, text, ends, keys)
    out = []
    for key, problem, _ in _rows(text, ends, keys, made):
        f = parse(problem)
        end = now() + 20
        for answer, _ in ansatz.candidates(f, "x", end, styles=1, supports=2, specials=False):
            if check(f, answer, "x", thorough=False, seed=f.key).agrees:
                if ex.size(answer) < 400 and len(to_prefix(answer)) <= sampling.MAX_TOKENS:
                    out.append((key, problem, str(answer)))
                break
    return out


def _equations(kind: Kind, seed: int, start: int, count: int) -> list[Row]:
    from sciml.symbolic.generate import sampling
    from sciml.symbolic.generate.arena_text import TOKENS
    from sciml.symbolic.ode.checking import quick

    order = 1 if kind == "ode1" else 2
    tokens = np.empty(1024, np.int64)
    out: list[Row] = []
    for k in range(start, start + count):
        rng = sampling.seeded(seed, k)
        for _ in range(40):
            operators = sampling.operator_count(rng, 8 if order == 1 else 7)
            n = sampling.tree(rng, operators, tokens)
            names = _with_constants([TOKENS[t] for t in tokens[:n]], order, rng)
            if names is None:
                continue
            found = equation(names, order)
            if found is not None and quick(*found, "x", "y", order):
                problem, answer = found
                out.append((problem.key, str(problem), str(answer)))
                break
    return out


def _with_constants(names: list[str], order: int, rng: np.ndarray) -> list[str] | None:
    """Replace one leaf by c1, for second order another one by c2."""
    from sciml.symbolic.generate import sampling

    leaves = [i for i, name in enumerate(names) if name in ("x", "INT+")]
    if len(leaves) < order + 1:
        return None
    chosen: list[int] = []
    while len(chosen) < order:
        i = leaves[sampling.below(rng, len(leaves))]
        if i not in chosen:
            chosen.append(i)
    out, skip = [], False
    for i, name in enumerate(names):
        if skip and name.isdigit():
            continue
        skip = False
        if i in chosen:
            out.append(f"c{chosen.index(i) + 1}")
            skip = name == "INT+"
        else:
            out.append(name)
    return out if "x" in out else None


def equation(names: list[str], order: int) -> tuple[Expr, Expr] | None:
    """(residual, solution) from the tokens of y = f(x, c1, ...); None where a constant cannot be
    isolated or the equation is too long."""
    from sciml.symbolic.algebra.rewriting import invert, together
    from sciml.symbolic.expr.tokens import parse_prefix

    y, slope = ex.symbol("y"), ex.symbol("y'")
    try:
        solution = parse_prefix(names)
        if not {"x", "c1", *(["c2"] if order == 2 else [])} <= solution.free:
            return None
        last = f"c{order}"
        relation = invert(solution, last, y)
        if relation is None:
            return None
        residual = relation.diff("x") + relation.diff("y") * slope
        if order == 2:
            inner = _numerator(together(residual))
            first = invert(inner, "c1", ex.ZERO)
            if first is None or "y'" not in first.free:
                return None
            residual = (
                first.diff("x") + first.diff("y") * slope + first.diff("y'") * ex.symbol("y''")
            )
        residual = _numerator(together(residual))
    except (ex.TooLarge, ex.Undefined, InputError, RecursionError):
        return None
    top = "y" + "'" * order
    if top not in residual.free or {"c1", "c2"} & residual.free or ex.size(residual) > 160:
        return None
    return residual, solution


def _numerator(e: Expr) -> Expr:
    """The factors in which the unknown function occurs, without denominators and exponentials."""
    factors = e.args if e.op == "mul" else (e,)
    kept = [
        f
        for f in factors
        if any(name.startswith("y") for name in f.free)
        and not (f.op == "pow" and f.args[1].op == "num" and f.args[1].value < 0)
        and f.op != "exp"
    ]
    return ex.mul(kept)


def excluded_keys(files: Iterable[Path]) -> set[int]:
    """Structural keys of the problems in files: JSON lines, or the published prefix format."""
    from sciml.paths import existing_file
    from sciml.symbolic.expr.parser import Unknown, parse
    from sciml.symbolic.expr.tokens import parse_prefix, to_prefix
    from sciml.symbolic.generate import arena, arena_text

    out: set[int] = set()
    for path in files:
        for number, line in enumerate(existing_file(path).read_text("utf-8").splitlines(), 1):
            try:
                if line.lstrip().startswith("{"):
                    row = json.loads(line)
                    shown = row.get("problem") or row.get("integrand") or row.get("ode")
                    e = parse(shown, unknown=Unknown("y", "x"))
                elif line.strip():
                    shown = line.split("|", 1)[-1].split("\t")[0].split()
                    e = parse_prefix(shown[2:] if shown[:2] == ["sub", "Y'"] else shown)
                else:
                    continue
                out.add(e.key)
                tokens = [arena_text.INDEX.get(t, -1) for t in to_prefix(e)]
            except (InputError, ValueError) as error:
                raise InputError(str(error), where=f"{path}, line {number}") from None
            if -1 not in tokens:
                a = _arena()
                arena.begin(a)
                node = arena_text.read(a, np.array(tokens, np.int64), len(tokens))
                out.add(int(a[arena.A_KEY + node]))
    return out


def stream(
    kind: Kind, seed: int, *, workers: int = 1, exclude: Iterable[int] = ()
) -> Iterator[Row]:
    """Endless rows of one kind without duplicates, the same for any number of workers."""
    seen = set(exclude)
    size = _CHUNK[kind]

    def rows(batches: Iterable[list[Row]]) -> Iterator[Row]:
        for batch in batches:
            for row in batch:
                if row[0] not in seen:
                    seen.add(row[0])
                    yield row

    if workers <= 1:
        start = 0
        while True:
            yield from rows([chunk(kind, seed, start, size)])
            start += size
    with ProcessPoolExecutor(workers) as pool:
        start = 0
        while True:
            starts = [start + i * size for i in range(4 * workers)]
            jobs = [pool.submit(chunk, kind, seed, s, size) for s in starts]
            yield from rows(job.result() for job in jobs)
            start += 4 * workers * size


def varied(row: Row, previous: Row, vary: Vary, k: int) -> Row:
    """The families on which sequence models are known to break (Welleck et al. 2022,
    arXiv:2109.13986): k f, f + g, f(x + k), f(k x)."""
    from sciml.symbolic.expr.parser import parse

    f, big = parse(row[1]), parse(row[2])
    x = ex.symbol("x")
    if vary == "scale":
        f, big = k * f, k * big
    elif vary == "sum":
        f, big = f + parse(previous[1]), big + parse(previous[2])
    elif vary == "shift":
        f, big = f.subs({x: x + k}), big.subs({x: x + k})
    elif vary == "stretch":
        f, big = f.subs({x: k * x}), big.subs({x: k * x}) / k
    return f.key, str(f), str(big)


def make(
    kind: Kind,
    count: int,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    seed: int = 0,
    workers: int = 1,
    exclude: tuple[Path, ...] = (),
    vary: Vary = "none",
    largest: int = 10_000,
) -> int:
    """Make problems with their solutions: {"problem": ..., "answer": ...}, a line each.

    Args:
        kind: bwd, fwd, ibp (integrals) or ode1, ode2 (differential equations: problem = 0).
        count: Rows to write.
        output: The file, JSON lines.
        seed: Seed; the same seed gives the same file, for any number of workers.
        workers: Processes.
        exclude: Files of problems that must not occur (JSON lines or the published format).
        vary: Brittleness family: scale k f, sum f + g, shift f(x + k), stretch f(k x).
        largest: Largest k of a family.
    """
    from rich.console import Console
    from rich.progress import track

    from sciml.paths import atomic_write

    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    if not 1 <= workers <= 256:
        raise InputError(f"workers must be 1 to 256, got {workers}")
    if vary != "none" and kind.startswith("ode"):
        raise InputError("the families of `vary` are for integrals")
    rng = np.random.default_rng([seed, 77])
    console = Console(stderr=True)
    rows = stream(kind, seed, workers=workers, exclude=excluded_keys(exclude))
    previous: Row | None = None
    with atomic_write(output) as path, path.open("w", encoding="utf-8") as file:
        for _ in track(range(count), kind, console=console, disable=not console.is_terminal):
            row = next(rows)
            if vary != "none":
                k = int(rng.integers(2, largest + 1)) * (1 if rng.random() < 0.5 else -1)
                other = previous or next(rows)
                previous = row
                row = varied(row, other, vary, k)
            file.write(f'{{"problem": "{row[1]}", "answer": "{row[2]}"}}\n')
    return 0
