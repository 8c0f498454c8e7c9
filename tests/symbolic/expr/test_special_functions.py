"""Special functions of one and more arguments, against mpmath as an independent judge."""

from __future__ import annotations

import mpmath as mp
import pytest

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import from_sympy, latex, to_sympy
from sciml.symbolic.expr.wire import dump, load

X = ex.symbol("x")
VALUES = {
    ("elliptic_k", "2/5"): mp.ellipk, ("elliptic_f", "3/4 2/5"): mp.ellipf,
    ("elliptic_e", "2/5"): mp.ellipe, ("elliptic_e", "3/4 2/5"): mp.ellipe,
    ("elliptic_pi", "1/3 2/5"): mp.ellippi, ("elliptic_pi", "-1/3 3/4 2/5"): mp.ellippi,
    ("carlson_rf", "1/3 1/2 2"): mp.elliprf, ("carlson_rc", "1/3 1/2"): mp.elliprc,
    ("carlson_rd", "1/3 1/2 2"): mp.elliprd, ("carlson_rj", "1/3 1/2 2 3"): mp.elliprj,
    ("hyp2f1", "1/3 1/2 5/3 -2"): mp.hyp2f1, ("hyp1f1", "1/3 1/2 -2"): mp.hyp1f1,
    ("hyp2f1", "1/3 1/2 4/3 -2"): mp.hyp2f1, ("hyp1f1", "1/3 4/3 -2"): mp.hyp1f1,
    ("appellf1", "1/3 1/2 -1/4 4/3 -1/5 3/7"): mp.appellf1, ("gamma", "7/3"): mp.gamma,
    ("loggamma", "7/3"): mp.loggamma, ("digamma", "7/3"): mp.digamma,
    ("polygamma", "2 7/3"): mp.polygamma, ("uppergamma", "1/3 7/3"): mp.gammainc,
    ("lowergamma", "1/3 7/3"): lambda s, z: mp.gammainc(s, 0, z),
    ("beta_lower", "1/3 1/2 2/5"): lambda a, b, z: mp.betainc(a, b, 0, z),
    ("expint", "2 7/3"): mp.expint, ("polylog", "3 2/5"): mp.polylog, ("zeta", "7/3"): mp.zeta,
    ("zeta", "7/3 1/2"): mp.zeta, ("LambertW", "7/3"): mp.lambertw,
    ("LambertW", "-1/5 -1"): lambda z, k: mp.lambertw(z, int(k)),
    ("besselj", "1/3 7/3"): mp.besselj, ("bessely", "1/3 7/3"): mp.bessely,
    ("besseli", "1/3 7/3"): mp.besseli, ("besselk", "1/3 7/3"): mp.besselk,
    ("airyai", "7/3"): mp.airyai, ("airybi", "7/3"): mp.airybi,
    ("airyaiprime", "7/3"): lambda z: mp.airyai(z, derivative=1),
    ("airybiprime", "7/3"): lambda z: mp.airybi(z, derivative=1),
}  # fmt: skip


def test_every_function_is_tried() -> None:
    tried = {(name, len(text.split())) for name, text in VALUES}
    assert tried == {(name, n) for name, counts in ex.SPECIAL.items() for n in counts}


@pytest.mark.parametrize(("name", "text"), VALUES, ids=str)
def test_values_and_derivatives(name: str, text: str) -> None:
    """Values to 1e-12; the derivative by each argument that has one, by differences of mpmath."""
    arguments = [parse(word) for word in text.split()]
    reference = VALUES[name, text]
    with mp.workdps(40):
        numbers = [mp.mpf(a.value.numerator) / a.value.denominator for a in arguments]
        value = complex(evaluate(ex.call(name, *arguments), {}))
        assert abs(value - complex(reference(*numbers))) < 1e-12 * (1 + abs(value))
        for i in range(len(arguments)):
            call = ex.call(name, *arguments[:i], X, *arguments[i + 1 :])
            try:
                slope = complex(evaluate(call.diff("x"), {"x": float(numbers[i])}))
            except ex.Undefined:
                assert i < len(arguments) - 1 or name in ("zeta", "LambertW")
                continue
            h = mp.mpf(10) ** -12
            ends = [
                reference(*numbers[:i], numbers[i] + side * h, *numbers[i + 1 :])
                for side in (1, -1)
            ]
            expected = complex((ends[0] - ends[1]) / (2 * h))
            assert abs(slope - expected) < 1e-9 * (1 + abs(expected))


@pytest.mark.parametrize(("name", "text"), VALUES, ids=str)
def test_written_and_read_again(name: str, text: str) -> None:
    """Infix text, LaTeX, SymPy and JSON give the same call again."""
    e = ex.call(name, *(parse(word) for word in text.split()[:-1]), X) + X
    assert parse(str(e)) is e
    assert load(dump(e)) is e
    assert parse(latex(e)) is e
    if (name, text.split()[0]) != ("hyp1f1", "1/3") and name != "LambertW":  # SymPy rewrites these
        assert from_sympy(to_sympy(e)) is e or name in (
            "uppergamma",
            "beta_lower",
            "expint",
            "appellf1",
        )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("EllipticF[x, 1/3]", "elliptic_f(x, 1/3)"),
        ("EllipticF(x, k)", "elliptic_f(asin(x), k^2)"),
        ("EllipticPi[n, x, m] + EllipticK[m]", "elliptic_pi(n, x, m) + elliptic_k(m)"),
        ("Hypergeometric2F1[1/2, 1, 3/2, x]", "hyper([1, 1/2], [3/2], x)"),
        ("hypergeom([1/2], [3/2], x)", "hyp1f1(1/2, 3/2, x)"),
        ("Gamma[1/3, x]", "uppergamma(1/3, x)"),
        ("GAMMA(1/3, x)", r"\Gamma\left(\frac{1}{3}, x\right)"),
        ("ProductLog[-1, x]", "LambertW(x, -1)"),
        ("PolyLog[2, x]", "dilog(x)"),
        ("BesselJ[n, x]", r"J_{n}(x)"),
        (r"\operatorname{Li}_{3}(x)", "polylog(3, x)"),
        (r"F\left(x \middle| m\right)", "elliptic_f(x, m)"),
        ("erfc(x)", "1 - erf(x)"),
        ("elliptic_f(-x, m)", "-elliptic_f(x, m)"),
        ("gamma(5) + elliptic_e(0, m)", "24"),
        ("gamma*x + beta", "beta + x*gamma"),
    ],
)
def test_names_of_other_systems(text: str, same: str) -> None:
    assert parse(text) is parse(same)


@pytest.mark.parametrize(
    "text", ["elliptic_f(x)", "hyper(1, 2, 3)", "polylog(2, x", "hyper([1, 2], [3, 4], x)",
             "beta(x)", r"F(x)\cdot", r"\gamma\cdot F(x)"]
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)


def test_poles_are_refused_and_parameters_have_no_derivative() -> None:
    with pytest.raises(InputError):
        parse("gamma(-2)")
    with pytest.raises(ex.Undefined):
        parse("besselj(x, 2)").diff("x")
