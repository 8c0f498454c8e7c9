"""Functions in pieces and Mathematica's input form, against SymPy's values."""

from __future__ import annotations

import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import from_sympy, integrate, to_sympy
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.parser import parse

X = sp.Symbol("x", real=True)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Max(x, 1)", sp.Max(X, 1)),
        ("min(x, x**2, 2)", sp.Min(X, X**2, 2)),
        ("Heaviside(x-1)", sp.Heaviside(X - 1)),
        ("real_root(x, 3)", sp.real_root(X, 3)),
        ("floor(x) + ceiling(2*x)", sp.floor(X) + sp.ceiling(2 * X)),
        ("mod(x, 3) + floor(x + 7/2)", sp.Mod(X, 3) + sp.floor(X + sp.Rational(7, 2))),
        (
            "Piecewise((x, x < 0), (x**2, x <= 1), (4, True))",
            sp.Piecewise((X, X < 0), (X**2, X <= 1), (4, True)),
        ),
        ("Floor[x] Mod[x, 2]", sp.floor(X) * sp.Mod(X, 2)),
        ("Sin[x] + ArcTan[2 x]/Pi", sp.sin(X) + sp.atan(2 * X) / sp.pi),
        ("Exp[-x^2] Sqrt[x^2+1]", sp.exp(-(X**2)) * sp.sqrt(X**2 + 1)),
    ],
)
def test_values(text: str, same: sp.Expr) -> None:
    for at in (-2.5, -0.3, 0.7, 3.1):
        assert abs(complex(evaluate(parse(text), {"x": at})) - complex(same.subs(X, at))) < 1e-12


def test_from_sympy() -> None:
    pieces = sp.Piecewise((X, X < 1), (X**2, X < 2), (4, True))
    e = from_sympy(pieces)
    for at in (-1, 0.5, 1.5, 3):
        assert abs(complex(evaluate(e, {"x": at})) - float(pieces.subs(X, at))) < 1e-12
    for f in (sp.floor(X), sp.ceiling(X / 3), sp.Mod(X, 2)):
        assert abs(complex(evaluate(from_sympy(f), {"x": 2.7})) - float(f.subs(X, 2.7))) < 1e-12
    assert to_sympy(from_sympy(sp.Max(X, 0))).subs("x", 3) == 3
    with pytest.raises(InputError, match="inequality"):
        from_sympy(sp.Piecewise((X, sp.Ne(X, 1)), (0, True)))


def test_steps_are_printed_as_they_are_written() -> None:
    for text in ("x*Heaviside(x - 1)", "Heaviside(-x + 1)", "exp(Heaviside(sin(x)))"):
        assert parse(str(parse(text))) is parse(text)
        assert "Heaviside" in str(parse(text)) and "sign" not in str(parse(text))
    assert "Heaviside" not in str(parse("sign(x) + 1/2"))


def test_refused() -> None:
    for text in (
        "Max(x)",
        "Heaviside(x, 1)",
        "real_root(x, 2)",
        "real_root(x)",
        "floor(x, 2)",
        "mod(x)",
        "Piecewise((x, x < 0))",
        "Piecewise((x, True), (1, x < 0))",
        "Piecewise((x, x), (1, True))",
        "x < 2",
        "Sin[x",
    ):
        with pytest.raises(InputError):
            parse(text)


def test_antiderivatives_are_continuous() -> None:
    for text in ("Max(x, 1)", "Heaviside(x-1)*x", "Min(x, x**2)"):
        result = integrate(text, "x", model=None, timeout=60)
        assert result.verified and result.continuous, (text, result)
    assert integrate("Max(x, 1)", "x", limits=(0, 2), model=None, timeout=60).expr == sp.Rational(
        5, 2
    )
