"""Proof that f = g for all real values of their symbols, by cases of sign conditions.

In every case (see `normal_form`) the difference is a quotient of polynomials; `zero_test` decides
whether its numerator is the function zero. The cases cover all parts of the lines of the variables
between the real roots at which a sign can change, and both signs of everything else.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, field
from fractions import Fraction

from sciml.symbolic.algebra.field import Failure, Quotient
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import fraction, precision
from sciml.symbolic.verification.normal_form import Case
from sciml.symbolic.verification.root_isolation import exact_midpoint, interval_samples
from sciml.symbolic.verification.sign_conditions import CaseSplit, Refinement, Restart
from sciml.symbolic.verification.zero_test import vanishes

_MAX_RESTARTS = 60
_MAX_CASES = 400
_MAX_SPLITS = 7
_MAX_SUSPECTS = 40
_ERRORS = (Failure, ex.TooLarge, ex.Undefined, RecursionError, OverflowError, ZeroDivisionError,
           ValueError)  # fmt: skip


@dataclass
class Proof:
    """The outcome of an attempted proof.

    Attributes:
        holds: the domain on which f = g is proved, in words; empty if it is not.
        suspects: values of all symbols in the cases that could not be proved: possible
            counterexamples.
    """

    holds: str = ""
    suspects: list[dict[str, Fraction]] = field(default_factory=list)


def prove_identity(
    f: Expr, g: Expr, variable: str, answer: Expr | None = None, seconds: float = 5.0
) -> Proof:
    """Try to prove f = g.

    The identity is proved for all real values except isolated ones: zeros of denominators, branch
    points, constants for which a part vanishes.

    Args:
        f, g: the two sides.
        variable: the variable; f may be complex on parts of the real line.
        answer: the antiderivative whose derivative g is; the arguments of its absolute values must
            be real, because their derivative is right only then.
        seconds: time limit.
    """
    started = now()
    proof = Proof()
    absolute_arguments = [
        node.args[0] for node in ex.subtrees(answer or ex.ZERO) if node.op in ("abs", "sign")
    ]
    for keep_sums, share in ((False, 0.6), (True, 1.0)):
        refinement = Refinement(keep_sums)
        suspects = proof.suspects
        try:
            for _ in range(_MAX_RESTARTS):
                try:
                    proof.suspects = []
                    proof.holds = _prove_in_all_cases(
                        f,
                        g,
                        variable,
                        absolute_arguments,
                        refinement,
                        started + share * seconds,
                        proof,
                    )
                    break
                except Restart:
                    continue
        except _ERRORS:
            pass
        proof.suspects = suspects + proof.suspects
        if proof.holds or suspects or proof.suspects:
            break
    return proof


def _prove_in_all_cases(
    f: Expr, g: Expr, variable: str, absolute_arguments: list[Expr], refinement: Refinement,
    deadline: float, proof: Proof,
) -> str:  # fmt: skip
    """The domain on which every case is proved; empty if one is not (see `Proof.suspects`)."""
    names = sorted(refinement.separators)
    samples_by_name = [
        interval_samples(refinement.separators[n], n in refinement.positive) for n in names
    ]
    if math.prod(map(len, samples_by_name)) > _MAX_CASES:
        raise Failure("too many cases")
    failed = False
    constants = (f.free | g.free) - {variable}
    # For each condition on the constants: whether f is real in some proved case.
    real_under: dict[tuple, bool] = {}
    nowhere_real: set[tuple] = set()
    for choice in itertools.product(*samples_by_name):
        samples = dict(zip(names, choice, strict=True))
        pending: list[dict[str, int]] = [{}]
        while pending:
            signs = pending.pop()
            case = Case(refinement, samples, signs, deadline)
            try:
                left = case.convert(f)
                opaque = case.opaque
                difference = left - case.convert(g)
                proved = vanishes(case, case.reduce(difference.n)) and _are_all_real(
                    case, absolute_arguments
                )
            except CaseSplit as split:
                if len(signs) >= _MAX_SPLITS:
                    raise Failure("too many signs") from None
                pending += [{**signs, split.key: side} for side in (1, -1)]
                continue
            on_constants = [(n, v) for n, v in samples.items() if not case.varies_with(n, variable)]
            on_constants += [
                (k, Fraction(v)) for k, v in signs.items() if case.sign_is_free_of(k, variable)
            ]
            condition = tuple(sorted(on_constants))
            if proved:
                is_real = real_under.get(condition, False) or case.imaginary_part(left) == 0
                real_under[condition] = is_real
            elif _nowhere_real(case, left, f, variable, names, opaque, bool(constants)):
                nowhere_real.add(condition)
            else:
                failed = True
                if len(proof.suspects) < _MAX_SUSPECTS:
                    proof.suspects += _counterexample_points(
                        refinement, samples, f.free | g.free, variable
                    )
    if failed or not real_under or not all(real_under.get(c, False) for c in nowhere_real):
        return ""
    return "where the integrand is real" if nowhere_real else "everywhere it is defined"


def _are_all_real(case: Case, expressions: list[Expr]) -> bool:
    quotients = [case.convert(e) for e in expressions]
    return all(case.real(case.reduce(q.n), case.reduce(q.d)) for q in quotients)


def _counterexample_points(
    refinement: Refinement, samples: dict[str, Fraction], symbols: frozenset[str], variable: str
) -> list[dict[str, Fraction]]:  # fmt: skip
    """Values of all symbols at which the samples are taken: samples of symbols are used as they
    are, samples of exp(c x) and tan(c x / 2) are solved for x."""
    rng = random.Random()
    fixed = {n: v for n, v in samples.items() if n in symbols}
    points = []
    kernel_values = [
        (refinement.kernel_of[n], v) for n, v in samples.items() if n in refinement.kernel_of
    ]
    for _ in range(2):
        values = {n: Fraction(rng.choice([-1, 1]) * rng.randint(30, 400), 97) for n in symbols}
        points.append({**values, **fixed})
        for (kind, symbol, unit), v in kernel_values:
            if symbol == variable or symbol not in fixed:
                points.append({**values, **fixed, symbol: _kernel_preimage(kind, unit, v, rng)})
    return points


def _kernel_preimage(kind: str, unit: Fraction, v: Fraction, rng: random.Random) -> Fraction:
    """u with exp(unit u) = v or tan(unit u / 2) = v."""
    from flint import arb

    with precision(400):
        z = fraction(v)
        argument = z.log() if kind == "exp" else 2 * (z.atan() + rng.randint(-2, 2) * arb.pi())
        return exact_midpoint(argument) / unit


def _nowhere_real(
    case: Case, q: Quotient, f: Expr, variable: str, names: list[str], opaque: bool,
    constants: bool,
) -> bool:  # fmt: skip
    """Whether f is shown to be complex in a case except at isolated points: an analytic function
    that is not real at one point of an interval is real at isolated points only."""
    imaginary = case.imaginary_part(q)
    if imaginary is not None:
        if imaginary == 0:
            return False
        single_term = len(list(imaginary.terms())) == 1
        if single_term and all(map(case.surely_not_zero, case.used(imaginary))):
            return True
    with precision(256):
        variables = case.depends_on(imaginary) if imaginary is not None else frozenset()
        if imaginary is not None and len(variables) <= 1:  # analytic in its one variable
            free = {case.generators[i].name for i in variables} - set(case.samples)
            case.samples = {**case.samples, **dict.fromkeys(free, Fraction(3, 7))}
            return not case.value(imaginary).real.contains(0)
        if names not in ([], [variable]) or case.signs or opaque or constants:
            return False
        z = Program(f).balls({variable: fraction(case.samples.get(variable, Fraction(3, 7)))})[0]
        return bool(z.is_finite() and not z.imag.contains(0))
