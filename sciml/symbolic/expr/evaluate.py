"""Numerical values of expressions: complex128 arrays, ball arithmetic (Arb), mpmath.

An expression is compiled to a straight-line `Program` (common subexpressions once), which a backend
runs. Ball arithmetic returns enclosures, so that two values that do not overlap are proved
different, whatever the cancellation.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.special_values import SPECIAL_BALLS

Array = np.ndarray
FOLDS: dict[str, Callable[[Any, Any], Any]] = {"add": operator.add, "mul": operator.mul}


class Program:
    """The nodes of expressions in order of evaluation.

    Attributes:
        steps: (operator, indices of the operands, value of a leaf or of a numeric exponent).
        outputs: indices of the expressions among the steps.
    """

    def __init__(self, *outputs: Expr) -> None:
        order: dict[Expr, int] = {}
        self.steps: list[tuple[str, tuple[int, ...], Any]] = []
        for output in outputs:
            for node in ex.subtrees(output):
                if node not in order:
                    order[node] = len(self.steps)
                    args = tuple(order[a] for a in node.args)
                    value = node.value
                    if node.op == "pow" and node.args[1].op == "num":
                        value = node.args[1].value
                    self.steps.append((node.op, args, value))
        self.outputs = [order[output] for output in outputs]

    def complex(self, values: Mapping[str, Any]) -> list[Array]:
        """The outputs at complex128 points (arrays of one shape, or scalars); nan where undefined.

        Real arguments lie on the same side of every branch cut as in Arb.
        """
        values_of: list[Any] = []
        with np.errstate(all="ignore"):
            for op, args, value in self.steps:
                if op == "num":
                    out: Any = np.complex128(_float(value))
                elif op == "sym":
                    out = np.asarray(values[value], dtype=np.complex128)
                elif op == "pi":
                    out = np.complex128(math.pi)
                elif op == "I":
                    out = np.complex128(1j)
                elif op in FOLDS:
                    out = reduce(FOLDS[op], [values_of[a] for a in args])
                elif op == "pow":
                    out = _power(values_of[args[0]], values_of[args[1]], value)
                else:
                    out = NUMPY[op](*[values_of[a] for a in args])
                values_of.append(out + 0.0)  # -0.0 would be on the other side of a branch cut
        return [np.asarray(values_of[i]) for i in self.outputs]

    def balls(self, values: Mapping[str, Any]) -> list[Any]:
        """The outputs as `acb` enclosures at the working precision of `flint.ctx`."""
        from flint import acb, arb, fmpq

        values_of: list[Any] = []
        for op, args, value in self.steps:
            if op == "num":
                out = acb(arb(fmpq(value.numerator, value.denominator)))
            elif op == "sym":
                out = acb(values[value])
            elif op == "pi":
                out = acb.pi()
            elif op == "I":
                out = acb(0, 1)
            elif op in FOLDS:
                out = reduce(FOLDS[op], [values_of[a] for a in args])
            elif op == "pow":
                out = _ball_power(values_of[args[0]], values_of[args[1]], value)
            else:
                out = BALLS[op](*[values_of[a] for a in args])
            values_of.append(out)
        return [values_of[i] for i in self.outputs]


def _float(value: Fraction) -> float:
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _power(base: Any, exponent: Any, value: Fraction | None) -> Any:
    if value is None:
        return np.exp(exponent * np.log(base))
    if value.denominator == 1:
        n = value.numerator
        if abs(n) > 64:
            return base ** float(n)
        out: Any = 1.0
        square, k = base, abs(n)
        while k:
            if k & 1:
                out = out * square
            square = square * square
            k >>= 1
        return out if n > 0 else 1.0 / out
    if value.denominator == 2 and abs(value.numerator) < 20:
        return _power(np.sqrt(base), None, Fraction(value.numerator))
    return np.exp(_float(value) * np.log(base))


def _ball_power(base: Any, exponent: Any, value: Fraction | None) -> Any:
    if value is not None:
        if value.denominator == 1:
            return base ** int(value.numerator)
        if value.denominator == 2:
            return base.sqrt() ** int(value.numerator)
    return (base.log() * exponent).exp()


def _special(name: str) -> Callable[..., Any]:
    """A function that numpy lacks, by Arb, one value at a time."""

    def apply(*arguments: Any) -> Any:
        from flint import acb

        columns = np.broadcast_arrays(*(np.asarray(z, dtype=np.complex128) for z in arguments))
        points = np.stack([np.atleast_1d(c).ravel() for c in columns], axis=-1)
        out = np.full(len(points), complex(np.nan, np.nan))
        for i in np.nonzero(np.isfinite(points).all(axis=-1))[0]:
            try:
                w = BALLS[name](*(acb(float(v.real), float(v.imag)) for v in points[i]))
            except (ValueError, ZeroDivisionError, OverflowError):  # no value there
                continue
            out[i] = complex(float(w.real), float(w.imag))
        return out.reshape(columns[0].shape) if columns[0].ndim else out[0]

    return apply


def _np_abs(z: Any) -> Any:
    return np.abs(z).astype(np.complex128)


def _np_sign(z: Any) -> Any:
    return np.where(z == 0, 0, z / np.where(z == 0, 1, np.abs(z)))


def _np_floor(z: Any) -> Any:
    return np.floor(np.real(z)) + 1j * np.floor(np.imag(z))


def _reciprocal(z: Any) -> Any:
    return 1 / z + 0.0


def _acosh(z: Any) -> Any:
    """log(z + sqrt(z - 1) sqrt(z + 1)), for real z on the side of the cut that Arb takes."""
    return np.log(z + np.sqrt(z - 1) * np.sqrt(z + 1))


def _asin(z: Any) -> Any:
    return -1j * np.log(1j * z + np.sqrt(1 - z) * np.sqrt(1 + z))


def _acos(z: Any) -> Any:
    return math.pi / 2 - _asin(z)


def _atan(z: Any) -> Any:
    return np.arctan(z)


NUMPY: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "cot": lambda z: 1 / np.tan(z), "sec": lambda z: 1 / np.cos(z),
    "csc": lambda z: 1 / np.sin(z), "asin": _asin, "acos": _acos, "atan": _atan,
    "acot": lambda z: _atan(_reciprocal(z)), "asec": lambda z: _acos(_reciprocal(z)),
    "acsc": lambda z: _asin(_reciprocal(z)), "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "coth": lambda z: 1 / np.tanh(z), "sech": lambda z: 1 / np.cosh(z),
    "csch": lambda z: 1 / np.sinh(z), "asinh": np.arcsinh, "acosh": _acosh,
    "atanh": lambda z: (np.log(1 + z) - np.log(1 - z)) / 2,
    "acoth": lambda z: (np.log(1 + _reciprocal(z)) - np.log(1 - _reciprocal(z))) / 2,
    "asech": lambda z: _acosh(_reciprocal(z)), "acsch": lambda z: np.arcsinh(_reciprocal(z)),
    "abs": _np_abs, "sign": _np_sign, "floor": _np_floor,
}  # fmt: skip
for _name in "erf erfi Ei li Si Ci Shi Chi fresnels fresnelc dilog".split() + list(ex.SPECIAL):
    NUMPY[_name] = _special(_name)


def _ball_abs(z: Any) -> Any:
    from flint import acb

    return acb(abs(z))


def _ball_sign(z: Any) -> Any:
    """z / |z|; for real numbers about 0 an enclosure of -1 .. 1."""
    from flint import acb, arb

    if z.imag == 0 and z.real.contains(0) and z.real.rad() > 0:
        return acb(arb(0, 1))
    return z / _ball_abs(z)


def _ball_floor(z: Any) -> Any:
    from flint import acb

    return acb(z.real.floor(), z.imag.floor())


BALLS: dict[str, Callable[..., Any]] = {
    "exp": lambda z: z.exp(), "log": lambda z: z.log(), "sin": lambda z: z.sin(),
    "cos": lambda z: z.cos(), "tan": lambda z: z.tan(), "cot": lambda z: z.cot(),
    "sec": lambda z: z.sec(), "csc": lambda z: z.csc(), "asin": lambda z: z.asin(),
    "acos": lambda z: z.acos(), "atan": lambda z: z.atan(), "acot": lambda z: (1 / z).atan(),
    "asec": lambda z: (1 / z).acos(), "acsc": lambda z: (1 / z).asin(),
    "sinh": lambda z: z.sinh(), "cosh": lambda z: z.cosh(), "tanh": lambda z: z.tanh(),
    "coth": lambda z: z.coth(), "sech": lambda z: z.sech(), "csch": lambda z: z.csch(),
    "asinh": lambda z: z.asinh(), "acosh": lambda z: z.acosh(), "atanh": lambda z: z.atanh(),
    "acoth": lambda z: (1 / z).atanh(), "asech": lambda z: (1 / z).acosh(),
    "acsch": lambda z: (1 / z).asinh(), "abs": _ball_abs, "sign": _ball_sign,
    "erf": lambda z: z.erf(), "erfi": lambda z: z.erfi(), "Ei": lambda z: z.ei(),
    "li": lambda z: z.li(), "Si": lambda z: z.si(), "Ci": lambda z: z.ci(),
    "Shi": lambda z: z.shi(), "Chi": lambda z: z.chi(), "fresnels": lambda z: z.fresnel_s(),
    "fresnelc": lambda z: z.fresnel_c(), "dilog": lambda z: z.polylog(2),
    "floor": _ball_floor, **SPECIAL_BALLS,
}  # fmt: skip


def evaluate(e: Expr, values: Mapping[str, Any], backend: str = "complex") -> Any:
    """The value of `e`.

    Args:
        e: the expression.
        values: a number or an array for every symbol in it.
        backend: ``float64`` (nan where the value is not real), ``complex`` (complex128),
            ``mpmath`` (mpc at mpmath's working precision), ``ball`` (acb enclosure).
    """
    from sciml.errors import InputError, unknown

    missing = sorted(e.free - set(values))
    if missing:
        raise InputError(f"no value for {missing[0]!r}", where=str(e)[:60])
    if backend == "complex":
        return Program(e).complex(values)[0]
    if backend == "float64":
        z = Program(e).complex(values)[0]
        with np.errstate(invalid="ignore"):
            real = np.abs(z.imag) <= 1e-9 * (1 + np.abs(z.real))
        return np.where(real, z.real, np.nan)
    if backend == "ball":
        return Program(e).balls(values)[0]
    if backend == "mpmath":
        return _mpmath(e, values)
    raise unknown("backend", backend, ["float64", "complex", "mpmath", "ball"])


def _mpmath(e: Expr, values: Mapping[str, Any]) -> Any:
    import mpmath
    from flint import acb, ctx

    before = ctx.prec
    try:
        ctx.prec = mpmath.mp.prec + 64
        points = {}
        for name, v in values.items():
            z = mpmath.mpmathify(v)
            points[name] = acb(_arb(z.real), _arb(z.imag))
        out = Program(e).balls(points)[0]
        digits = int(mpmath.mp.dps) + 8
        return mpmath.mpc(
            out.real.mid().str(digits, radius=False), out.imag.mid().str(digits, radius=False)
        )
    finally:
        ctx.prec = before


def _arb(v: Any) -> Any:
    from flint import arb

    return arb(str(v))
