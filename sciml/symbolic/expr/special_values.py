"""Special functions in ball arithmetic (Arb): an enclosure of the value at every argument.

Source: F. Johansson, "Computing hypergeometric functions rigorously" (2019) and "Numerical
evaluation of elliptic functions, elliptic integrals and modular forms" (2019), as in Arb.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MAX_TERMS = 400


def _elliptic_e(*a: Any) -> Any:
    return a[0].elliptic_e() if len(a) == 1 else _acb().elliptic_e_inc(*a)


def _elliptic_pi(*a: Any) -> Any:
    return _acb().elliptic_pi(*a) if len(a) == 2 else _acb().elliptic_pi_inc(*a)


def _lambert(z: Any, branch: Any = None) -> Any:
    if branch is None:
        return z.lambertw()
    k = branch.real.unique_fmpz()
    if k is None or branch.imag != 0:
        return _acb()("nan")
    return z.lambertw(int(k))


def _acb() -> Any:
    from flint import acb

    return acb


def _appell(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> Any:
    """F1 with d = a + 1, Re a > 0, by a * integral of t**(a - 1) (1 - x t)**-b (1 - y t)**-c from 0
    to 1; not finite for anything else.

    Near 0 the power series is used, whose remainder is bounded by Cauchy's estimate; the rest is
    Arb's integral.
    """
    from flint import acb, acb_series, arb, ctx

    nan = acb("nan")
    if not (abs(d - a - 1) < arb(2) ** (12 - ctx.prec) and a.real > 0):  # of rounded arguments
        return nan
    size = max(float(abs(x).upper()), float(abs(y).upper()), 1.0)
    if not size < 1e12:
        return nan
    radius = arb(1) / (4 * arb(size).upper() + 1)  # the series converges to twice this and beyond
    step, order = radius / 4, min(_MAX_TERMS, ctx.prec // 2 + 8)
    if any(not (u.imag.contains(0) is False or u.real < 1) for u in (x, y)):
        return nan  # a branch point lies on the path
    cap, ctx.cap = ctx.cap, order
    try:
        t = acb_series([0, 1], prec=order)
        logs = -b * (1 - x * t).log() - c * (1 - y * t).log()
        series = logs.exp()
        total = acb(0)
        for k in range(order):
            total += series[k] * (acb(step) ** (a + k)) / (a + k)
    finally:
        ctx.cap = cap
    bound = (arb(4) / 3).log() * (abs(b) + abs(c)) + (abs(b) + abs(c)) * arb.pi()
    tail = bound.exp() * arb(1) / 4**order * abs(acb(step) ** a) * 2
    total += acb(arb(0, tail.upper()), arb(0, tail.upper()))

    def integrand(s: Any, analytic: bool) -> Any:
        u, v = 1 - x * s, 1 - y * s
        return ((a - 1) * s.log(analytic=analytic) - b * u.log(analytic=analytic)
                - c * v.log(analytic=analytic)).exp()  # fmt: skip

    return a * (total + acb.integral(integrand, acb(step), acb(1)))


SPECIAL_BALLS: dict[str, Callable[..., Any]] = {
    "elliptic_k": lambda m: m.elliptic_k(),
    "elliptic_f": lambda phi, m: _acb().elliptic_f(phi, m),
    "elliptic_e": _elliptic_e,
    "elliptic_pi": _elliptic_pi,
    "carlson_rf": lambda x, y, z: _acb().elliptic_rf(x, y, z),
    "carlson_rc": lambda x, y: _acb().elliptic_rc(x, y),
    "carlson_rd": lambda x, y, z: _acb().elliptic_rd(x, y, z),
    "carlson_rj": lambda x, y, z, p: _acb().elliptic_rj(x, y, z, p),
    "hyp2f1": lambda a, b, c, z: z.hypgeom_2f1(a, b, c),
    "hyp1f1": lambda a, b, z: z.hypgeom_1f1(a, b),
    "appellf1": _appell,
    "gamma": lambda z: z.gamma(),
    "loggamma": lambda z: z.lgamma(),
    "digamma": lambda z: z.digamma(),
    "polygamma": lambda n, z: z.polygamma(n),
    "uppergamma": lambda s, z: z.gamma_upper(s),
    "lowergamma": lambda s, z: z.gamma_lower(s),
    "beta_lower": lambda a, b, z: z.beta_lower(a, b),
    "expint": lambda n, z: z.expint(n),
    "polylog": lambda s, z: z.polylog(s),
    "zeta": lambda s, *a: s.zeta(*a),
    "LambertW": _lambert,
    "besselj": lambda nu, z: z.bessel_j(nu),
    "bessely": lambda nu, z: z.bessel_y(nu),
    "besseli": lambda nu, z: z.bessel_i(nu),
    "besselk": lambda nu, z: z.bessel_k(nu),
    "airyai": lambda z: z.airy_ai(),
    "airybi": lambda z: z.airy_bi(),
    "airyaiprime": lambda z: z.airy_ai(derivative=1),
    "airybiprime": lambda z: z.airy_bi(derivative=1),
}
"""The functions of `expression.SPECIAL`: balls to a ball."""
