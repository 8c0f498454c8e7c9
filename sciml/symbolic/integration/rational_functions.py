"""Rational functions of one variable, completely: Horowitz and Ostrogradsky for the rational part,
Rothstein and Trager with Lazard, Rioboo for the logarithms.

The residues of h/q at the roots of an irreducible q are the roots of resultant_x(h - z q', q),
which is a power of an irreducible r(z); the argument that belongs to a residue c is
gcd(h - c q', q). Residues of degree one and two always have closed forms, others where `rootsums`
knows the roots of r or those of q. Source: M. Bronstein, "Symbolic Integration I" (2005), ch. 2.
"""

from __future__ import annotations

from flint import fmpq, fmpq_mat, fmpq_poly

from sciml.symbolic.algebra.univariate import as_rational, fraction
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.ansatz.root_sums import Complex, Root, integrals, roots

_MOST_DEGREE = 140
_MOST_RESIDUES = 6
_Over = list[fmpq_poly]
"""A polynomial in x, lowest coefficient first, whose coefficients are polynomials modulo r(z)."""


def integrate_rational(e: Expr, x: str) -> Expr | None:
    """An antiderivative of a rational function, or None where a logarithm has no closed form."""
    found = as_rational(e, x)
    if found is None:
        return None
    n, d = found
    if d.degree() > _MOST_DEGREE or n.degree() > 3 * _MOST_DEGREE:
        return None
    symbol = ex.symbol(x)
    whole, rest = divmod(n, d)
    terms = [shown(whole.integral(), symbol)]
    top, below, h, radical = without_powers(rest, d)
    terms.append(shown(top, symbol) / _factored(below, symbol))
    if h:
        _, factors = radical.factor()
        for q, _ in factors:
            others = radical // q
            _, inverse, _ = others.xgcd(q)
            found_logs = _logarithms(h * inverse % q, q, symbol)
            if found_logs is None:
                return None
            terms.append(found_logs)
    return ex.add(terms)


def shown(p: fmpq_poly, x: Expr) -> Expr:
    """The polynomial as an expression."""
    return ex.add([ex.number(fraction(c)) * x**k for k, c in enumerate(p.coeffs())])


def _factored(p: fmpq_poly, x: Expr) -> Expr:
    content, factors = p.factor()
    out: Expr = ex.number(fraction(content))
    for q, e in factors:
        out = out * shown(q, x) ** int(e)
    return out


def without_powers(n: fmpq_poly, d: fmpq_poly) -> tuple[fmpq_poly, fmpq_poly, fmpq_poly, fmpq_poly]:
    """(g, v, h, s) with n/d = (g/v)' + h/s and s square-free: linear equations for g and h."""
    v = d.gcd(d.derivative())
    s = d // v
    size_g, size_h = v.degree(), s.degree()
    if size_g == 0:
        return fmpq_poly([0]), fmpq_poly([1]), n, d
    loss = s * v.derivative() // v
    columns = []
    for k in range(size_g):
        power = fmpq_poly([0] * k + [1])
        columns.append(power.derivative() * s - power * loss)
    columns += [v * fmpq_poly([0] * k + [1]) for k in range(size_h)]
    size = d.degree()
    matrix = fmpq_mat(size, size, [columns[j][i] for i in range(size) for j in range(size)])
    found = matrix.solve(fmpq_mat(size, 1, [n[i] for i in range(size)]))
    values = [found[i, 0] for i in range(size)]
    return fmpq_poly(values[:size_g]), v, fmpq_poly(values[size_g:]), s


def _logarithms(h: fmpq_poly, q: fmpq_poly, x: Expr) -> Expr | None:
    """The integral of h/q with q irreducible."""
    slope = q.derivative()
    if not h:
        return ex.ZERO
    if q.degree() > 1:
        r = _residues(h, q)
        if r.degree() == 1:
            c = -fraction(fmpq(r[0]) / fmpq(r[1]))
            return ex.number(c) * ex.call("log", shown(q, x))
        if r.degree() < q.degree() or q.degree() == 2:
            return _by_residues(h, slope, q, r, x)
        closed = integrals([fraction(c) for c in q.coeffs()])
        if closed is not None:
            parts = [ex.number(fraction(c)) * closed(k, x) for k, c in enumerate(h.coeffs())]
            return ex.add([p for p in parts if p is not ex.ZERO])
        return _by_residues(h, slope, q, r, x)
    return ex.number(fraction(fmpq(h[0]) / fmpq(q[1]))) * ex.call("log", shown(q, x))


def _residues(h: fmpq_poly, q: fmpq_poly) -> fmpq_poly:
    """The irreducible polynomial of the residues: the minimal polynomial of h/q' modulo q."""
    _, inverse, _ = q.derivative().xgcd(q)
    residue = h * inverse % q
    size = q.degree()
    powers = [fmpq_poly([1])]
    while True:
        powers.append(powers[-1] * residue % q)
        count = len(powers)
        matrix = fmpq_mat(size, count, [powers[j][i] for i in range(size) for j in range(count)])
        reduced, rank = matrix.rref()
        if rank < count:  # the last power depends on the others
            return fmpq_poly([-reduced[i, count - 1] for i in range(rank)] + [1])


