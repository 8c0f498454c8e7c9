"""Derivatives of special functions by their arguments.

Where a hypergeometric function has c = a + 1, its derivative is written by the function itself and
elementary functions, so that the derivative of z**a F(a, b; a + 1; z) is elementary.

Source: NIST Digital Library of Mathematical Functions, sections 8.8, 9.2, 10.6, 10.29, 13.3, 15.5,
16.15, 19.4, 19.18, 25.11, 25.12, 4.13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from sciml.symbolic.expr.expression import (  # fmt: skip
    HALF,
    ONE,
    Expr,
    add,
    call,
    mul,
    number,
    power,
    sqrt,
)
from sciml.symbolic.expr.rational import Undefined

_Partial = Callable[..., Expr]


def special_derivative(e: Expr, slopes: Mapping[Expr, Expr]) -> Expr:
    """The derivative of a call of a special function.

    Args:
        e: the call.
        slopes: the derivatives of those arguments that depend on the variable.

    Raises:
        Undefined: where the derivative by an argument is no function of this package.
    """
    if e.op == "appellf1":
        return _appell(e, slopes)
    partials = _PARTIALS[e.op]
    if len(e.args) == 2 and e.op == "elliptic_pi" or len(e.args) == 1 and e.op == "elliptic_e":
        partials = _COMPLETE[e.op]
    terms = []
    for i, argument in enumerate(e.args):
        if argument not in slopes:
            continue
        partial = partials[i] if i < len(partials) else None
        if partial is None:
            raise Undefined(f"the derivative of {e.op} by its argument {i + 1}")
        terms.append(mul((partial(*e.args), slopes[argument])))
    return add(terms)


def _appell(e: Expr, slopes: Mapping[Expr, Expr]) -> Expr:
    """F1(a; b, c; d; x, y): with d = a + 1 and proportional x, y from its integral."""
    a, b, c, d, x, y = e.args
    if any(u in slopes for u in (a, b, c, d)):
        raise Undefined("the derivative of appellf1 by a parameter")
    if d - a is ONE and x in slopes and y in slopes and _proportional(x, y, slopes):
        ratio = mul((slopes[x], power(x, number(-1))))
        return a * ratio * (power(1 - x, -b) * power(1 - y, -c) - e)
    terms = []
    for u, v, up in ((x, b, (1, 0)), (y, c, (0, 1))):
        if u in slopes:
            shifted = call("appellf1", a + 1, b + up[0], c + up[1], d + 1, x, y)
            terms.append(a * v / d * shifted * slopes[u])
    return add(terms)


def _proportional(x: Expr, y: Expr, slopes: Mapping[Expr, Expr]) -> bool:
    quotients = [mul((slopes[u], power(u, number(-1)))) for u in (x, y)]
    return quotients[0] is quotients[1]


def _sine_squared(phi: Expr) -> Expr:
    """sin(phi)**2; of inverse functions in closed form."""
    if phi.op == "asin":
        return phi.args[0] ** 2
    if phi.op == "acos":
        return 1 - phi.args[0] ** 2
    if phi.op == "atan":
        return phi.args[0] ** 2 / (1 + phi.args[0] ** 2)
    return call("sin", phi) ** 2


def _delta(phi: Expr, m: Expr) -> Expr:
    return sqrt(1 - m * _sine_squared(phi))


def _f_by_m(phi: Expr, m: Expr) -> Expr:
    f, e = call("elliptic_f", phi, m), call("elliptic_e", phi, m)
    corner = call("sin", 2 * phi) / (4 * (1 - m) * _delta(phi, m))
    return e / (2 * m * (1 - m)) - f / (2 * m) - corner


def _pi_by_n(n: Expr, phi: Expr, m: Expr) -> Expr:
    f, e = call("elliptic_f", phi, m), call("elliptic_e", phi, m)
    corner = n * _delta(phi, m) * call("sin", 2 * phi) / (2 * (1 - n * _sine_squared(phi)))
    inside = e + (m - n) / n * f + (n**2 - m) / n * call("elliptic_pi", n, phi, m) - corner
    return inside / (2 * (m - n) * (n - 1))


def _pi_by_m(n: Expr, phi: Expr, m: Expr) -> Expr:
    corner = m * call("sin", 2 * phi) / (2 * (m - 1) * _delta(phi, m))
    inside = call("elliptic_e", phi, m) / (m - 1) + call("elliptic_pi", n, phi, m) - corner
    return inside / (2 * (n - m))


def _hyp2f1_by_z(a: Expr, b: Expr, c: Expr, z: Expr) -> Expr:
    own = call("hyp2f1", a, b, c, z)
    for u, v in ((a, b), (b, a)):
        if c - u is ONE:
            return u / z * (power(1 - z, -v) - own)
    return a * b / c * call("hyp2f1", a + 1, b + 1, c + 1, z)


def _hyp1f1_by_z(a: Expr, b: Expr, z: Expr) -> Expr:
    if b - a is ONE:
        return a / z * (call("exp", z) - call("hyp1f1", a, b, z))
    return a / b * call("hyp1f1", a + 1, b + 1, z)


def _rf_by(i: int) -> _Partial:
    def partial(*a: Expr) -> Expr:
        others = [u for k, u in enumerate(a) if k != i]
        return number(Fraction(-1, 6)) * call("carlson_rd", *others, a[i])

    return partial


def _rd_by_x(x: Expr, y: Expr, z: Expr) -> Expr:
    return (call("carlson_rd", x, y, z) - call("carlson_rd", y, z, x)) / (2 * (z - x))


def _rd_by_y(x: Expr, y: Expr, z: Expr) -> Expr:
    return (call("carlson_rd", x, y, z) - call("carlson_rd", x, z, y)) / (2 * (z - y))


def _rd_by_z(x: Expr, y: Expr, z: Expr) -> Expr:
    rest = x * _rd_by_x(x, y, z) + y * _rd_by_y(x, y, z)
    return (number(Fraction(-3, 2)) * call("carlson_rd", x, y, z) - rest) / z


def _rj_by(i: int) -> _Partial:
    def partial(x: Expr, y: Expr, z: Expr, p: Expr) -> Expr:
        a = (x, y, z)
        others = [u for k, u in enumerate(a) if k != i]
        own = call("carlson_rj", x, y, z, p)
        return (own - call("carlson_rd", *others, a[i])) / (2 * (p - a[i]))

    return partial


def _rj_by_p(x: Expr, y: Expr, z: Expr, p: Expr) -> Expr:
    rest = add([u * _rj_by(i)(x, y, z, p) for i, u in enumerate((x, y, z))])
    return (number(Fraction(-3, 2)) * call("carlson_rj", x, y, z, p) - rest) / p


def _rc_by_x(x: Expr, y: Expr) -> Expr:
    return (call("carlson_rc", x, y) - 1 / sqrt(x)) / (2 * (y - x))


def _rc_by_y(x: Expr, y: Expr) -> Expr:
    return (-HALF * call("carlson_rc", x, y) - x * _rc_by_x(x, y)) / y


def _bessel(name: str, up: int, down: int) -> _Partial:
    return lambda nu, z: HALF * (down * call(name, nu - 1, z) + up * call(name, nu + 1, z))


def _lambert(z: Expr, *branch: Expr) -> Expr:
    w = call("LambertW", z, *branch)
    return w / (z * (1 + w))


_PARTIALS: dict[str, tuple[_Partial | None, ...]] = {
    "elliptic_k": (lambda m: (call("elliptic_e", m) - (1 - m) * call("elliptic_k", m))
                   / (2 * m * (1 - m)),),
    "elliptic_f": (lambda phi, m: 1 / _delta(phi, m), _f_by_m),
    "elliptic_e": (lambda phi, m: _delta(phi, m), lambda phi, m: (
        call("elliptic_e", phi, m) - call("elliptic_f", phi, m)) / (2 * m)),
    "elliptic_pi": (_pi_by_n, lambda n, phi, m: 1 / ((1 - n * _sine_squared(phi))
                                                     * _delta(phi, m)), _pi_by_m),
    "carlson_rf": (_rf_by(0), _rf_by(1), _rf_by(2)),
    "carlson_rc": (_rc_by_x, _rc_by_y),
    "carlson_rd": (_rd_by_x, _rd_by_y, _rd_by_z),
    "carlson_rj": (_rj_by(0), _rj_by(1), _rj_by(2), _rj_by_p),
    "hyp2f1": (None, None, None, _hyp2f1_by_z),
    "hyp1f1": (None, None, _hyp1f1_by_z),
    "gamma": (lambda z: call("gamma", z) * call("digamma", z),),
    "loggamma": (lambda z: call("digamma", z),),
    "digamma": (lambda z: call("polygamma", ONE, z),),
    "polygamma": (None, lambda n, z: call("polygamma", n + 1, z)),
    "uppergamma": (None, lambda s, z: -power(z, s - 1) * call("exp", -z)),
    "lowergamma": (None, lambda s, z: power(z, s - 1) * call("exp", -z)),
    "beta_lower": (None, None, lambda a, b, z: power(z, a - 1) * power(1 - z, b - 1)),
    "expint": (None, lambda n, z: -call("expint", n - 1, z)),
    "polylog": (None, lambda s, z: call("polylog", s - 1, z) / z),
    "zeta": (None, lambda s, a: -s * call("zeta", s + 1, a)),
    "LambertW": (_lambert, None),
    "besselj": (None, _bessel("besselj", -1, 1)),
    "bessely": (None, _bessel("bessely", -1, 1)),
    "besseli": (None, _bessel("besseli", 1, 1)),
    "besselk": (None, _bessel("besselk", -1, -1)),
    "airyai": (lambda z: call("airyaiprime", z),),
    "airybi": (lambda z: call("airybiprime", z),),
    "airyaiprime": (lambda z: z * call("airyai", z),),
    "airybiprime": (lambda z: z * call("airybi", z),),
}  # fmt: skip
"""The derivative by each argument; None where it is no function of this package."""
_COMPLETE: dict[str, tuple[_Partial | None, ...]] = {
    "elliptic_e": (lambda m: (call("elliptic_e", m) - call("elliptic_k", m)) / (2 * m),),
    "elliptic_pi": (
        lambda n, m: (call("elliptic_e", m) + (m - n) / n * call("elliptic_k", m)
                      + (n**2 - m) / n * call("elliptic_pi", n, m)) / (2 * (m - n) * (n - 1)),
        lambda n, m: (call("elliptic_e", m) / (m - 1) + call("elliptic_pi", n, m)) / (2 * (n - m)),
    ),
}  # fmt: skip
