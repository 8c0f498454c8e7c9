"""Linear partial differential equations of first order: put into the equation by SymPy with two
choices of the arbitrary function."""

from __future__ import annotations

import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import pdsolve
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.jobs import PartialJob
from sciml.symbolic.ode import partial

EQUATIONS = [
    ("u_t + c*u_x = 0", ("t", "x"), ["c"]),
    ("y*u_x - x*u_y = 0", ("x", "y"), []),
    ("x*u_x + y*u_y = u", ("x", "y"), []),
    ("u_x + u_y + u = exp(x)", ("x", "y"), []),
    ("u_x + 2*x*u_y = y", ("x", "y"), []),
    ("u_y = u", ("x", "y"), []),
    ("u_t + x*u_x = -k*u", ("t", "x"), ["k"]),
    ("a*u_x + b*u_y = 1", ("x", "y"), ["a", "b"]),
    ("x**2*u_x + y**2*u_y = (x+y)*u", ("x", "y"), []),
]


@pytest.mark.parametrize(("text", "variables", "constants"), EQUATIONS)
def test_solutions(text: str, variables: tuple[str, str], constants: list[str]) -> None:
    result = pdsolve(text, "u", variables, constants=constants, timeout=60)
    assert result.verified and "F(" in str(result) and r"F\left(" in result.latex()
    first, second = (sp.Symbol(v) for v in variables)
    left, right = text.split("=")
    for F in (sp.sin, lambda z: z**3 + 1):
        u = result.expr.replace(sp.Function("F"), F)
        names = {"u": u, f"u_{first}": u.diff(first), f"u_{second}": u.diff(second)}
        residual = sp.sympify(f"({left})-({right})", locals=names)
        point = {first: 0.7, second: 1.3} | {sp.Symbol(c): 0.4 + i for i, c in enumerate(constants)}
        assert abs(complex(residual.subs(point))) < 1e-9


def test_in_sympy() -> None:
    x, y = sp.symbols("x y")
    u = sp.Function("u")
    equation = sp.Eq(u(x, y).diff(x) + 3 * u(x, y).diff(y), 0)
    assert pdsolve(equation, timeout=60).expr == sp.Function("F")(y - 3 * x)


def test_refused() -> None:
    x, y = sp.symbols("x y")
    u = sp.Function("u")
    for equation, words in (
        ("u*u_x + u_y = 0", "linear"), ("u_x + q*u_y = 0", "constant"), ("u = 0", "derivative"),
        ("u_x + F*u_y = 0", "unknown symbol"), (u(x, y).diff(x, 2), "first order"), (3, "text"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            pdsolve(equation, timeout=60)


def test_a_wrong_proposal_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tuple(parse(e) for e in ("y - x", "exp(x)", "0"))
    monkeypatch.setattr(partial, "_proposals", lambda *a: iter([wrong]))
    job = PartialJob(parse("u_x + u_y + u"), "x", 10.0, function="u", other="y")
    assert partial.solve_partial(job)["status"] == "no_answer"
