"""Special functions of one and more arguments: their names in other systems, the arguments that
make them simpler.

| call | meaning |
|---|---|
| elliptic_k(m), elliptic_e(m), elliptic_pi(n, m) | complete elliptic integrals, m = k**2 |
| elliptic_f(phi, m), elliptic_e(phi, m), elliptic_pi(n, phi, m) | incomplete ones |
| carlson_rf(x, y, z), carlson_rc(x, y), carlson_rd(x, y, z), carlson_rj(x, y, z, p) | Carlson's |
| hyp2f1(a, b, c, z), hyp1f1(a, b, z), appellf1(a, b, c, d, x, y) | hypergeometric functions |
| gamma(z), loggamma(z), digamma(z), polygamma(n, z) | the gamma function and its derivatives |
| uppergamma(s, z), lowergamma(s, z), expint(n, z) | incomplete gamma functions, E_n(z) |
| beta_lower(a, b, z) | the incomplete beta function, the integral from 0 to z |
| polylog(s, z), zeta(s), zeta(s, a) | polylogarithm, Riemann's and Hurwitz's zeta function |
| LambertW(z), LambertW(z, k) | the branches of the inverse of w exp(w) |
| besselj, bessely, besseli, besselk(nu, z) | Bessel functions |
| airyai, airybi, airyaiprime, airybiprime(z) | Airy functions and their derivatives |

Source: NIST Digital Library of Mathematical Functions, chapters 4, 5, 8-10, 13, 15, 16, 19, 25; the
arguments of elliptic integrals are SymPy's and Mathematica's.
"""

from __future__ import annotations

from fractions import Fraction

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import ONE, SPECIAL, ZERO, Expr

MATHEMATICA = {
    "EllipticK": "elliptic_k", "EllipticF": "elliptic_f", "EllipticE": "elliptic_e",
    "EllipticPi": "elliptic_pi", "CarlsonRF": "carlson_rf", "CarlsonRC": "carlson_rc",
    "CarlsonRD": "carlson_rd", "CarlsonRJ": "carlson_rj", "Hypergeometric2F1": "hyp2f1",
    "Hypergeometric1F1": "hyp1f1", "AppellF1": "appellf1", "LogGamma": "loggamma",
    "PolyLog": "polylog", "Zeta": "zeta", "HurwitzZeta": "zeta", "BesselJ": "besselj",
    "BesselY": "bessely", "BesselI": "besseli", "BesselK": "besselk", "AiryAi": "airyai",
    "AiryBi": "airybi", "AiryAiPrime": "airyaiprime", "AiryBiPrime": "airybiprime",
    "ExpIntegralE": "expint",
}  # fmt: skip
"""Names of the Wolfram Language that stand for calls with the same order of arguments. Gamma,
PolyGamma, Beta and ProductLog depend on their number: see `called`."""
MAPLE = {
    "BesselJ": "besselj", "BesselY": "bessely", "BesselI": "besseli", "BesselK": "besselk",
    "AiryAi": "airyai", "AiryBi": "airybi", "lnGAMMA": "loggamma", "Zeta": "zeta",
}  # fmt: skip
"""Maple's names with the same order of arguments. GAMMA, Psi, LambertW, Elliptic* and hypergeom
are read by `called`."""
SPELLINGS = frozenset((
    *SPECIAL, *MAPLE, *MATHEMATICA, "GAMMA", "Gamma", "Psi", "PolyGamma", "Beta", "ProductLog",
    "erfc", "Erfc", "hyper", "hypergeom", "betainc", "elliprf", "elliprc", "elliprd", "elliprj",
    "lambertw", "factorial", "binomial",
))  # fmt: skip
"""Names before a bracket that `called` reads."""
LATEX = {
    "elliptic_f": "F", "elliptic_e": "E", "elliptic_pi": r"\Pi", "gamma": r"\Gamma",
    "uppergamma": r"\Gamma", "lowergamma": r"\gamma", "zeta": r"\zeta",
    "LambertW": r"\operatorname{W}", "airyai": r"\operatorname{Ai}",
    "airybi": r"\operatorname{Bi}",
}  # fmt: skip
"""How the calls are written in LaTeX, with the arguments in brackets; functions that have no such
form are written with their names."""
LATEX_ORDERED = {
    "polylog": r"\operatorname{Li}", "expint": r"\operatorname{E}", "besselj": "J",
    "bessely": "Y", "besseli": "I", "besselk": "K",
}  # fmt: skip
"""Functions whose first argument is an index in LaTeX."""
BY_LATEX = {
    "F": ("elliptic_f",), "E": ("elliptic_e",), "Pi": ("elliptic_pi",), "zeta": ("zeta",),
    "Gamma": ("gamma", "uppergamma"), "gamma": ("", "lowergamma"), "W": ("LambertW",),
    "Ai": ("airyai",), "Bi": ("airybi",),
}  # fmt: skip
"""The function of a letter or word before a bracket; of one argument and of more, where these are
two."""


