"""Systems, switches and impulses, power series: each put into its equations by SymPy."""

from __future__ import annotations

import json

import pytest
import sympy as sp

from sciml.errors import InputError
from sciml.symbolic import dsolve

T = sp.Symbol("t", real=True)
POSITIVE = {name: sp.Symbol(name, positive=True) for name in "abcdkmwA"}
SYSTEMS = [
    (["x'=y", "y'=-x"], ["x", "y"], {}),
    (["x'=a*x+b*y", "y'=c*x+d*y"], ["x", "y"], {}),
    (["x'=-k*x", "y'=k*x-m*y"], ["x", "y"], {"x(0)": "A", "y(0)": 0}),
    (["m*x''=-2*k*x+k*y", "m*y''=k*x-2*k*y"], ["x", "y"], {}),
    (["x'=x+y+exp(t)", "y'=4*x+y"], ["x", "y"], {"x(0)": 1, "y(1)": 0}),
    (["x'=2*x-y", "y'=x"], ["x", "y"], {}),
    (["x'=y+cos(t)", "y'=-x"], ["x", "y"], {}),
    (["x'=y", "y'=z", "z'=x"], ["x", "y", "z"], {}),
    (["x'+y'=1", "x'-y'=x"], ["x", "y"], {}),
]


def _plain(e: sp.Expr) -> sp.Expr:
    return e.xreplace({s: POSITIVE.get(s.name, sp.Symbol(s.name, real=True))
                       for s in e.free_symbols})  # fmt: skip


@pytest.mark.parametrize(("equations", "names", "ics"), SYSTEMS)
def test_systems(equations: list[str], names: list[str], ics: dict) -> None:
    constants = [c for c in "abcdkmA" if any(c in e for e in equations) or c in str(ics)]
    result = dsolve(equations, names, "t", ics=ics, constants=constants, timeout=60)
    assert result.verified, result
    solutions = {name: _plain(e) for name, e in result.exprs.items()}
    values = {"t": T, **POSITIVE}
    for name, e in solutions.items():
        values |= {name: e, f"{name}_1": e.diff(T), f"{name}_2": e.diff(T, 2)}
    point = {
        s: sp.Rational(3 + i, 7)
        for i, s in enumerate(
            sorted(set().union(*(e.free_symbols for e in solutions.values())), key=str)
        )
    }
    for equation in equations:
        left, right = equation.replace("''", "_2").replace("'", "_1").split("=")
        gap = sp.sympify(f"({left})-({right})", locals=values)
        assert abs(sp.N(gap.subs(point), 30)) < 1e-20, equation
    symbols = set().union(*(e.free_symbols for e in solutions.values()))
    free = {s.name for s in symbols if s.name[0] == "C"}
    total = sum(max(1, *(e.count(n + "'" * k) and k for e in equations for k in (1, 2)))
                for n in names)  # fmt: skip
    assert len(free) == (0 if ics else total)


def test_a_system_of_sympy() -> None:
    t = sp.Symbol("t")
    x, y = sp.Function("x"), sp.Function("y")
    equations = [sp.Eq(x(t).diff(t), y(t)), sp.Eq(y(t).diff(t), -x(t))]
    result = dsolve(equations, [x(t), y(t)], ics={x(0): 1, y(0): 0}, timeout=60)
    assert result.exprs == {"x": sp.cos(t), "y": -sp.sin(t)}
    assert str(result) == "x = cos(t); y = -sin(t)" and r"\cos" in result.latex()
    assert json.loads(json.dumps(result.as_dict()))["solutions"]["x"] == "cos(t)"


