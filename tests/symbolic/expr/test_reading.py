"""What is printed is read back; what is typed is read as everyone would read it, or refused."""

from __future__ import annotations

import random

import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import integrate, verify
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.latex_integral import whole_integral
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import from_sympy, latex, symbol_name, to_sympy
from sciml.symbolic.expr.symbols import check_symbols

NAMES = ("x", "a", "t", "theta", "alpha", "A", "f", "x_1", "speed", "n", "lambda", "k", "d", "i")


def _random(rng: random.Random, depth: int, names: tuple[str, ...] = NAMES) -> ex.Expr:
    if depth == 0 or rng.random() < 0.2:
        leaves = [ex.number(ex.Fraction(rng.randint(-9, 9), rng.randint(1, 6))),
                  ex.symbol("x"), ex.symbol(rng.choice(names)), ex.PI, ex.I, ex.E]  # fmt: skip
        return rng.choice(leaves)
    kind = rng.randrange(6)
    few = [_random(rng, depth - 1, names) for _ in range(rng.randint(2, 3))]
    if kind < 2:
        return ex.add(few)
    if kind < 4:
        return ex.mul(few)
    if kind == 4:
        power = ex.number(ex.Fraction(rng.randint(-4, 4), rng.randint(1, 3)))
        return ex.power(few[0], power if rng.random() < 0.7 else few[1])
    return ex.call(rng.choice(ex.FUNCTIONS), few[0])


def _many(seed: int, count: int, names: tuple[str, ...] = NAMES):
    rng = random.Random(seed)
    while count:
        try:
            e = _random(rng, 4, names)
        except (ex.Undefined, ex.TooLarge):
            continue
        if ex.size(e) < 80:
            count -= 1
            yield e, rng


def _same(e: ex.Expr, g: ex.Expr, rng: random.Random) -> bool:
    """Whether two expressions agree where both have a value."""
    for _ in range(3):
        point = {n: complex(rng.uniform(0.2, 1.7), rng.uniform(0.1, 0.8)) for n in e.free | g.free}
        try:
            a, b = (complex(evaluate(f, {n: point[n] for n in f.free})) for f in (e, g))
            large = max(abs(a), abs(b)) > 1e3
        except OverflowError:
            continue
        if not large and abs(a - b) > 1e-5 * (abs(a) + abs(b) + 1e-6):
            return False
    return True


def test_text_comes_back() -> None:
    for e, _ in _many(1, 2000):
        assert parse(str(e)) is e


def test_latex_comes_back() -> None:
    for e, rng in _many(2, 600):
        text = latex(e)
        assert _same(e, parse(text), rng), text


def test_latex_of_sympy_is_the_same_function_or_refused() -> None:
    """In its plain printing a letter may be a function, and words may be products."""
    read = 0
    for e, rng in _many(3, 500, ("x", "a", "t", "theta", "S", "C", "x_1", "speed", "Gamma")):
        try:
            text = sp.latex(to_sympy(e))
        except RecursionError:
            continue
        if "\\" not in text and "{" not in text:
            continue  # the same as infix text
        try:
            parsed = parse(text)
        except InputError:
            continue
        assert _same(e, parsed, rng), text
        read += 1
    assert read > 120


@pytest.mark.parametrize(
    "text",
    ["0x10*x", "0b11", "0o7", "1e5x", "1_000", "1.2.3", "1,5*x", "log(1,5*x)", "1 000", "2x3",
     "1/2x", "a/b c", "x/2(x+1)", "e^2x", "x^-2x", "2^3x", "x^1/2", "sin x", "sin^2 x",
     "log^(-1)(x)", "x!", "x%2", "x//2", "x^^2", "x=2", "x;2", "x(x+1)", "f'(x)", "√x", "½x",
     "x₁", "∞", "x≤2", "x³", "１２", "diff(x^2, x)", "Piecewise(x)", "lg(x)", "|x||x|",
     r"\frac{d}{dx}x^2", r"\frac{d}{dx}\left(3x\right)", r"\frac{\mathrm{d}}{\mathrm{d}t}t^2",
     r"\frac{\mathrm d}{\mathrm dx}x", r"\dfrac{d^2}{dx^2}x", r"\frac{dy}{dx}",
     r"\frac{d \sin x}{d x}", r"\frac{\partial x}{\partial t}", r"\frac{d}{d\theta}\theta^2",
     r"\int x\,dx", r"\sum_{n} x", r"\lim_{x} x", r"\prod x", r"\frac{1}{x}dx", r"x^{2}\,dx",
     r"x^{\prime}", r"\dot{x}", r"x^a^b{}", r"2\frac{1}{2}", r"\frac12\frac34", r"e^{ix}",
     r"\sin x(x+1)", r"\ln^{-1} x", r"f(x^{2})", r"x(x)^{2}",
     r"S^{3}\left(x\right)", r"sinx^{2}", r"speed^{2}", r"theta^{2}", r"x_{i+1}", r"x_\text{a}",
     r"1/2x^{2}", r"\frac{x}{2}/2\sin x", r"x\%{}", r"\lfloor x", r"\operatorname{foo}(x)",
     r"\sinx", r"\infty", r"\log x^{2}(1)"],
)  # fmt: skip
def test_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert "character" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2pi x", "2*pi*x"), ("x − 1", "x - 1"), ("2·x×3", "6*x"), ("πx", "pi*x"),
        ("θ^2", "theta**2"), ("x÷2", "x/2"), ("sin^-1(x)", "asin(x)"), ("tanh^(-1)(x)", "atanh(x)"),
        ("x^2y", "x**2*y"), ("log2(x)", "log(x)/log(2)"), ("root(x, 3)", "x**(1/3)"),
        ("Rational(1,3)*x", "x/3"), ("-x^2", "-(x**2)"), ("2^3^2", "512"), ("1/2*x", "x/2"),
        (r"\ln|x|", "log(abs(x))"), (r"\ln\left|x\right|", "log(abs(x))"),
        (r"\left|x\right|\left|x+1\right|", "abs(x)*abs(x+1)"), (r"\log_2 x", "log(x)/log(2)"),
        (r"\log_{10}(x)", "log(x)/log(10)"), (r"\mathrm{arctan}(x)", "atan(x)"),
        (r"\operatorname{arsinh} x", "asinh(x)"), (r"x e^{\mathrm{i}x}", "x*exp(I*x)"),
        ("xe^{x}", "x*exp(x)"), ("exp(x^{2})", "exp(x**2)"), (r"sin^{-1} x", "asin(x)"),
        (r"\frac{d}{x}", "d/x"), (r"\pi(x+1)", "pi*(x+1)"), (r"\[ x^{2} \]", "x**2"),
        (r"$\displaystyle x^2.$", "x**2"), (r"\mathrm{speed}\,t", "speed*t"),
        (r"\zeta x", "zeta*x"), (r"\operatorname{Li}_{2}\left(x\right)", "dilog(x)"),
    ],
)  # fmt: skip
def test_read_as_meant(text: str, meaning: str) -> None:
    assert parse(text) is parse(meaning)