def special(name: str, arguments: tuple[Expr, ...]) -> Expr:
    """The call of a special function, in terms of simpler functions where its arguments allow it.

    Raises:
        InputError: for another number of arguments.
    """
    if len(arguments) not in SPECIAL[name]:
        wanted = " or ".join(map(str, SPECIAL[name]))
        raise InputError(f"{name} has {wanted} arguments, got {len(arguments)}")
    out = _simpler(name, arguments)
    return ex._node(name, arguments) if out is None else out


def _simpler(name: str, a: tuple[Expr, ...]) -> Expr | None:
    """A simpler form of a call; None where there is none."""
    last = a[-1]
    if name in ("elliptic_f", "elliptic_e", "elliptic_pi") and len(a) > 1 + (name[-2:] == "pi"):
        phi = a[-2]
        if phi is ZERO:
            return ZERO
        if ex.negative(phi):
            return -special(name, (*a[:-2], -phi, last))
        if name == "elliptic_pi" and a[0] is ZERO:
            return special("elliptic_f", a[1:])
        if name != "elliptic_pi" and last is ZERO:
            return phi
    elif name in ("hyp2f1", "hyp1f1"):
        if last is ZERO or ZERO in a[: len(a) - 2]:
            return ONE
        if name == "hyp2f1" and a[2] in a[:2]:
            return ex.power(1 - last, -(a[1] if a[0] is a[2] else a[0]))
        if name == "hyp2f1" and last is ONE and all(v.op == "num" for v in a):
            return _gauss(*(v.value for v in a[:3]))
        if name == "hyp2f1" and ex._order(a[0]) > ex._order(a[1]):
            return special(name, (a[1], a[0], *a[2:]))
        if name == "hyp1f1" and a[0] is a[1]:
            return ex.call("exp", last)
    elif name == "polylog":
        if last is ZERO:
            return ZERO
        order = {2: "dilog", 1: "log", 0: "rational"}.get(a[0].value if a[0].op == "num" else -1)
        if order == "dilog":
            return ex.call("dilog", last)
        if order == "log":
            return -ex.call("log", 1 - last)
        return last / (1 - last) if order else None
    elif name in ("uppergamma", "lowergamma") and a[0] is ONE:
        return ex.call("exp", -last) if name == "uppergamma" else 1 - ex.call("exp", -last)
    elif name == "gamma" and last.op == "num" and last.value.denominator == 1:
        return _factorial(int(last.value) - 1)
    elif name == "polygamma" and a[0] is ZERO:
        return special("digamma", a[1:])
    elif name in ("zeta", "LambertW") and len(a) == 2 and last is (ONE if name == "zeta" else ZERO):
        return special(name, a[:1])
    elif name in ("LambertW", "beta_lower") and last is ZERO and len(a) in (1, 3):
        return ZERO
    return None


def _gauss(a: Fraction, b: Fraction, c: Fraction) -> Expr | None:
    """2F1(a, b; c; 1) (DLMF 15.4.20)."""
    values = c, c - a - b, c - a, c - b
    if c - a - b <= 0 or any(v <= 0 and v.denominator == 1 for v in values):
        return None
    g = [special("gamma", (ex.number(v),)) for v in values]
    return g[0] * g[1] / g[2] / g[3]


