"""The whitelist parser: what it reads, what it refuses, and that hostile text is harmless."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.parser import ExpressionError, Unknown, parse
from sciml.symbolic.expr.symbols import check_symbols
from sciml.symbolic.expr.tokens import parse_prefix, to_prefix

CORPUS = Path(__file__).parents[2] / "corpus" / "symbolic"
X = ex.symbol("x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x*exp(2*x)", X * ex.call("exp", 2 * X)),
        ("2x^2", 2 * X**2),
        ("2(x+1)(x-1)", ex.mul((2, X + 1, X - 1))),
        ("-2**2", ex.number(-4)),
        ("x**-2", X**-2),
        ("2^3^2", ex.number(512)),
        ("-x^2", -(X**2)),
        ("sin^2(x)", ex.call("sin", X) ** 2),
        ("log(x, 2)", ex.call("log", X) / ex.call("log", 2)),
        ("|x|", ex.call("abs", X)),
        ("1.5e1*x", 15 * X),
        (r"\frac{1}{1+x^2}", 1 / (1 + X**2)),
        (r"\sin^2 x + \sqrt[3]{x}", ex.call("sin", X) ** 2 + X ** ex.number(ex.Fraction(1, 3))),
        (r"\frac12 x \cdot e^{2x}", X / 2 * ex.call("exp", 2 * X)),
        (r"\left(x+1\right)\ln x", (X + 1) * ex.call("log", X)),
        (r"\arctan x", ex.call("atan", X)),
        (r"\sin^{-1} x", ex.call("asin", X)),
    ],
)
def test_reads(text: str, expected: ex.Expr) -> None:
    assert parse(text) is expected


def test_differential_equation() -> None:
    unknown = Unknown("y", "x")
    y, d1, d2 = (ex.symbol("y" + "'" * k) for k in range(3))
    assert parse("y'' + y = x", unknown=unknown) is d2 + y - X
    text = "Derivative(y(x), x, x) + Derivative(y(x), (x, 2)) + y'(x)*y(x)"
    assert parse(text, unknown=unknown) is 2 * d2 + d1 * y


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("x +* 2", 3), ("foo(x)", 0), ("sin x", 4), ("(x + 1", 6), ("x)", 1), ("x/0", 2),
        ("9**9**9", 6), ("x $ 2", 2), ("", 0), ("__import__('os')", 0), ("x.__class__", 1),
        ("1 2", 2), ("x(x+1)", 0), ("\\frac{1}{x", 10), ("y'", 0),
    ],
)  # fmt: skip
def test_errors_point_at_the_character(text: str, position: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.position == position
    assert "\n" not in str(caught.value)


def test_corpus_of_hostile_strings() -> None:
    """Every string is refused or read within two seconds; nothing is ever run."""
    mark = Path("sciml_was_here")
    for line in (CORPUS / "hostile.jsonl").read_text().splitlines():
        row = json.loads(line)
        text = row["text"] * row.get("times", 1)
        started = time.process_time()
        if row["refused"]:
            with pytest.raises(InputError) as caught:
                parse(text)
            assert len(str(caught.value)) < 500
        else:
            parse(text)
        assert time.process_time() - started < 2, text[:50]
    assert not mark.exists()


def test_caps_come_before_large_objects() -> None:
    for text in (
        "2**1000**1000",
        "(10^900)^900",
        "x^10001",
        "7" * 101,
        "(" * 121 + "x" + ")" * 121,
    ):
        with pytest.raises(InputError):
            parse(text)


def _random(rng: random.Random, depth: int) -> ex.Expr:
    if depth == 0 or rng.random() < 0.2:
        kind = rng.randrange(5)
        if kind == 0:
            return ex.number(ex.Fraction(rng.randint(-9, 9), rng.randint(1, 6)))
        return (X, X, ex.symbol("a"), ex.PI)[kind - 1]
    kind = rng.randrange(6)
    if kind < 2:
        return ex.add([_random(rng, depth - 1) for _ in range(rng.randint(2, 3))])
    if kind < 4:
        return ex.mul([_random(rng, depth - 1) for _ in range(rng.randint(2, 3))])
    try:
        if kind == 4:
            exponent = ex.number(ex.Fraction(rng.randint(-4, 4), rng.randint(1, 3)))
            return ex.power(_random(rng, depth - 1), exponent)
        return ex.call(rng.choice(ex.FUNCTIONS), _random(rng, depth - 1))
    except (ex.Undefined, ex.TooLarge):
        return X


def test_round_trip_of_five_thousand() -> None:
    rng = random.Random(5)
    seen: set[ex.Expr] = set()
    while len(seen) < 5000:
        try:
            e = _random(rng, 4)
            text = str(e)
        except (ex.Undefined, ex.TooLarge):
            continue
        if len(text) > 2000 or e in seen:
            continue
        seen.add(e)
        assert parse(text) is e, text


def test_prefix_round_trip() -> None:
    rng = random.Random(7)
    done = 0
    while done < 300:
        try:
            e = _random(rng, 3)
            tokens = to_prefix(e)
        except (ex.Undefined, ex.TooLarge, InputError):
            continue
        assert parse_prefix(tokens) is e
        done += 1


@pytest.mark.parametrize(
    "tokens", ["add x", "x x", "INT+", "1 2", "foo x", "", "pow INT+ 9 INT+ 9 9 9 9", "inv INT+ 0"]
)
def test_prefix_errors(tokens: str) -> None:
    with pytest.raises(InputError):
        parse_prefix(tokens)


def test_symbols() -> None:
    assert check_symbols(parse("sin(t)"), None) == "t"
    assert check_symbols(parse("a*x"), "x", ["a"]) == "x"
    with pytest.raises(InputError, match="several variables"):
        check_symbols(parse("a*x"), None)
    with pytest.raises(InputError, match="unknown symbol 'a'"):
        check_symbols(parse("a*x"), "x")


def test_rows_of_other_programs(integral_rows: Callable) -> None:
    """Files of SymPy's derivatives parse, and what they say holds for what was read."""
    same = total = 0
    for tokens in integral_rows("bwd")[:300]:
        problem, answer = (parse_prefix(side) for side in tokens)
        total += 1
        same += answer.diff("x") is problem
    assert same / total > 0.5