@pytest.mark.parametrize(
    ("text", "inner", "name", "limits"),
    [
        (r"\int \frac{dx}{x^2+1}", "1/(x^2+1)", "x", None),
        (r"\int\frac{x\,dx}{x^2+1}", "x/(x^2+1)", "x", None),
        (r"\int \frac{\mathrm{d}t}{t\ln t}", "1/(t*log(t))", "t", None),
        (r"\int 3\dfrac{e^{x}\,dx}{x} + C", "3*exp(x)/x", "x", None),
        (r"\int \cos\theta\,d\theta", "cos(theta)", "theta", None),
        (r"\[ \int xe^x\,\text{d}x. \]", "x*exp(x)", "x", None),
        (r"\displaystyle\int x\,{\rm d}x = ?", "x", "x", None),
        (r"\int dx\,x^2", "x^2", "x", None), ("∫ x sin(x) dx", "x*sin(x)", "x", None),
        (r"$\int\limits_0^{2\pi} x\,\mathrm dx$", "x", "x", ("0", r"2\pi")),
    ],
)  # fmt: skip
def test_integrals(text: str, inner: str, name: str, limits: tuple | None) -> None:
    integral = whole_integral(text)
    assert integral is not None
    assert (parse(integral[0]), *integral[1:]) == (parse(inner), name, limits)


@pytest.mark.parametrize(
    "text",
    [r"\int x", r"\int x\,dx + 3", r"\int\frac{dx}{x} + x", r"\int\int x\,dx\,dx", r"\int d x^2",
     r"\int_0 x\,dx", r"\int x + \frac{dx}{x}"],
)  # fmt: skip
def test_what_is_no_integral(text: str) -> None:
    with pytest.raises(InputError):
        whole_integral(text)


def test_names_that_nobody_declared() -> None:
    for text in ("xy", "sinx", "sqrt2", "i", "dx", "time"):
        with pytest.raises(InputError, match="may not be meant"):
            check_symbols(parse(text), None)
        assert check_symbols(parse(text), text) == text
        assert check_symbols(parse(text), None, (), [text]) == text
    with pytest.raises(InputError, match="Did you mean sin"):
        check_symbols(parse("sin2x"), "x")
    for name in ("e", "pi", "I", "sin"):
        with pytest.raises(InputError, match="cannot be a symbol"):
            integrate("x", "x", constants=[name])
        with pytest.raises(InputError, match="cannot be a symbol"):
            integrate("x", name)
    with pytest.raises(InputError):
        verify("sinx", "-cosx")


def test_sympy_names() -> None:
    theta = sp.Symbol(r"\theta", positive=True)
    result = integrate(theta**2, theta)
    assert result.expr == theta**3 / 3
    assert symbol_name(sp.Symbol("x_{12}")) == "x_12"
    assert integrate(sp.Integral(theta, (theta, 0, 1))).expr == sp.Rational(1, 2)
    x = sp.Symbol("x")
    for wrong in (sp.Symbol("a b"), sp.Symbol("e") + x, sp.Symbol("sin"), sp.fibonacci(x),
                  sp.Piecewise((x, sp.Ne(x, 0)), (1, True)), sp.Function("f")(x),
                  sp.Integral(x), sp.Matrix([x]), [x], None, sp.oo,
                  sp.mathieuc(1, 2, x)):  # fmt: skip
        with pytest.raises(InputError) as caught:
            from_sympy(wrong)
        assert "\n" not in str(caught.value)
