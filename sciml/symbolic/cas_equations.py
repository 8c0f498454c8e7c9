"""Differential equations by other computer algebra systems (`cas`), for comparisons only."""

from __future__ import annotations

import re
from collections.abc import Callable

from sciml.errors import InputError
from sciml.symbolic import cas
from sciml.symbolic.algebra.rewriting import invert
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import Unknown, parse

Solution = tuple[str, Expr]
"""("explicit", y) or ("implicit", e) for e(x, y) = c1, as of `ode.solver.Candidate`."""
_FUNCTION = Unknown("y", "x")


def _with_derivatives(residual: Expr, derivative: str, y: str, **names: str) -> str:
    """An equation as text: `derivative` with its order in place of {k}, `y` for the function."""
    text = re.sub(r"\by('*)(?![A-Za-z0-9_'])", lambda m: f"y__{len(m[1])}__", str(residual))
    text = re.sub(r"\b[A-Za-z]+\b", lambda word: names.get(word[0], word[0]), text)
    return re.sub(
        r"y__(\d)__", lambda m: derivative.format(k=m[1]) if m[1] != "0" else y, text
    )  # fmt: skip


def _read(text: str) -> Expr | None:
    try:
        return parse(text, unknown=_FUNCTION)
    except InputError:
        return None


def _top_level(text: str, at: str) -> list[str]:
    """The parts of a text between the characters `at` that stand outside all brackets."""
    depth, parts = 0, [""]
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == at and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def _solution(text: str) -> Solution | None:
    """A solution written as "y = e", as a relation of x, y and c1, or as e alone."""
    sides = _top_level(text, "=")
    if len(sides) > 2:
        return None
    expressions = [_read(side) for side in sides]
    if None in expressions:
        return None
    left, right = expressions[0], expressions[-1]
    assert left is not None and right is not None
    if "y" not in right.free and (len(sides) == 1 or left is ex.symbol("y")):
        return "explicit", right
    if len(sides) == 1:
        return None
    constant = invert(left - right, "c1", ex.ZERO)
    return None if constant is None else ("implicit", constant)


def maxima_solve(residual: Expr, cpu_seconds: float, timeout: float) -> list[Solution]:
    """Maxima's solutions of a differential equation, by ode2, then by contrib_ode."""
    text = _with_derivatives(residual, "'diff(y,x,{k})", "y", **cas.MAXIMA)
    load = (
        f"eq: {text} = 0$\ns: ode2(eq, y, x)$\n"
        'if s = false then (load("contrib_ode"), s: contrib_ode(eq, y, x))$'
    )
    printed = cas.ask_maxima("s", cpu_seconds, timeout, load)
    if printed is None:
        return []
    printed = printed.strip().replace("%c", "c1").replace("%k1", "c1").replace("%k2", "c2")
    several = printed.startswith("[") and printed.endswith("]")
    texts = _top_level(printed[1:-1], ",") if several else [printed]
    return [s for s in map(_solution, texts) if s is not None]


def giac_solve(residual: Expr, cpu_seconds: float, timeout: float) -> list[Solution]:
    """Giac's solutions of a differential equation."""
    text = _with_derivatives(residual, "diff(y,x,{k})", "y", **cas.GIAC)
    printed = cas.ask_giac(f"desolve({text}=0,x,y)", cpu_seconds, timeout)
    if printed is None:
        return []
    printed = re.sub(r"c_(\d)", lambda m: f"c{int(m[1]) + 1}", printed).strip()
    printed = printed.removeprefix("list")
    several = printed.startswith("[") and printed.endswith("]")
    texts = _top_level(printed[1:-1], ",") if several else [printed]
    return [s for s in map(_solution, texts) if s is not None]


def fricas_solve(residual: Expr, cpu_seconds: float, timeout: float) -> list[Solution]:
    """FriCAS's solutions of a differential equation."""
    text = _with_derivatives(residual, "D(y(x),x,{k})", "y(x)", **cas.FRICAS).replace("**", "^")
    texts = cas.ask_fricas(
        ["y := operator 'y", f"s := solve({text} = 0, y, x)",
         "unparse((s.particular)::InputForm)", "[unparse(b::InputForm) for b in s.basis]",
         "unparse(s::InputForm)"],
        cpu_seconds, timeout,
    )  # fmt: skip
    # Messages of lines that do not apply hold quoted signs.
    expressions = [e for text in texts if (e := _read(text)) is not None]
    if not expressions:
        return []
    first, *basis = map(cas.with_our_dilogarithm, expressions)
    if "y" in first.free:  # a first integral
        return [("implicit", first)]
    order = max(len(m) for m in re.findall(r"y('*)", str(residual)))
    terms = [ex.symbol(f"c{k}") * b for k, b in enumerate(basis[:order], 1)]
    return [("explicit", ex.add([first, *terms]))]


EQUATIONS: dict[str, Callable[[Expr, float, float], list[Solution]]] = {
    "Maxima": maxima_solve, "Giac": giac_solve, "FriCAS": fricas_solve,
}  # fmt: skip
"""(residual in x, y, y', ..., CPU seconds, wall-clock seconds) -> solutions."""
