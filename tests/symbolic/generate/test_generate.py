"""Generators: right answers, the compiled rules equal to the plain ones, reproducible files."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.expr.tokens import to_prefix
from sciml.symbolic.generate import problems as generate
from sciml.symbolic.generate import uncompiled
from sciml.symbolic.ode.checking import check_explicit
from sciml.symbolic.verification.checking import check


def _rows(kind: str, count: int, seed: int = 3) -> list[generate.Row]:
    return list(itertools.islice(generate.stream(kind, seed), count))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bwd", "ibp", "fwd"])
def test_integrals_are_right(kind: str) -> None:
    for _, problem, answer in _rows(kind, 500):
        assert check(parse(problem), parse(answer), "x").agrees, (problem, answer)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "order"), [("ode1", 1), ("ode2", 2)])
def test_many_equations_are_right(kind: str, order: int) -> None:
    """Of 500, in ball arithmetic (the generator's own check is one in floating point)."""
    right = 0
    for _, problem, answer in _rows(kind, 500):
        residual = parse(problem, unknown=Unknown("y", "x"))
        right += check_explicit(residual, parse(answer), "x", "y", order).agrees
    assert right >= 495


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count", "published", "tolerance"),
    [("fwd", 600, (18.9, 49.6), 0.15), ("bwd", 1500, (70.2, 21.3), 0.25)],
)
def test_mean_lengths_are_those_of_the_paper(
    kind: str, count: int, published: tuple[float, float], tolerance: float
) -> None:
    """Table 1 of arXiv:1912.01412; BWD problems are a fifth longer here than there."""
    lengths = [[len(to_prefix(parse(side))) for side in row[1:]] for row in _rows(kind, count)]
    assert np.mean(lengths, axis=0) == pytest.approx(published, rel=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "file", "count", "once"),
    [("bwd", "prim_bwd.test.first3000.gz", 1500, True), ("fwd", "prim_fwd.valid.gz", 500, False)],
)
def test_lengths_are_the_published_ones(
    shared: Path, kind: str, file: str, count: int, once: bool
) -> None:
    """Mean and quantiles of problem and answer within 15 % (or two tokens).

    The published files are sorted by how often a pair was met, and of the BWD file only the front
    is at hand: there the rows met once stand for the rest.
    """
    import gzip

    lines = gzip.decompress((shared / "data/symbolic" / file).read_bytes()).decode().splitlines()
    theirs = np.array([
        [len(side.split()) for side in line.split("|")[1].removeprefix("sub Y' ").split("\t")]
        for line in lines if line.startswith("1|") or not once
    ])  # fmt: skip
    ours = np.array([
        [len(to_prefix(parse(problem))), len(to_prefix(parse(answer)))]
        for _, problem, answer in _rows(kind, count)
    ])  # fmt: skip
    levels = [0.1, 0.25, 0.5, 0.75, 0.9]
    for side in (0, 1):
        a, b = theirs[:, side], ours[:, side]
        expected = np.array([a.mean(), *np.quantile(a, levels)])
        measured = np.array([b.mean(), *np.quantile(b, levels)])
        assert (np.abs(measured - expected) <= np.maximum(0.15 * expected, 2)).all(), (
            expected,
            measured,
        )


@pytest.mark.slow
def test_compiled_derivative_is_the_plain_one() -> None:
    """Where neither side used that x is real, both give the very same expression."""
    same = total = 0
    for _, problem, answer in _rows("bwd", 400):
        if "abs" in answer or "asin(" in answer:
            continue
        total += 1
        same += parse(answer).diff("x") is parse(problem)
    assert same / total > 0.9


@pytest.mark.slow
def test_same_file_for_any_number_of_workers(tmp_path: Path) -> None:
    files = []
    for workers in (1, 2):
        files.append(tmp_path / f"{workers}.jsonl")
        generate.make("bwd", 6000, files[-1], seed=5, workers=workers)
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    assert len({r["problem"] for r in rows}) == 6000
    exclude = tmp_path / "exclude.jsonl"
    exclude.write_text("".join(json.dumps(r) + "\n" for r in rows[:100]))
    again = tmp_path / "again.jsonl"
    generate.make("bwd", 500, again, seed=5, exclude=(exclude,))
    remaining = {json.loads(line)["problem"] for line in again.read_text().splitlines()}
    assert not remaining & {r["problem"] for r in rows[:100]}


@pytest.mark.parametrize(("kind", "order"), [("ode1", 1), ("ode2", 2)])
def test_equations_are_right(kind: str, order: int) -> None:
    rows = generate.chunk(kind, 4, 0, 12)  # type: ignore[arg-type]
    assert len(rows) >= 6
    right = 0
    for _, problem, answer in rows:
        residual = parse(problem, unknown=Unknown("y", "x"))
        right += check_explicit(residual, parse(answer), "x", "y", order).agrees
    assert right >= 0.9 * len(rows)


def test_reference_pairs_are_right_and_reproducible() -> None:
    rows = uncompiled.bwd(9, 0, 60)
    assert rows == uncompiled.bwd(9, 0, 60)
    assert rows[20:40] == uncompiled.bwd(9, 20, 20)
    for _, problem, answer in rows:
        assert check(parse(problem), parse(answer), "x").agrees, (problem, answer)


def test_varied() -> None:
    row, other = uncompiled.bwd(9, 0, 2)
    for vary in ("scale", "sum", "shift", "stretch"):
        _, problem, answer = generate.varied(row, other, vary, 7)
        assert check(parse(problem), parse(answer), "x").agrees


def test_trees_have_the_stated_leaves() -> None:
    from sciml.symbolic.generate import trees
    from sciml.symbolic.generate.arena_text import T_PLUS, T_X

    tokens = np.empty(1024, np.int64)
    x = numbers = 0
    for k in range(3000):
        rng = trees.seeded(1, k)
        n = trees.tree(rng, 9, tokens)
        x += int((tokens[:n] == T_X).sum())
        numbers += int((tokens[:n] == T_PLUS).sum())
    assert 0.73 < x / (x + numbers) < 0.79


def test_command_line(tmp_path: Path) -> None:
    from sciml.cli import main

    path = tmp_path / "e.jsonl"
    arguments = ["data", "make", "expressions", "--kind", "ode1", "--count", "5", "--seed", "2"]
    assert main([*arguments, "-o", str(path)]) == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 5 and all(set(r) == {"problem", "answer"} for r in rows)
    assert main([*arguments[:-4], "--count", "0", "--seed", "2", "-o", str(path)]) == 2