def _factorial(n: int) -> Expr | None:
    if n < 0:
        raise ex.Undefined("the gamma function has a pole")
    if n > 300:
        return None
    out = 1
    for k in range(2, n + 1):
        out *= k
    return ex.number(out)


def hypergeometric(above: list[Expr], below: list[Expr], z: Expr) -> Expr:
    """pFq with its parameters in lists.

    Raises:
        InputError: unless it is 2F1, 1F1, 1F0 or 0F0.
    """
    counts = len(above), len(below)
    if counts == (2, 1):
        return special("hyp2f1", (*above, *below, z))
    if counts == (1, 1):
        return special("hyp1f1", (*above, *below, z))
    if counts == (1, 0):
        return ex.power(1 - z, -above[0])
    if counts == (0, 0):
        return ex.call("exp", z)
    raise InputError(f"the hypergeometric function {counts[0]}F{counts[1]} is not known here",
                     hint="2F1 and 1F1 are.")  # fmt: skip


def called(word: str, a: list[Expr], system: str = "") -> Expr:
    """A special function as it is written in text: in this package's and SymPy's way, in
    Mathematica's or in Maple's.

    Args:
        word: the name.
        a: its arguments.
        system: "mathematica" where the text is in Mathematica's form.

    Raises:
        InputError: for another number of arguments.
    """
    n = len(a)
    if word in SPECIAL:
        return special(word, tuple(a))
    if word in ("erfc", "Erfc") and n == 1:
        return 1 - ex.call("erf", a[0])
    if word in ("GAMMA", "Gamma") and n in (1, 2):
        return special("gamma" if n == 1 else "uppergamma", tuple(a))
    if word in ("Psi", "PolyGamma") and n in (1, 2):
        return special("digamma" if n == 1 else "polygamma", tuple(a))
    if word == "factorial" and n == 1:
        return special("gamma", (a[0] + 1,))
    if word == "binomial" and n == 2:
        g = [special("gamma", (u + 1,)) for u in (a[0], a[1], a[0] - a[1])]
        return g[0] / g[1] / g[2]
    if word == "Beta" and n in (2, 3):  # Mathematica's Beta[z, a, b] is incomplete
        if n == 3:
            return special("beta_lower", (a[1], a[2], a[0]))
        g = [special("gamma", (u,)) for u in (*a, a[0] + a[1])]
        return g[0] * g[1] / g[2]
    if word in ("ProductLog", "lambertw") and n in (1, 2):
        return special("LambertW", tuple(reversed(a)) if word == "ProductLog" else tuple(a))
    if word == "EllipticF" and system != "mathematica" and n == 2:  # Maple's, of sine and modulus
        return special("elliptic_f", (ex.call("asin", a[0]), a[1] ** 2))
    if word == "EllipticE" and system != "mathematica" and n in (1, 2):
        sine = [ex.call("asin", a[0])] if n == 2 else []
        return special("elliptic_e", (*sine, a[-1] ** 2))
    if word == "EllipticK" and n == 1:
        return special("elliptic_k", (a[0] if system == "mathematica" else a[0] ** 2,))
    if word == "EllipticPi" and system != "mathematica" and n in (2, 3):  # Maple's (z, nu, k)
        if n == 2:
            return special("elliptic_pi", (a[0], a[1] ** 2))
        return special("elliptic_pi", (a[1], ex.call("asin", a[0]), a[2] ** 2))
    if word in MATHEMATICA:
        return special(MATHEMATICA[word], tuple(a))
    if word in MAPLE:
        return special(MAPLE[word], tuple(a))
    if word == "betainc" and n == 4:
        return special("beta_lower", (a[0], a[1], a[3])) - special("beta_lower", tuple(a[:3]))
    carlson = {"elliprf": "carlson_rf", "elliprc": "carlson_rc", "elliprd": "carlson_rd",
               "elliprj": "carlson_rj"}.get(word)  # fmt: skip
    if carlson:
        return special(carlson, tuple(a))
    raise InputError(f"{word} has another number of arguments than {n}")
