"""Radicals, absolute values and signs in a differential tower, each rewritten by existing ones
where they differ by a square only."""

from __future__ import annotations

from dataclasses import dataclass, field

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Q0, Q1, Failure, Poly, Quotient
from sciml.symbolic.algebra.prepare import positive_number
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr


@dataclass
class Kernel:
    """One generator of the tower: a function and its derivative.

    Attributes:
        kind: variable, root (of the variable), exp, log, inverse, special, sin, cos, tan, radical,
            absolute, sign, constant, imaginary.
        expr: the function as an expression.
        slope: its derivative with respect to the variable.
        sign: +1 for circular, -1 for hyperbolic functions.
        degree: of an algebraic kernel (radical, absolute, sign, imaginary); 0 otherwise.
        radicand: kernel ** degree.
    """

    kind: str
    expr: Expr
    slope: Quotient = field(default_factory=lambda: Q0)
    sign: int = 1
    degree: int = 0
    radicand: Quotient = field(default_factory=lambda: Q0)


class Radicals:
    """The part of a `Tower` that deals with algebraic kernels."""

    kernels: list[Kernel]
    variable: str
    signs: bool
    normal: bool
    logarithmic: bool

    def new(self, kernel: Kernel) -> int:
        """Add a kernel; returns its index."""
        if len(self.kernels) >= fd.VARIABLES:
            raise Failure("too many kernels")
        self.kernels.append(kernel)
        return len(self.kernels) - 1

    def derivative(self, r: Quotient) -> Quotient:
        """d r / dx."""
        raise Failure("a tower is needed")

    def reduced(self, r: Quotient) -> Quotient:
        """Numerator and denominator reduced by the relations."""
        raise Failure("a tower is needed")

    def poly_expr(self, p: Poly) -> Expr:
        """The expression of a polynomial."""
        raise Failure("a tower is needed")

    def to_expr(self, r: Quotient) -> Expr:
        """The expression of a quotient."""
        return self.poly_expr(r.n) / self.poly_expr(r.d)

    def imaginary(self) -> Quotient:
        """The imaginary unit."""
        for i, kernel in enumerate(self.kernels):
            if kernel.kind == "imaginary":
                return fd.generator(i)
        i = self.new(Kernel("imaginary", ex.I, degree=2, radicand=fd.constant(-1)))
        return fd.generator(i)

    def _square_root(self, u: Quotient, e: Expr) -> Quotient:
        return self.radical(u, 2, ex.sqrt(e))

    def radical(self, u: Quotient, q: int, e: Expr) -> Quotient:
        """u ** (1/q): by an existing radical or absolute value where u is one up to squares, else
        a new kernel."""
        for i, kernel in enumerate(self.kernels):
            if kernel.degree and kernel.kind == "radical" and kernel.radicand == u:
                if kernel.degree % q == 0:
                    return fd.generator(i) ** (kernel.degree // q)
        if q == 2:
            root = self._root_by_existing(u)
            if root is not None:
                return root
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

    def _root_by_existing(self, u: Quotient) -> Quotient | None:
        """sqrt(u) by absolute values, constants and radicals of the tower; None where it needs a
        new kernel."""
        u = self.reduced(u)
        if u.is_zero:
            raise Failure("root of zero")
        parts = fd.signed_square_root(u)
        if parts is not None:
            k, w = parts
            root = fd.rational_root(abs(k))
            if root is not None:
                out = self.absolute(w) * fd.constant(root)
                return out if k > 0 else out * self.imaginary()
        for i, kernel in enumerate(self.kernels):
            if kernel.degree == 2 and kernel.kind == "radical":
                w2 = fd.quotient_root(u / kernel.radicand)
                if w2 is not None:
                    return self.absolute(w2) * fd.generator(i)
        return None

    def _square_part(self, u: Quotient) -> tuple[Quotient, Quotient]:
        """(outside, inside) with u = outside**2 * inside and a square-free polynomial inside."""
        content, factors = fd.factor(u.n * u.d)
        outside, inside = Quotient(ONE, u.d), ONE * int(content)
        for g, e in factors:
            outside = outside * Quotient(g ** (int(e) // 2))
            if int(e) % 2:
                inside = inside * g
        if outside == Q1:
            return Q1, u
        return self.absolute(outside), Quotient(inside)

    def absolute(self, w: Quotient) -> Quotient:
        """|w|, with even powers, constants and positive kernels outside of the absolute value."""
        out = Q1
        for p, inverted in ((w.n, False), (w.d, True)):
            content, factors = fd.factor(p)
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
        """Whether g is one kernel that is positive wherever it is real."""
        for i, kernel in enumerate(self.kernels):
            if g == GENERATORS[i]:
                return (
                    kernel.kind in ("exp", "absolute", "radical", "root")
                    or (kernel.kind == "cos" and kernel.sign == -1)
                    or (kernel.kind == "constant" and positive_number(kernel.expr))
                )
        return False
