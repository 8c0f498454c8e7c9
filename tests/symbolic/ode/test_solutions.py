"""Other branches and singular solutions, domains of solutions, and no traces of sample points."""

from __future__ import annotations

import json
import random

import pytest

from sciml.cli import main
from sciml.symbolic import dsolve
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.ode.api import OdeResult
from sciml.symbolic.ode.checking import check_explicit, check_implicit
from sciml.symbolic.ode.first_order import separable
from sciml.symbolic.ode.separation import separate_variables
from sciml.symbolic.ode.tools import Context, introduces_numbers, numerically_equal, without_symbol


def _read(text: str) -> ex.Expr:
    return parse(text, unknown=Unknown("y", "x"))


def _solve(text: str, **options) -> OdeResult:
    return dsolve(text, timeout=30, sympy=False, **options)


@pytest.mark.parametrize(
    ("ode", "others", "singular"),
    [
        ("y*y' = -x", ["-sqrt(2*c1 - x**2)"], []),
        ("y'^2 = 4*y", [], ["0"]),
        ("y = x*y' + y'^2", [], ["-x**2/4"]),
        ("y' = 3*y^(2/3)", [], ["0"]),
        ("y' = y^2", [], ["0"]),
        ("y' = y^2 - 4", [], ["2"]),
        ("y' = x*(y-1)*(y-3)", [], ["1"]),
        ("y'^2 = 9", ["c1 - 3*x"], []),
        ("y'^2 + y^2 = 1", [], ["1", "-1"]),
        ("y' = 1/(3*y^2)", ["-(-x - 3*c1)**(1/3)"], []),
        ("y' = sqrt(y)", [], ["0"]),
        ("y' = abs(y)", ["c1*exp(-x)"], ["0"]),
        ("y' = y/abs(y)", ["c1 - x"], []),
        ("y'' = y'^2", ["c1"], []),
    ],
)  # fmt: skip
def test_branches_and_singular_solutions(ode: str, others: list, singular: list) -> None:
    result = _solve(ode)
    assert result.proof and result.note
    for expected, solutions in ((others, result.others), (singular, result.singular)):
        for text in expected:
            assert any(numerically_equal(s.expression, parse(text)) for s in solutions), (
                text,
                result.further(),
            )
    for s in (*result.others, *result.singular):
        order = 2 if "''" in ode else 1
        check = check_explicit(_read(ode), s.expression, "x", "y", order, general=False)
        assert check.agrees and s.status in ("verified", "sampled")


def test_linear_equations_have_no_more() -> None:
    for ode in ("y' = x*y + 1", "y'' + y = x", "y' = abs(x)", "x*y' = 2*y"):
        result = _solve(ode)
        assert result.verified and not result.others and not result.singular and not result.note


def test_zeros_of_circular_functions_repeat() -> None:
    result = _solve("y' = sin(2*y)")
    assert result.singular and "repeat" in result.note