@pytest.mark.parametrize(
    ("equations", "names", "options", "words"),
    [
        (["x'=x*y", "y'=x"], ["x", "y"], {}, "linear"),
        (["x'=t*y", "y'=x"], ["x", "y"], {}, "linear"),
        (["x'=y"], ["x", "y"], {}, "functions"),
        (["x'=q*y", "y'=x"], ["x", "y"], {}, "constants"),
        (["x'+y'=1", "2*x'+2*y'=x"], ["x", "y"], {}, "determine"),
        (["x'=y", "y'=x"], ["x", "y"], {"ics": {"z(0)": 1}}, "no value"),
        (["x'=y", r"\dot{y}=x"], ["x", "y"], {}, "LaTeX"),
    ],
)
def test_systems_that_are_refused(
    equations: list[str], names: list[str], options: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        dsolve(equations, names, "t", timeout=60, **options)


SWITCHED = [
    ("y''+y=Heaviside(x-1)", {"y(0)": 0, "y'(0)": 0}, "Heaviside(x-1)*(1-cos(x-1))"),
    ("y''+y=DiracDelta(x)", {"y(0)": 0, "y'(0)": 0}, "Heaviside(x)*sin(x)"),
    ("y'+2*y=DiracDelta(3*x-6)", {"y(0)": 1}, "exp(-2*x)+Heaviside(x-2)*exp(4-2*x)/3"),
    ("y'+y=Heaviside(x-1)-Heaviside(x-2)", {"y(0)": 0},
     "Heaviside(x-1)*(1-exp(1-x))-Heaviside(x-2)*(1-exp(2-x))"),
    ("y'+y=x*Heaviside(x-1)*Heaviside(3-x)", {"y(0)": 0},
     "Heaviside(x-1)*(x-1)-Heaviside(x-3)*(x-1-2*exp(3-x))"),
    ("y''+4*y=abs(x-1)", {"y(0)": 0, "y'(0)": 0},
     "(1-x)/4-cos(2*x)/4+sin(2*x)/8+Heaviside(x-1)*((x-1)/2-sin(2*x-2)/4)"),
]  # fmt: skip


@pytest.mark.parametrize(("equation", "ics", "answer"), SWITCHED)
def test_switches_and_impulses(equation: str, ics: dict, answer: str) -> None:
    result = dsolve(equation, ics=ics, timeout=60)
    assert result.verified, result
    right = sp.sympify(answer)
    for at in (-0.7, 0.4, 1.3, 1.9, 2.6, 3.7):
        if at < 0 and equation.endswith("DiracDelta(x)"):
            assert result.expr.subs("x", at) == 0
        assert abs(complex(result.expr.subs("x", at) - right.subs("x", at))) < 1e-12, (at, result)


def test_what_switches_refuse() -> None:
    for equation, ics, words in (
        ("y'+DiracDelta(x)*y=0", {}, "product"),
        ("y'+x*y=DiracDelta(x-1)", {}, "constant coefficients"),
        ("y'+y=DiracDelta(x**2)", {}, "DiracDelta"),
        ("y'+y=Heaviside(x-a)", {"y(b)": 0}, "before or after"),
    ):
        with pytest.raises(InputError, match=words):
            dsolve(equation, ics=ics, constants=["a", "b"], timeout=60)


@pytest.mark.parametrize(
    ("equation", "ics", "answer"),
    [
        ("y''=x*y", {}, "c1*(1+x**3/6+x**6/180)+c2*(x+x**4/12)"),
        ("y'=y**2+x", {"y(0)": 1}, "1+x+3*x**2/2+4*x**3/3+17*x**4/12+31*x**5/20+149*x**6/90"),
        ("y''+sin(x)*y=0", {"y(0)": 1, "y'(0)": 0}, "1-x**3/6+x**5/120+x**6/180"),
        ("y'=y", {"y(1)": "a"}, "a*(1+(x-1)+(x-1)**2/2+(x-1)**3/6+(x-1)**4/24+(x-1)**5/120"
                                "+(x-1)**6/720)"),
    ],
)  # fmt: skip
def test_power_series(equation: str, ics: dict, answer: str) -> None:
    result = dsolve(equation, ics=ics, constants=["a"] if "a" in ics.values() else [], terms=7,
                    timeout=60)  # fmt: skip
    gap = result.expr.subs({"C1": "c1", "C2": "c2"}) - sp.sympify(answer)
    assert result.verified and "a series" in result.note
    assert sp.expand(gap) == 0


def test_no_series_at_a_singular_point() -> None:
    assert dsolve("x*y''+y=0", terms=5, timeout=60).status == "no_answer"
    with pytest.raises(InputError, match="terms"):
        dsolve("y'=y", terms=0)