def _by_residues(
    h: fmpq_poly, slope: fmpq_poly, q: fmpq_poly, r: fmpq_poly, x: Expr
) -> Expr | None:
    """Sum over the roots c of r of c log gcd(h - c q', q)."""
    found = closed_roots(r)
    if found is None:
        return None
    z = fmpq_poly([0, 1])
    size = q.degree()
    first = [fmpq_poly([q[k]]) for k in range(size + 1)]
    second = [fmpq_poly([h[k]]) - z * slope[k] for k in range(size)]
    argument = _gcd(first, [c % r for c in second], r)
    terms = []
    for root in found:
        re, im = _value(argument, root, x)
        if root.im is ex.ZERO:
            terms.append(root.re * ex.call("log", re))
        else:
            terms.append(root.re * ex.call("log", re**2 + im**2))
            angle = im / re if im.free else -re / im  # without a jump where that is easy
            terms.append(-2 * root.im * ex.call("atan", angle))
    return ex.add(terms)


def closed_roots(r: fmpq_poly) -> list[Root] | None:
    """The real roots of r and the upper one of each complex pair, where they have closed forms."""
    coefficients = [fraction(c) for c in r.coeffs()]
    if r.degree() == 1:
        return [Complex(ex.number(-coefficients[0] / coefficients[1]), ex.ZERO)]
    if r.degree() > _MOST_RESIDUES:
        return None
    if r.degree() > 2:
        found = roots(coefficients)
        count = sum(1 if root.im is ex.ZERO else 2 for root in found or ())
        return found if count == r.degree() else None
    c, b, a = coefficients
    middle, inside = ex.number(-b / (2 * a)), (b * b - 4 * a * c) / (4 * a * a)
    size = ex.sqrt(ex.number(abs(inside)))
    if inside < 0:
        return [Complex(middle, size)]
    return [Complex(middle + size, ex.ZERO), Complex(middle - size, ex.ZERO)]


def _value(p: _Over, root: Root, x: Expr) -> tuple[Expr, Expr]:
    """Real and imaginary part of p at z = root."""
    re: list[Expr] = []
    im: list[Expr] = []
    for k, c in enumerate(p):
        total = Complex(ex.ZERO, ex.ZERO)
        for j, v in enumerate(c.coeffs()):
            total = total + root.power(j).scale(ex.number(fraction(v)))
        re.append(total.re * x**k)
        im.append(total.im * x**k)
    return ex.add(re), ex.add(im)


def _gcd(a: _Over, b: _Over, r: fmpq_poly) -> _Over:
    """The monic greatest common divisor over the field of polynomials modulo r."""

    def trimmed(p: _Over) -> _Over:
        while p and not p[-1]:
            p = p[:-1]
        return p

    a, b = trimmed(a), trimmed(b)
    while b:
        _, inverse, _ = b[-1].xgcd(r)
        b = [c * inverse % r for c in b]
        while len(a) >= len(b):
            lead, shift = a[-1], len(a) - len(b)
            a = [(c - lead * b[k - shift]) % r if k >= shift else c for k, c in enumerate(a[:-1])]
            a = trimmed(a)
        a, b = b, a
    return a


def square_free(e: Expr, x: str) -> Expr:
    """The same function of a real x, with squares out of the square roots of rational functions:
    sqrt((x - 3)**2 (x + 1)) is |x - 3| sqrt(x + 1)."""
    done: dict[Expr, Expr] = {}
    for node in ex.subtrees(e):
        args = tuple(done[a] for a in node.args)
        new = node if args == node.args else ex.rebuild(node, args)
        if new.op == "pow" and new.args[1].op == "num" and new.args[1].value.denominator == 2:
            new = _without_squares(new, x)
        done[node] = new
    return done[e]


def _without_squares(root: Expr, x: str) -> Expr:
    base, exponent = root.args
    found = as_rational(base, x) if x in base.free else None
    if found is None:
        return root
    (top, over), (below, under) = (p.factor() for p in found)
    factors = [(q, int(e)) for q, e in over] + [(q, -int(e)) for q, e in under]
    if all(abs(e) == 1 for _, e in factors):
        return root
    outside, inside = ex.ONE, ex.number(fraction(top) / fraction(below))
    for q, e in factors:
        part = shown(q, ex.symbol(x))
        half = e // 2
        outside = outside * (ex.call("abs", part) if half % 2 else part) ** ex.number(half)
        inside = inside * part ** ex.number(e % 2)
    return outside ** (2 * exponent) * ex.power(inside, exponent)