def test_the_command_prints_them(capsys) -> None:
    assert main(["symbolic", "dsolve", "y*y' = -x", "--timeout", "30"]) == 0
    out = capsys.readouterr()
    assert "another branch: -sqrt(2*c1 - x**2)" in out.out and "left out" in out.err
    assert main(["symbolic", "dsolve", "y' = y^2", "--timeout", "30", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert [s["expr"] for s in row["singular"]] == ["0"] and row["others"] == []
    assert row["singular"][0]["status"] == "verified"


@pytest.mark.parametrize(
    ("ode", "answer", "status", "holds"),
    [
        ("y' = 3*y^(2/3)", "(x + c1)^3", "sampled", "only where y > 0"),
        ("y' = abs(y)", "c1*exp(x)", "sampled", "only where y > 0"),
        ("y' = sqrt(1 - y^2)", "sin(x + c1)", "sampled", "only where y' > 0"),
        ("y' = x*sqrt(y)", "(x^2/4 + c1)^2", "sampled", "only where x*y' > 0"),
        ("y' = sqrt(a^2)*y", "c1*exp(a*x)", "sampled", "only where a > 0"),
        ("y'^2 = 4*y", "(x + c1)^2", "verified", "everywhere it is defined"),
        ("y' = x*y", "c1*exp(x^2/2) + c1/10^12", "unverified", ""),
        ("y' = y", "c1*exp(x) + 10^(-15)*x*c1", "unverified", ""),
        ("y' = 2*abs(x)", "x^2 + c1", "sampled", "only where x > 0"),
    ],
)  # fmt: skip
def test_where_an_explicit_solution_holds(ode: str, answer: str, status: str, holds: str) -> None:
    outcome = check_explicit(_read(ode), parse(answer), "x", "y", 1)
    assert outcome.status == status
    assert outcome.holds.replace("y'*x", "x*y'") == holds


@pytest.mark.parametrize(
    ("ode", "relation", "status", "part"),
    [
        ("y' = abs(y)", "2*log(2*abs(y) + 2*y) - log(abs(y)) - x", "sampled", "only where y > 0"),
        ("y' = abs(y)", "log(y) - x", "sampled", "only where y > 0"),
        ("y' = abs(x)*y", "2*log(y) - x^2", "sampled", "only where x > 0"),
        ("y' = y/abs(y)", "abs(y) - x", "verified", ""),
        ("y' = y/x", "log(y) - log(x)", "verified", ""),
        ("2*x*y + (x^2 + 3*y^2)*y' = 0", "x^2*y + y^3 + x/10^9", "unverified", ""),
        ("y' = sqrt(y)", "2*sqrt(y) - x", "verified", ""),
    ],
)  # fmt: skip
def test_implicit_solutions_are_looked_at_in_all_quadrants(ode, relation, status, part) -> None:
    outcome = check_implicit(_read(ode), parse(relation), "x", "y")
    assert outcome.status == status and part in outcome.holds
    assert bool(part) == ("only" in outcome.holds)


def _numbers(e: ex.Expr) -> set[ex.Expr]:
    """Irrational numbers: exp(1), log(2), sqrt(3), sin(7/5)."""
    plain = ("num", "add", "mul", "pi", "I")
    return {n for n in ex.subtrees(e) if not n.free and n.op not in plain}


def test_no_number_of_a_sample_point_stays() -> None:
    """Solutions of random separable equations contain no numbers but those of the equation."""
    rng = random.Random(8)
    of_y = ("sin(y)", "log(y^2)", "y*log(abs(y))", "exp(y)", "cos(y)^2", "(1+y^2)", "tan(y)",
            "sqrt(y)", "y^3", "sinh(y)", "exp(-y)*y", "(y^2+y)", "1/log(y)")  # fmt: skip
    of_x = ("x", "exp(x)", "sin(x)", "1", "(x^2+1)", "cos(2*x)", "1/x", "log(x)", "exp(-3*x)")
    for g in of_y:
        F = _read(f"({rng.choice(of_x)})*{g}*{rng.choice(('1', '2', '1/3'))}")
        solutions = list(separable(F, Context("x", "y", now() + 20)))
        assert solutions, g
        for _, answer, _ in solutions:
            assert _numbers(answer) <= _numbers(F) | {ex.sqrt(ex.number(2))}, (str(F), str(answer))


def test_factors_are_told_apart() -> None:
    for text in ("sin(y)*exp(x)", "exp(x + y)", "exp(x - y)*cos(x)", "x*y + x", "2^(x + y)",
                 "sin(x + y) + sin(x - y)", "x^2*(y^2 + 1)/(1 - x)", "log(y^2)"):  # fmt: skip
        F = parse(text)
        factors = separate_variables(F, "x", "y")
        assert factors is not None, text
        g, h = factors
        assert "y" not in g.free and "x" not in h.free and numerically_equal(g * h, F)
        assert not introduces_numbers(g, F) and not introduces_numbers(h, F)
    assert separate_variables(parse("x + y"), "x", "y") is None
    assert separate_variables(parse("sin(x*y)"), "x", "y") is None


def test_freezing_leaves_no_number_behind() -> None:
    c = Context("x", "y", now() + 10)
    hidden = parse("sin(y)*(sin(x)^2 + cos(x)^2)")
    out = without_symbol(hidden, c, "x")
    assert out is parse("sin(y)")
    assert without_symbol(parse("sin(x)*y"), c, "x") is None


@pytest.mark.parametrize("ode", ["y' = sin(y)", "y' = y^2*x", "y'' + 4*y = exp(x)"])
def test_names_do_not_matter(ode: str) -> None:
    first = _solve(ode)
    table = str.maketrans({"x": "t", "y": "u"})
    text = ode.replace("exp", "EXP").translate(table).replace("EXP", "exp")
    second = _solve(text, function="u", variable="t")
    assert second.expression is not None and first.expression is not None
    names = {ex.symbol("t"): ex.symbol("x"), ex.symbol("u"): ex.symbol("y")}
    assert numerically_equal(ex.substitute(second.expression, names), first.expression)
    assert len(second.singular) == len(first.singular)


def test_readings_of_derivatives() -> None:
    second = _read("y'' + y")
    for text in ("d^2y/dx^2 + y = 0", "d2y/dx2 + y", r"\ddot y + y", r"\frac{d^2}{dx^2}y + y",
                 r"y^{(2)} + y", r"\frac{d^{2}}{d x^{2}} y{\left(x \right)} + y"):  # fmt: skip
        assert _read(text) is second
    for text in (r"\frac{dy}{dt} = y", "y' = y; y(0) = 1", "y(0) = 1", r"y\,dx + x\,dy = 0"):
        with pytest.raises(Exception, match="character"):
            _read(text)


def test_sympy_gets_them_in_its_own_symbols() -> None:
    import sympy as sp

    t, u = sp.Symbol("t", positive=True), sp.Function("u")
    result = dsolve(u(t).diff(t) ** 2 - 4 * u(t), timeout=30, sympy=False)
    assert result.expr.free_symbols == {t, sp.Symbol("C1")}
    assert [s.expr for s in result.singular] == [0]
    round_ = dsolve(u(t) * u(t).diff(t) + t, timeout=30, sympy=False)
    assert sp.simplify(round_.others[0].expr + round_.expr) == 0


def _slope(f, x):
    import mpmath

    h = mpmath.mpf(10) ** -18
    return (f(x + h) - f(x - h)) / (2 * h)


@pytest.mark.slow
def test_random_equations_by_differences() -> None:
    """No answer is refuted by central differences of sixty digits, by another evaluation."""
    import mpmath

    from sciml.symbolic.expr.evaluate import evaluate
    from sciml.symbolic.expr.wire import load
    from sciml.symbolic.jobs import DsolveJob
    from sciml.symbolic.ode.solver import solve_job

    rng = random.Random(11)
    of_x = ("x", "1", "x^2", "sin(x)", "exp(x)", "1/x", "sqrt(x)", "abs(x)", "log(x)")
    of_y = ("y", "y^2", "sqrt(y)", "abs(y)", "exp(y)", "sin(y)", "1/y", "(y-1)", "(y^2+1)",
            "log(y)", "y^(2/3)", "sign(y)", "sqrt(1-y^2)", "abs(y-2)")  # fmt: skip
    looked_at = 0
    for turn in range(40):
        g, h = rng.choice(of_x), rng.choice(of_y)
        text = (f"y' = {g}*{h}", f"y'^2 = {g}*{h}", f"y*y' = {g}*{h}")[turn % 3]
        residual = _read(text)
        reply = solve_job(DsolveJob(residual, timeout=6, sympy=False), lambda message: None)
        solutions = [reply] if reply.get("answer") else []
        solutions += [*reply.get("others", ()), *reply.get("singular", ())]
        for solution in solutions:
            answer = load(solution["answer"])
            if solution["kind"] != "explicit" or "only" in solution["holds"]:
                continue
            for _ in range(20):
                c = rng.uniform(-3, 3)

                def value(x, answer=answer, c=c):
                    point = {"x": x, "c1": c}
                    return evaluate(answer, {n: point[n] for n in answer.free}, "mpmath")

                with mpmath.workdps(60):
                    x = mpmath.mpf(rng.uniform(-3, 3))
                    try:
                        point = {"x": x, "y": value(x), "y'": _slope(value, x)}
                        parts = [evaluate(t, {n: point[n] for n in t.free}, "mpmath")
                                 for t in residual.args]  # fmt: skip
                    except (ValueError, ZeroDivisionError):
                        continue
                    size = sum(abs(p) for p in parts)
                    if not mpmath.isfinite(size) or any(abs(p.imag) > 1e-12 for p in parts):
                        continue
                    assert abs(sum(parts)) <= 1e-9 * size + 1e-20, (text, str(answer), point)
                    looked_at += 1
    assert looked_at > 300


@pytest.mark.parametrize(
    ("ode", "answer", "kink"),
    [
        ("y'' + y = abs(x)", "c1*sin(x) + c2*cos(x) + abs(x)", "x"),
        ("y'' = abs(x)", "abs(x)*x^2/6 + c1*x + c2", ""),
        ("y' = sign(x)", "abs(x) + c1", ""),
        ("y' = abs(sin(x))", "c1 - cos(x)*sign(sin(x))", "sin(x)"),
        ("y' + y = sign(x)", "c1*exp(-x) + sign(x)", "x"),
    ],
)
def test_a_solution_that_jumps_is_two(ode: str, answer: str, kink: str) -> None:
    order = 2 if "''" in ode else 1
    outcome = check_explicit(_read(ode), parse(answer), "x", "y", order)
    assert outcome.agrees
    assert ("either side" in outcome.holds) == bool(
        kink
    ) and f"{kink} = 0" in outcome.holds + " = 0"


def test_envelopes_of_roots_and_plain_numbers() -> None:
    circle = _solve("y = x*y' + sqrt(1 + y'^2)")
    assert any(
        numerically_equal(s.expression, parse("sqrt(1 - x^2)"))
        or numerically_equal(s.expression**2, parse("1 - x^2"))
        for s in circle.singular
    )
    zeros = _solve("y' = sin(y)^2").singular
    assert {str(s.expression) for s in zeros} >= {"0", "pi"}


def test_numbers_written_plainly() -> None:
    from sciml.symbolic.ode.singular_solutions import plain_number

    assert plain_number(parse("acos(-1)")) is ex.PI
    assert plain_number(parse("sin(pi/6)")) is ex.HALF
    for text in ("exp(2)", "tan(pi/2)*0 + 1/sin(pi/7)", "atanh(1)", "x"):
        assert plain_number(parse(text)) is parse(text)
