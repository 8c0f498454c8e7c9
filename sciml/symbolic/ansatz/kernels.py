"""Differential towers: an expression as a quotient of polynomials in kernels whose derivatives are
quotients of polynomials in the same kernels (the parallel, or Norman-Risch, frame).

One kernel stands for a whole group of exponentials or circular functions whose arguments are
rational multiples of one another; tan stands alone when nothing else of its group occurs,
otherwise the pair sin, cos does. Exponentials of sums are split. Numbers such as pi or exp(1) are
kernels with derivative 0. Radicals and absolute values carry their relation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from sciml.symbolic import expression as ex
from sciml.symbolic.ansatz import field as fd
from sciml.symbolic.ansatz.field import GENERATORS, ONE, Q0, Q1, Failure, Poly, Quotient
from sciml.symbolic.evaluate import Program
from sciml.symbolic.expression import Expr

_RECIPROCAL = {"cot": "tan", "sec": "cos", "csc": "sin", "coth": "tanh", "sech": "cosh",
               "csch": "sinh"}  # fmt: skip
_OF_RECIPROCAL = {"acot": "atan", "asec": "acos", "acsc": "asin", "acoth": "atanh",
                  "asech": "acosh", "acsch": "asinh"}  # fmt: skip
_FAMILY = {"exp": "exp", "sin": "trig", "cos": "trig", "tan": "trig", "sinh": "hyp",
           "cosh": "hyp", "tanh": "hyp"}  # fmt: skip
_PARITY = {"cos": 1, "cosh": 1, "sin": -1, "sinh": -1, "tan": -1, "tanh": -1, "asin": -1,
           "atan": -1, "asinh": -1, "atanh": -1}  # fmt: skip
_SAMPLES = np.array([0.73910427, 1.31805959, 0.4170223])


@dataclass
class Kernel:
    """One generator: what it stands for and its derivative.

    Attributes:
        kind: variable, root (of the variable), exp, log, inverse, special, sin, cos, tan, radical,
            absolute, constant, imaginary.
        expr: what it stands for.
        slope: its derivative.
        sign: +1 for circular, -1 for hyperbolic functions.
        degree: of a radical; 0 otherwise.
        radicand: kernel ** degree.
    """

    kind: str
    expr: Expr
    slope: Quotient = field(default_factory=lambda: Q0)
    sign: int = 1
    degree: int = 0
    radicand: Quotient = field(default_factory=lambda: Q0)


@dataclass
class _Group:
    base: Expr
    multiples: dict[Expr, Fraction]
    names: set[str]
    unit: Expr = ex.ONE
    index: int = -1

    def finish(self) -> None:
        """Choose the unit of which all arguments are integer multiples."""
        ratios = list(self.multiples.values())
        bottom = math.lcm(*[r.denominator for r in ratios])
        shared = math.gcd(*[int(r * bottom) for r in ratios]) or 1
        scale = Fraction(shared, bottom)
        self.unit = self.base * ex.number(scale)
        self.multiples = {a: r / scale for a, r in self.multiples.items()}


class Tower:
    """The kernels of some expressions of one variable.

    Args:
        variable: the name of the variable of integration.
        split: write sin, cos, sinh, cosh of a sum by the parts of the sum.
        logarithmic: write the slope of a radical r of u as r u' / (q u) instead of
            u' / (q r**(q-1)); decides which denominators appear.
        normal: pull squares out of radicands and make them polynomials.
        pair: write tangents by sine and cosine even where they stand alone.
        signs: write |u| as s u with a constant s, s**2 = 1, instead of a radical.
    """

    def __init__(
        self,
        variable: str,
        *,
        split: bool = False,
        logarithmic: bool = False,
        normal: bool = False,
        pair: bool = False,
        signs: bool = False,
    ) -> None:
        self.x, self.variable = ex.symbol(variable), variable
        self.split, self.logarithmic, self.normal, self.pair = split, logarithmic, normal, pair
        self.signs = signs
        self.kernels: list[Kernel] = []
        self.memo: dict[Expr, Quotient] = {}
        self.root = 1
        self.groups: dict[str, list[_Group]] = {"exp": [], "trig": [], "hyp": []}
        self.where: dict[tuple[str, Expr], _Group] = {}
        self.radicals: dict[Expr, int] = {}

    # ------------------------------------------------------------------ conversion
    def convert(self, e: Expr) -> Quotient:
        """The quotient of one expression; sets up the tower."""
        return self.convert_all([e])[0]

    def convert_all(self, items: list[Expr]) -> list[Quotient]:
        """The quotients of expressions that share one tower."""
        prepared = [prepare(e) for e in items]
        self._scan(prepared)
        q = self.root
        i = self.new(Kernel("variable" if q == 1 else "root", self._x_root(q)))
        self.kernels[i].slope = Q1 if q == 1 else Quotient(ONE, GENERATORS[i] ** (q - 1) * q)
        return [self._convert(e) for e in prepared]

    def _x_root(self, q: int) -> Expr:
        return ex.power(self.x, ex.number(Fraction(1, q)))

    def new(self, kernel: Kernel) -> int:
        if len(self.kernels) >= fd.VARIABLES:
            raise Failure("too many kernels")
        self.kernels.append(kernel)
        return len(self.kernels) - 1

    def _arguments(self, node: Expr) -> list[Expr]:
        """The arguments that a function's group will hold: the parts of its sum, if split."""
        u = node.args[0]
        u = expand_product(u)
        if u.op == "add" and (node.op == "exp" or self.split):
            constants = [t for t in u.args if self.variable not in t.free]
            parts = [t for t in u.args if self.variable in t.free]
            return parts + ([ex.add(constants)] if constants else [])
        return [u]

    def _scan(self, items: list[Expr]) -> None:
        found: dict[Expr, None] = {}
        for e in items:
            for node in ex.subtrees(e):
                found[node] = None
        angles: dict[Expr, set[str]] = {}
        for node in found:
            if self.variable not in node.free and node.op in ("sin", "cos", "tan"):
                angles.setdefault(node.args[0], set()).add(node.op)
        self.half_angles = {u for u, names in angles.items() if len(names) > 1}
        for node in found:
            if node.op == "pow" and node.args[1].op == "num":
                q = node.args[1].value.denominator
                if q > 1 and node.args[0] is self.x:
                    self.root = math.lcm(self.root, q)
                elif q > 1:
                    base = node.args[0]
                    self.radicals[base] = math.lcm(self.radicals.get(base, 1), q)
            family = _FAMILY.get(node.op)
            if family and self.variable in node.free:
                for u in self._arguments(node):
                    if node.op != "exp" or self.variable in u.free:
                        self._register(family, node.op, u)
        for groups in self.groups.values():
            for group in groups:
                group.finish()

    def _register(self, family: str, name: str, u: Expr) -> None:
        if (family, u) in self.where:
            self.where[family, u].names.add(name)
            return
        for group in self.groups[family]:
            ratio = rational_ratio(u, group.base, self.variable)
            if ratio is not None:
                break
        else:
            group, ratio = _Group(u, {}, set()), Fraction(1)
            self.groups[family].append(group)
        group.multiples[u] = ratio
        group.names.add(name)
        self.where[family, u] = group

    def _convert(self, e: Expr) -> Quotient:
        known = self.memo.get(e)
        if known is None:
            known = self._convert_new(e)
            self.memo[e] = known
        return known

    def _convert_new(self, e: Expr) -> Quotient:
        op = e.op
        if e is self.x:
            return fd.generator(0, self.root)
        if op == "num":
            return fd.constant(e.value)
        if op == "add":
            out = Q0
            for a in e.args:
                out = out + self._convert(a)
            return out
        if op == "mul":
            out = Q1
            for a in e.args:
                out = out * self._convert(a)
            return out
        if op == "pow" and e.args[1].op == "num":
            return self._power(e.args[0], e.args[1].value)
        if op == "I":
            return self._imaginary()
        if op == "exp":
            return self._exponential(e)
        if self.variable not in e.free:
            return self._constant_function(e)
        if op in _FAMILY:
            return self._circular(e)
        if op == "abs":
            return self.absolute(self._convert(e.args[0]))
        if op == "sign":
            u = self._convert(e.args[0])
            return self.absolute(u) / u
        return self._function(e)

    def _constant_function(self, e: Expr) -> Quotient:
        """A function of a constant; sine and cosine of one angle by the tangent of its half."""
        if e.op in ("sin", "cos", "tan") and e.args[0] in self.half_angles:
            t = fd.generator(self._constant(ex.call("tan", e.args[0] * ex.HALF)))
            square = t * t
            two_t = fd.constant(2) * t
            if e.op == "sin":
                return two_t / (Q1 + square)
            return (Q1 - square) / (Q1 + square) if e.op == "cos" else two_t / (Q1 - square)
        return fd.generator(self._constant(e))

    def _constant(self, e: Expr) -> int:
        for i, kernel in enumerate(self.kernels):
            if kernel.kind == "constant" and kernel.expr is e:
                return i
        return self.new(Kernel("constant", e))

    def _imaginary(self) -> Quotient:
        for i, kernel in enumerate(self.kernels):
            if kernel.kind == "imaginary":
                return fd.generator(i)
        i = self.new(Kernel("imaginary", ex.I, degree=2, radicand=fd.constant(-1)))
        return fd.generator(i)

    def _power(self, base: Expr, exponent: Fraction) -> Quotient:
        if exponent.denominator == 1:
            return self._convert(base) ** exponent.numerator
        if base is self.x:
            return fd.generator(0) ** int(exponent * self.root)
        if self.variable not in base.free and base.op != "num":
            return fd.generator(self._constant(ex.power(base, ex.number(exponent))))
        q = self.radicals[base]
        e = ex.power(base, ex.number(Fraction(1, q)))
        return self.radical(self._convert(base), q, e) ** int(exponent * q)

    def _exponential(self, e: Expr) -> Quotient:
        out = Q1
        for u in self._arguments(e):
            if self.variable not in u.free:
                if u.op == "num" and u.value.denominator == 1:
                    out = out * fd.generator(self._constant(ex.E)) ** u.value.numerator
                else:
                    out = out * fd.generator(self._constant(ex.call("exp", u)))
                continue
            group = self.where["exp", u]
            if group.index < 0:
                slope = self.derivative(self._convert(prepare(group.unit)))
                i = self.new(Kernel("exp", ex.call("exp", group.unit)))
                self.kernels[i].slope = slope * fd.generator(i)
                group.index = i
            out = out * fd.generator(group.index) ** int(group.multiples[u])
        return out

    def _circular(self, e: Expr) -> Quotient:
        family = _FAMILY[e.op]
        sign = 1 if family == "trig" else -1
        parts = [self._sine_cosine(family, u) for u in self._arguments(e)]
        if isinstance(parts[0], Quotient):  # tangents only
            t = parts[0]
            for other in parts[1:]:
                t = (t + other) / (Q1 - fd.constant(sign) * t * other)  # type: ignore[operator]
            return t
        s, c = parts[0]
        for s2, c2 in parts[1:]:  # type: ignore[misc]
            s, c = s * c2 + c * s2, c * c2 - fd.constant(sign) * s * s2
        if e.op in ("sin", "sinh"):
            return s
        return c if e.op in ("cos", "cosh") else s / c

    def _sine_cosine(self, family: str, u: Expr) -> Quotient | tuple[Quotient, Quotient]:
        group = self.where[family, u]
        sign = 1 if family == "trig" else -1
        h = "" if sign == 1 else "h"
        tangent = group.names == {"tan" + h} and not self.pair
        if self.split and tangent:
            tangent = all(g.names == {"tan" + h} for g in self.groups[family])
        multiple = int(group.multiples[u])
        if group.index < 0:
            slope = self.derivative(self._convert(prepare(group.unit)))
            if tangent:
                i = self.new(Kernel("tan", ex.call("tan" + h, group.unit), sign=sign))
                self.kernels[i].slope = slope * Quotient(ONE + sign * GENERATORS[i] ** 2)
            else:
                i = self.new(Kernel("sin", ex.call("sin" + h, group.unit), sign=sign))
                j = self.new(Kernel("cos", ex.call("cos" + h, group.unit), sign=sign))
                self.kernels[i].slope = slope * fd.generator(j)
                self.kernels[j].slope = slope * fd.constant(-sign) * fd.generator(i)
            group.index = i
        i = group.index
        if tangent:
            t = out = fd.generator(i)
            for _ in range(abs(multiple) - 1):
                out = (out + t) / (Q1 - fd.constant(sign) * out * t)
            return out if multiple > 0 else -out
        if abs(multiple) > 60:
            raise Failure("a multiple angle is too high")
        s, c = GENERATORS[i], GENERATORS[i + 1]
        a, b = s, c
        for _ in range(abs(multiple) - 1):
            a, b = self.reduce(a * c + b * s), self.reduce(b * c - sign * a * s)
        return Quotient(a if multiple > 0 else -a), Quotient(b)

    def _function(self, e: Expr) -> Quotient:
        u = self._convert(e.args[0])
        du = self.derivative(u)
        kind = "inverse"
        if e.op == "log":
            slope, kind = du / u, "log"
        elif e.op in ("asin", "acos"):
            slope = du / self._square_root(Q1 - u * u, 1 - e.args[0] ** 2)
            slope = -slope if e.op == "acos" else slope
        elif e.op == "asinh":
            slope = du / self._square_root(Q1 + u * u, 1 + e.args[0] ** 2)
        elif e.op == "acosh":
            slope = du / self._square_root(u * u - Q1, e.args[0] ** 2 - 1)
        elif e.op == "atan":
            slope = du / (Q1 + u * u)
        elif e.op == "atanh":
            slope = du / (Q1 - u * u)
        elif e.op in ex.DERIVATIVES:
            outer = prepare(ex.DERIVATIVES[e.op](ex.symbol("_u")))
            slope, kind = self._special(outer, e.args[0]) * du, "special"
        else:
            raise Failure(f"{e.op} of the variable")
        i = self.new(Kernel(kind, e, slope))
        return fd.generator(i)

    def _special(self, outer: Expr, u: Expr) -> Quotient:
        """The derivative of a special function, in kernels that must exist already."""
        inner = prepare(ex.substitute(outer, {ex.symbol("_u"): u}))
        for node in ex.subtrees(inner):
            family = _FAMILY.get(node.op)
            if family and any(
                (family, a) not in self.where and a.op != "num" for a in self._arguments(node)
            ):
                raise Failure("a special function's kernel is missing")
            if node.op == "pow" and node.args[1].op == "num":
                q = node.args[1].value.denominator
                if q > 1:
                    self.radicals[node.args[0]] = math.lcm(self.radicals.get(node.args[0], 1), q)
        return self._convert(inner)

    # ------------------------------------------------------------------ radicals
    def _square_root(self, u: Quotient, e: Expr) -> Quotient:
        return self.radical(u, 2, ex.sqrt(e))

    def radical(self, u: Quotient, q: int, e: Expr) -> Quotient:
        """u ** (1/q): a known radical or absolute value if u is one up to squares, else new."""
        for i, kernel in enumerate(self.kernels):
            if kernel.degree and kernel.kind == "radical" and kernel.radicand == u:
                if kernel.degree % q == 0:
                    return fd.generator(i) ** (kernel.degree // q)
        if q == 2:
            known = self._known_root(u)
            if known is not None:
                return known
            if self.normal:
                outside, u = self._square_part(u)
                if outside is not Q1:
                    return outside * self.radical(u, 2, ex.sqrt(self.to_expr(u)))
        i = self.new(Kernel("radical", e, degree=q, radicand=u))
        du = self.derivative(u)
        if u.d == ONE and not self.logarithmic:
            self.kernels[i].slope = du / Quotient(GENERATORS[i] ** (q - 1) * q)
        else:
            self.kernels[i].slope = fd.generator(i) * du / (u * fd.constant(q))
        return fd.generator(i)

    def _known_root(self, u: Quotient) -> Quotient | None:
        u = self.reduced(u)
        if u.is_zero:
            raise Failure("root of zero")
        found = fd.signed_square_root(u)
        if found is not None:
            k, w = found
            root = fd.rational_root(abs(k))
            if root is not None:
                out = self.absolute(w) * fd.constant(root)
                return out if k > 0 else out * self._imaginary()
        for i, kernel in enumerate(self.kernels):
            if kernel.degree == 2 and kernel.kind == "radical":
                w2 = fd.quotient_root(u / kernel.radicand)
                if w2 is not None:
                    return self.absolute(w2) * fd.generator(i)
        return None

    def _square_part(self, u: Quotient) -> tuple[Quotient, Quotient]:
        """u = outside**2 * inside with a square-free polynomial inside."""
        content, factors = (u.n * u.d).factor()
        outside, inside = Quotient(ONE, u.d), ONE * int(content)
        for g, e in factors:
            outside = outside * Quotient(g ** (int(e) // 2))
            if int(e) % 2:
                inside = inside * g
        if outside == Q1:
            return Q1, u
        return self.absolute(outside), Quotient(inside)

    def absolute(self, w: Quotient) -> Quotient:
        """|w|, with even powers, constants and positive kernels pulled out."""
        out = Q1
        for p, inverted in ((w.n, False), (w.d, True)):
            content, factors = p.factor()
            part = fd.constant(abs(int(content)))
            for g, e in factors:
                e = int(e)
                if self.positive(g):
                    part = part * Quotient(g**e)
                    continue
                part = part * Quotient(g ** (e - e % 2))
                if e % 2 and self.signs:
                    part = part * fd.generator(self._sign_kernel(g)) * Quotient(g)
                elif e % 2:
                    part = part * fd.generator(self._absolute_kernel(g))
            out = out / part if inverted else out * part
        return out

    def _absolute_kernel(self, g: Poly) -> int:
        square = Quotient(g * g)
        for i, kernel in enumerate(self.kernels):
            if kernel.kind == "absolute" and kernel.radicand == square:
                return i
        e = ex.call("abs", self.poly_expr(g))
        i = self.new(Kernel("absolute", e, degree=2, radicand=square))
        self.kernels[i].slope = fd.generator(i) * self.derivative(Quotient(g)) / Quotient(g)
        return i

    def _sign_kernel(self, g: Poly) -> int:
        e = ex.call("sign", self.poly_expr(g))
        for i, kernel in enumerate(self.kernels):
            if kernel.kind == "sign" and kernel.expr is e:
                return i
        return self.new(Kernel("sign", e, degree=2, radicand=Q1))

    def positive(self, g: Poly) -> bool:
        """Whether g is a single kernel that is positive wherever it is real."""
        for i, kernel in enumerate(self.kernels):
            if g == GENERATORS[i]:
                return (
                    kernel.kind in ("exp", "absolute", "radical", "root")
                    or (kernel.kind == "cos" and kernel.sign == -1)
                    or (kernel.kind == "constant" and _positive_number(kernel.expr))
                )
        return False

    def parameters(self) -> list[int]:
        """The kernels that are constants without a relation: the coefficients' field is Q of
        these."""
        return [i for i, k in enumerate(self.kernels) if k.kind == "constant"]

    def algebraic_constants(self) -> list[int]:
        """The kernels that are constants with a relation, such as sqrt(2)."""
        return [
            i
            for i, k in enumerate(self.kernels)
            if k.degree and (self.variable not in k.expr.free or k.kind == "sign")
        ]

    # ------------------------------------------------------------------ calculus and relations
    def derivative(self, r: Quotient) -> Quotient:
        """d r / dx."""
        top = self._poly_derivative(r.n)
        if r.d == ONE:
            return top
        below = self._poly_derivative(r.d)
        return top / Quotient(r.d) - Quotient(r.n) * below / Quotient(r.d**2)

    def _poly_derivative(self, p: Poly) -> Quotient:
        out = Q0
        for i, kernel in enumerate(self.kernels):
            if not kernel.slope.is_zero:
                d = p.derivative(i)
                if d != 0:
                    out = out + Quotient(d) * kernel.slope
        return out

    def reduce(self, p: Poly) -> Poly:
        """p modulo sin**2 = 1 - cos**2 and radical**q = radicand (where that is a polynomial)."""
        changed = p != 0
        while changed and p != 0:
            changed = False
            high = fd.degrees(p)
            for i, kernel in enumerate(self.kernels):
                if kernel.kind == "sin":
                    q = 2
                    u = (ONE - GENERATORS[i + 1] ** 2) * kernel.sign
                elif kernel.degree and kernel.radicand.d == ONE:
                    q, u = kernel.degree, kernel.radicand.n
                else:
                    continue
                if high[i] < q:
                    continue
                parts: dict[int, dict] = {}
                for monomial, c in p.terms():
                    m = list(fd.exponents(monomial))
                    times, m[i] = divmod(m[i], q)
                    parts.setdefault(times, {})[tuple(m)] = c
                p = fd.ZERO
                for times, part in parts.items():
                    p = p + fd.RING.from_dict(part) * u**times
                    if len(p) > 20_000:
                        raise Failure("a polynomial grew too large")
                changed = True
                if p == 0:
                    break
                high = fd.degrees(p)
        return p

    def reduced(self, r: Quotient) -> Quotient:
        """Numerator and denominator reduced."""
        return Quotient(self.reduce(r.n), self.reduce(r.d))

    def is_zero(self, r: Quotient) -> bool:
        """Whether r vanishes by the relations (False may also mean: not seen)."""
        return self.reduce(r.n) == 0

    # ------------------------------------------------------------------ back to expressions
    def poly_expr(self, p: Poly) -> Expr:
        """The expression of a polynomial."""
        terms = []
        for monomial, c in p.terms():
            factors: list[Expr] = [ex.number(int(c))]
            for i, e in enumerate(fd.exponents(monomial)):
                if e:
                    factors.append(ex.power(self.kernels[i].expr, ex.number(e)))
            terms.append(ex.mul(factors))
        return ex.add(terms)

    def to_expr(self, r: Quotient) -> Expr:
        """The expression of a quotient."""
        return self.poly_expr(r.n) / self.poly_expr(r.d)


def expand_product(u: Expr) -> Expr:
    """A product of few sums, multiplied out; anything else as it is."""
    if u.op == "mul" and sum(a.op == "add" for a in u.args) == 1 and len(u.args) <= 4:
        inner = next(a for a in u.args if a.op == "add")
        if len(inner.args) <= 4:
            others = [a for a in u.args if a is not inner]
            return ex.add([ex.mul((*others, t)) for t in inner.args])
    return u


def _positive_number(e: Expr) -> bool:
    """Whether a constant without symbols is a positive real number."""
    if e.free:
        return False
    z = complex(Program(e).complex({})[0])
    return z.real > 1e-9 and abs(z.imag) < 1e-12


def prepare(e: Expr) -> Expr:
    """The same function in fewer kinds of function: cot is 1/tan, a**b is exp(b log(a)), ..."""
    memo: dict[Expr, Expr] = {}
    for node in ex.subtrees(e):
        args = tuple(memo[a] for a in node.args)
        if node.op in _PARITY and args[0].op == "abs":
            u = args[0].args[0]
            out = ex.call(node.op, u)
            if _PARITY[node.op] < 0:
                out = args[0] / u * out
        elif node.op in _RECIPROCAL:
            out = 1 / ex.call(_RECIPROCAL[node.op], args[0])
        elif node.op in _OF_RECIPROCAL:
            out = ex.call(_OF_RECIPROCAL[node.op], 1 / args[0])
        elif node.op == "pow" and args[1].op != "num":
            out = ex.call("exp", args[1] * ex.call("log", args[0]))
        elif node.op == "pow" and args[0].op == "exp":
            out = ex.call("exp", args[1] * args[0].args[0])
        elif node.op == "log":
            out = _logarithm(args[0])
        else:
            out = node if args == node.args else ex.rebuild(node, args)
        memo[node] = out
    return memo[e]


def _logarithm(u: Expr) -> Expr:
    """log of a positive number's power, and log(exp(v)) for real v."""
    if u.op == "pow" and u.args[1].op == "num":
        base = u.args[0]
        if base.op == "num" and base.value > 0 or base.op in ("pi", "exp"):
            return u.args[1] * ex.call("log", base)
    if u.op == "exp":
        return u.args[0]
    if u.op == "num" and u.value > 0:
        terms = []
        for part, sign in ((u.value.numerator, 1), (u.value.denominator, -1)):
            for prime, times in ex.factor_integer(part).items():
                terms.append(sign * times * ex.call("log", ex.number(prime)))
        return ex.add(terms)
    return ex.call("log", u)


def rational_ratio(a: Expr, b: Expr, variable: str) -> Fraction | None:
    """a / b where that is a rational number with a small denominator, judged at three points."""
    if a is b:
        return Fraction(1)
    if (variable in a.free) != (variable in b.free):
        return None
    ca, ra = ex.split_coefficient(a)
    cb, rb = ex.split_coefficient(b)
    if ra is rb:
        return ca / cb
    names = sorted((a.free | b.free) - {variable})
    values = {name: 0.6180339887 + 0.2718281828 * i for i, name in enumerate(names)}
    top, below = Program(a, b).complex({**values, variable: _SAMPLES})
    top, below = np.broadcast_to(top, 3), np.broadcast_to(below, 3)
    if not (np.isfinite(top).all() and np.isfinite(below).all()) or (below == 0).any():
        return None
    ratios = top / below
    r = ratios[0]
    if abs(r) > 1e8 or np.abs(ratios - r).max() > 1e-11 * (1 + abs(r)) or abs(r.imag) > 1e-11:
        return None
    near = Fraction(float(r.real)).limit_denominator(60)
    return near if near and abs(float(near) - r.real) < 1e-10 * (1 + abs(r)) else None
