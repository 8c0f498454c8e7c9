"""An integration by hand, step by step: after each step, what is integrated and what is left.

A step is a pair (F, g) with F' + g = f for the integrand f, which is confirmed for every step: so
each step differentiates to the one before. The rules of the steps are those of SymPy's
`manualintegrate`; where these fail, or a step is refuted, the only step is the answer with the name
of its method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.wire import dump
from sciml.symbolic.jobs import StepsJob

MAX_STEPS = 40
_POINTS = (-2.3, -1.1, -0.4, 0.3, 0.7, 1.6, 2.9)
_ERRORS = (ValueError, ArithmeticError, InputError, ex.Undefined, ex.TooLarge, RecursionError,
           TypeError, NotImplementedError, AttributeError, KeyError, IndexError)  # fmt: skip
_WORDS = {
    "ConstantRule": "a constant", "PowerRule": "power rule", "ReciprocalRule": "logarithm",
    "ExpRule": "exponential", "NestedPowRule": "power of a power", "SinRule": "sine",
    "CosRule": "cosine", "SecTanRule": "secant times tangent", "Sec2Rule": "squared secant",
    "Csc2Rule": "squared cosecant", "CscCotRule": "cosecant times cotangent",
    "SinhRule": "hyperbolic sine", "CoshRule": "hyperbolic cosine", "ArctanRule": "arc tangent",
    "ArcsinRule": "arc sine", "ArcsinhRule": "inverse hyperbolic sine",
    "ReciprocalSqrtQuadraticRule": "inverse of the root of a quadratic",
    "SqrtQuadraticRule": "root of a quadratic",
    "SqrtQuadraticDenomRule": "polynomial over the root of a quadratic",
    "TrigSubstitutionRule": "trigonometric substitution", "PolylogRule": "polylogarithm",
}  # fmt: skip


def steps_job(job: StepsJob) -> dict[str, Any]:
    """The message with the steps: text, what is integrated, what is left."""
    only = [(job.method, job.answer, ex.ZERO)]
    try:
        with at_most(job.timeout):
            steps = list(_walk(job.f, job.variable))
    except (TimeUp, *_ERRORS):
        steps = []
    if not steps or not all(_holds(F, g, job.f, job.variable) for _, F, g in steps):
        steps = only
    elif steps[-1][1] is not job.answer:
        steps.append(("written otherwise, up to a constant", job.answer, ex.ZERO))
    return {"status": "verified",
            "steps": [[text, dump(F), dump(g)] for text, F, g in steps]}  # fmt: skip


def _holds(F: Expr, g: Expr, f: Expr, x: str) -> bool:
    """Whether F' + g = f at the real points at which f has a value, in ball arithmetic."""
    from sciml.symbolic.expr.evaluate import Program
    from sciml.symbolic.expr.intervals import precision

    program = Program(F.diff(x) + g, f)
    names = sorted((F.free | f.free | g.free) - {x})
    agreeing = 0
    with precision(120):
        for i, point in enumerate(_POINTS):
            at = {name: 0.6 + 0.35 * k + 0.1 * i for k, name in enumerate(names)}
            try:
                left, right = program.balls({**at, x: point})
            except (ValueError, ArithmeticError):
                continue
            if not (left.is_finite() and right.is_finite()) or not right.imag.contains(0):
                continue
            if not left.overlaps(right):
                return False
            agreeing += 1
    return agreeing >= 2


@dataclass(frozen=True)
class _Pending:
    """A part that is left: coefficient times the integral of a rule's integrand in the variable
    `name`, which is `u` in terms of x."""

    coefficient: Any
    rule: Any
    u: Any


def _walk(f: Expr, x: str) -> list[tuple[str, Expr, Expr]]:
    import sympy as sp
    from sympy.integrals.manualintegrate import integral_steps

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    variable = sp.Symbol(x)
    start = integral_steps(to_sympy(f), variable)
    pending = [_Pending(sp.Integer(1), start, variable)]
    done: Any = sp.Integer(0)
    out: list[tuple[str, Expr, Expr]] = []
    while pending:
        if len(out) > MAX_STEPS:
            return []
        first, *rest = pending
        name = type(first.rule).__name__
        if name == "DontKnowRule":
            return []
        text, gain, following = _applied(first, sp)
        done = done + gain
        pending = [*following, *rest]
        if not text:
            continue
        left: Any = sp.Integer(0)
        for p in pending:
            inner = p.rule.integrand.subs(p.rule.variable, p.u)
            left = left + p.coefficient * inner * sp.diff(p.u, variable)
        out.append((text, from_sympy(sp.sympify(done)), from_sympy(sp.sympify(left))))
    return out


def _applied(p: _Pending, sp: Any) -> tuple[str, Any, list[_Pending]]:
    """(what the step does, what it adds to the integrated part, what it leaves)."""
    rule, name = p.rule, type(p.rule).__name__

    def there(e: Any) -> Any:
        return e.subs(rule.variable, p.u)

    if name == "AlternativeRule":
        shortest = min(rule.alternatives, key=lambda r: len(str(r)))
        return "", 0, [_Pending(p.coefficient, shortest, p.u)]
    if name == "AddRule":
        return "term by term", 0, [_Pending(p.coefficient, r, p.u) for r in rule.substeps]
    if name == "ConstantTimesRule":
        return "", 0, [_Pending(p.coefficient * rule.constant, rule.substep, p.u)]
    if name == "URule":
        u = there(rule.u_func)
        return f"substitute u = {u}", 0, [_Pending(p.coefficient, rule.substep, u)]
    if name in ("RewriteRule", "CompleteSquareRule"):
        text = "complete the square" if name == "CompleteSquareRule" else "rewrite"
        return f"{text}: {there(rule.rewritten)}", 0, [_Pending(p.coefficient, rule.substep, p.u)]
    if name == "PartsRule" and rule.second_step is not None:
        v = rule.v_step.eval()
        gain = p.coefficient * there(rule.u * v)
        text = f"by parts with u = {there(rule.u)}, v = {there(v)}"
        return text, gain, [_Pending(-p.coefficient, rule.second_step, p.u)]
    if name == "CyclicPartsRule":
        text = f"by parts {len(rule.parts_rules)} times: the integral comes back, solve for it"
        return text, p.coefficient * there(rule.eval()), []
    return _WORDS.get(name, "table of integrals"), p.coefficient * there(rule.eval()), []
