"""Hash-consed expressions: the data type of everything symbolic here.

Equal expressions are the same object, so that equality is `is`, memo tables are plain dictionaries
and a derivative shares subtrees with its function. Constructors apply only rewritings that hold for
every complex value: sums and products are flattened and sorted, like terms and powers of the same
base are collected, rational numbers are folded, exp(log(u)) and log(exp(number)) are simplified.
Nothing is expanded and no branch is ever chosen.

`generate.arena` holds the same rules in compiled form for the generators.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Union

from sciml.errors import InputError
from sciml.symbolic.expr import rational
from sciml.symbolic.expr.rational import MAX_BITS, TooLarge, Undefined

OPERATORS = ("num", "sym", "pi", "I", "exp", "pow", "mul", "add")
FUNCTIONS = (
    "exp log sin cos tan cot sec csc asin acos atan acot asec acsc sinh cosh tanh coth sech csch "
    "asinh acosh atanh acoth asech acsch abs sign erf erfi Ei li Si Ci Shi Chi fresnels fresnelc "
    "dilog floor"
).split()
_RANK = {name: i for i, name in enumerate(OPERATORS)}
_RANK.update({name: i + 10 for i, name in enumerate(FUNCTIONS) if name != "exp"})
SPECIAL: dict[str, tuple[int, ...]] = {
    "elliptic_k": (1,), "elliptic_f": (2,), "elliptic_e": (1, 2), "elliptic_pi": (2, 3),
    "carlson_rf": (3,), "carlson_rc": (2,), "carlson_rd": (3,), "carlson_rj": (4,),
    "hyp2f1": (4,), "hyp1f1": (3,), "appellf1": (6,), "gamma": (1,), "loggamma": (1,),
    "digamma": (1,), "polygamma": (2,), "uppergamma": (2,), "lowergamma": (2,),
    "beta_lower": (3,), "expint": (2,), "polylog": (2,), "zeta": (1, 2), "LambertW": (1, 2),
    "besselj": (2,), "bessely": (2,), "besseli": (2,), "besselk": (2,), "airyai": (1,),
    "airybi": (1,), "airyaiprime": (1,), "airybiprime": (1,),
}  # fmt: skip
"""Special functions beside `FUNCTIONS` and their numbers of arguments; their order and meaning are
those of `special_functions`."""
NAMED = frozenset((*FUNCTIONS, *SPECIAL))
"""All functions."""
_RANK.update({name: i + 500 for i, name in enumerate(SPECIAL)})
_RANK["DiracDelta"] = 1000
"""An impulse: no function, and so not among `FUNCTIONS`; it can be integrated."""
_ODD = frozenset("sin tan cot csc asin atan acot acsc sinh tanh coth csch asinh atanh acoth acsch "
                 "erf erfi Si Shi fresnels fresnelc sign".split())  # fmt: skip
_EVEN = frozenset("cos sec cosh sech abs".split())
_AT_ZERO = {"exp": 1, "sin": 0, "cos": 1, "tan": 0, "sec": 1, "asin": 0, "atan": 0, "sinh": 0,
            "cosh": 1, "tanh": 0, "sech": 1, "asinh": 0, "atanh": 0, "abs": 0, "sign": 0,
            "erf": 0, "erfi": 0, "Si": 0, "Shi": 0, "fresnels": 0, "fresnelc": 0,
            "dilog": 0, "floor": 0}  # fmt: skip

Number = int | Fraction
ExprLike = Union["Expr", int, Fraction]


class Expr:
    """One interned node. Build with the operators, `symbol`, `number` and `call`.

    Attributes:
        op: the operator or the function's name.
        args: the operands.
        value: Fraction of a number, name of a symbol, otherwise None.
        key: structural hash, equal in every process; terms are sorted by it.
        free: names of the symbols it holds.
    """

    __slots__ = ("op", "args", "value", "key", "free", "_derivative", "__weakref__")
    op: str
    args: tuple[Expr, ...]
    value: Any
    key: int
    free: frozenset[str]
    _derivative: dict[str, Expr] | None

    def __add__(self, other: ExprLike) -> Expr:
        return add((self, other))

    __radd__ = __add__

    def __sub__(self, other: ExprLike) -> Expr:
        return add((self, mul((-1, other))))

    def __rsub__(self, other: ExprLike) -> Expr:
        return add((other, mul((-1, self))))

    def __mul__(self, other: ExprLike) -> Expr:
        return mul((self, other))

    __rmul__ = __mul__

    def __neg__(self) -> Expr:
        return mul((-1, self))

    def __truediv__(self, other: ExprLike) -> Expr:
        return mul((self, power(wrap(other), number(-1))))

    def __rtruediv__(self, other: ExprLike) -> Expr:
        return mul((other, power(self, number(-1))))

    def __pow__(self, other: ExprLike) -> Expr:
        return power(self, wrap(other))

    def __rpow__(self, other: ExprLike) -> Expr:
        return power(wrap(other), self)

    def __str__(self) -> str:
        from sciml.symbolic.expr.printing import infix

        return infix(self)

    def __repr__(self) -> str:
        return f"Expr({self})"

    def __reduce__(self) -> tuple:
        return _node, (self.op, self.args, self.value)

    def has(self, name: str) -> bool:
        """Whether the symbol `name` occurs."""
        return name in self.free

    def diff(self, name: str) -> Expr:
        """The derivative with respect to the symbol `name`."""
        from sciml.symbolic.expr.calculus import differentiate

        return differentiate(self, name)

    def subs(self, mapping: Mapping[Expr, ExprLike]) -> Expr:
        """Replace every occurrence of the keys (as whole subtrees), bottom up."""
        return substitute(self, mapping)


_TABLE: weakref.WeakValueDictionary[tuple, Expr] = weakref.WeakValueDictionary()
_MASK = (1 << 61) - 1


def _mix(seed: int, value: int) -> int:
    seed = (seed * 6364136223846793005 + value + 1442695040888963407) & _MASK
    return seed ^ (seed >> 29)


def _text_key(text: str) -> int:
    code = 7
    for byte in text.encode():
        code = _mix(code, byte)
    return code


def _node(op: str, args: tuple[Expr, ...], value: Any = None) -> Expr:
    token = (op, value, *map(id, args))
    interned = _TABLE.get(token)
    if interned is not None:
        return interned
    node = object.__new__(Expr)
    node.op, node.args, node.value, node._derivative = op, args, value, None
    code = _RANK[op] + 1
    if op == "num":
        code = _mix(_mix(code, value.numerator), value.denominator)
    elif op == "sym":
        code = _mix(code, _text_key(value))
    for arg in args:
        code = _mix(code, arg.key)
    node.key = code
    if op == "sym":
        node.free = frozenset((value,))
    elif len(args) == 1:
        node.free = args[0].free
    else:
        node.free = frozenset().union(*[arg.free for arg in args])
    _TABLE[token] = node
    return node


def number(value: Number) -> Expr:
    """The rational number `value`."""
    value = Fraction(value)
    if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
        raise TooLarge(f"a number would have more than {MAX_BITS} bits")
    return _node("num", (), value)


def symbol(name: str) -> Expr:
    """The variable or symbolic constant `name`."""
    return _node("sym", (), name)


def wrap(value: ExprLike) -> Expr:
    """A number as an expression; an expression as it is."""
    return value if isinstance(value, Expr) else number(value)


ZERO, ONE, TWO, MINUS = number(0), number(1), number(2), number(-1)
HALF = number(Fraction(1, 2))
PI = _node("pi", ())
I = _node("I", ())
E = _node("exp", (ONE,))
_KEEP = (ZERO, ONE, TWO, MINUS, HALF, PI, I, E)


def split_coefficient(e: Expr) -> tuple[Fraction, Expr]:
    """(c, rest) with `e` = c * rest and c rational."""
    if e.op == "num":
        return e.value, ONE
    if e.op == "mul" and e.args[0].op == "num":
        rest = e.args[1:]
        return e.args[0].value, rest[0] if len(rest) == 1 else _node("mul", rest)
    return Fraction(1), e


def add(terms: Iterable[ExprLike]) -> Expr:
    """The sum, with like terms collected."""
    constant = Fraction(0)
    coefficients: dict[Expr, Fraction] = {}
    stack = [wrap(t) for t in terms]
    for term in stack:
        for part in term.args if term.op == "add" else (term,):
            if part.op == "num":
                constant += part.value
                continue
            coefficient, rest = split_coefficient(part)
            coefficients[rest] = coefficients.get(rest, Fraction(0)) + coefficient
    args = [rest if c == 1 else _scaled(c, rest) for rest, c in coefficients.items() if c]
    args.sort(key=_order)
    if constant:
        args.insert(0, number(constant))
    if not args:
        return ZERO
    return args[0] if len(args) == 1 else _node("add", tuple(args))


def _scaled(coefficient: Fraction, rest: Expr) -> Expr:
    c = number(coefficient)
    return _node("mul", (c, *rest.args)) if rest.op == "mul" else _node("mul", (c, rest))


def _order(e: Expr) -> tuple[int, int]:
    return _RANK[e.op], e.key


def base_and_exponent(e: Expr) -> tuple[Expr, Expr]:
    """(base, exponent) of `e`; exp(u) has base E."""
    if e.op == "pow":
        return e.args[0], e.args[1]
    if e.op == "exp":
        return E, e.args[0]
    return e, ONE


def mul(factors: Iterable[ExprLike]) -> Expr:
    """The product, with powers of the same base collected."""
    coefficient = Fraction(1)
    exponents: dict[Expr, Expr] = {}
    for factor in factors:
        factor = wrap(factor)
        for part in factor.args if factor.op == "mul" else (factor,):
            if part.op == "num":
                coefficient *= part.value
                continue
            base, exponent = base_and_exponent(part)
            previous = exponents.get(base)
            exponents[base] = exponent if previous is None else add((previous, exponent))
    if coefficient == 0:
        return ZERO
    args: list[Expr] = []
    nested = False
    for base, exponent in exponents.items():
        part = power(base, exponent)
        if part.op == "num":
            coefficient *= part.value
        else:
            nested = nested or part.op == "mul"
            args.append(part)
    if nested:
        return mul([number(coefficient), *args])
    if not args:
        return number(coefficient)
    args.sort(key=_order)
    if coefficient == 1:
        return args[0] if len(args) == 1 else _node("mul", tuple(args))
    if len(args) == 1 and args[0].op == "add":  # 2*(x + 1) = 2*x + 2, as everyone prints it
        return add([mul((number(coefficient), t)) for t in args[0].args])
    return _node("mul", (number(coefficient), *args))


def _number_power(base: Fraction, exponent: Fraction) -> Expr:
    value, radicals, phase = rational.power(base, exponent)
    args = [_node("pow", (number(p), number(e))) for p, e in radicals]
    if phase:
        args.append(I if phase == Fraction(1, 2) else _node("pow", (MINUS, number(phase))))
    if not args:
        return number(value)
    args.sort(key=_order)
    if value != 1:
        args.insert(0, number(value))
    return args[0] if len(args) == 1 else _node("mul", tuple(args))


def power(base: Expr, exponent: Expr) -> Expr:
    """base ** exponent, principal value."""
    if base is E:
        return call("exp", exponent)
    if exponent.op == "num":
        e = exponent.value
        if e == 0:
            return ONE
        if e == 1:
            return base
        if base.op == "num":
            return _number_power(base.value, e)
        integral = e.denominator == 1
        if base.op == "I":
            return _imaginary_power(e) if integral else _node("pow", (base, exponent))
        if base.op == "exp" and integral:
            return call("exp", mul((exponent, base.args[0])))
        if base.op == "pow":
            inner = base.args[1]
            if integral or (inner.op == "num" and abs(inner.value) < 1):
                return power(base.args[0], mul((inner, exponent)))
        if base.op == "mul":
            if integral:
                return mul([power(f, exponent) for f in base.args])
            c, rest = split_coefficient(base)
            if c not in (1, -1):
                signed = rest if c > 0 else mul((MINUS, rest))
                return mul((_number_power(abs(c), e), power(signed, exponent)))
        return _node("pow", (base, exponent))
    if base is ONE:
        return ONE
    if base is ZERO:
        raise Undefined("a power of zero with an unknown exponent")
    return _node("pow", (base, exponent))


def _imaginary_power(e: Fraction) -> Expr:
    return (ONE, I, MINUS, mul((MINUS, I)))[e.numerator % 4]


def negative(e: Expr) -> bool:
    """Whether `e` has a minus sign that can be factored out: most of its terms are negative."""
    if e.op == "num":
        return e.value < 0
    if e.op == "mul":
        return e.args[0].op == "num" and e.args[0].value < 0
    if e.op == "add":
        minus = sum(negative(t) for t in e.args)
        return 2 * minus > len(e.args)
    return False


def is_radical(e: Expr) -> bool:
    """Whether e is a power with a fractional exponent."""
    return e.op == "pow" and e.args[1].op == "num" and e.args[1].value.denominator > 1


def is_negative_power(e: Expr) -> bool:
    """Whether e is a power with a negative number as its exponent."""
    return e.op == "pow" and e.args[1].op == "num" and e.args[1].value < 0


def call(name: str, *arguments: ExprLike) -> Expr:
    """The function `name` of its arguments."""
    if name in SPECIAL:
        from sciml.symbolic.expr.special_functions import special

        return special(name, tuple(wrap(a) for a in arguments))
    if len(arguments) != 1:
        raise InputError(f"{name} has one argument, got {len(arguments)}")
    u = wrap(arguments[0])
    if u is ZERO and name in _AT_ZERO:
        return number(_AT_ZERO[name])
    if name == "exp":
        return _exp(u)
    if name == "log":
        if u is ZERO:
            raise Undefined("logarithm of zero")
        if u is ONE:
            return ZERO
        if u.op == "exp" and u.args[0].op == "num":
            return u.args[0]
    elif name == "sqrt":
        return power(u, HALF)
    elif name in _ODD and negative(u):
        return mul((MINUS, call(name, mul((MINUS, u)))))
    elif name in _EVEN and negative(u):
        u = mul((MINUS, u))
    if name == "abs":
        if u.op == "num":
            return number(abs(u.value))
        if u.op == "abs":
            return u
    elif name == "sign" and u.op == "num":
        return number((u.value > 0) - (u.value < 0))
    elif name == "floor":
        return _floor(u)
    if name not in _RANK:
        raise InputError(f"unknown function {name!r}")
    if u is PI and name in ("sin", "cos", "tan"):
        return MINUS if name == "cos" else ZERO
    return _node(name, (u,))


def _floor(u: Expr) -> Expr:
    """The largest integer that is not above u; integers are taken out of it."""
    if u.op == "num":
        return number(u.value.numerator // u.value.denominator)
    if u.op == "floor":
        return u
    whole = u.args[0].value if u.op == "add" and u.args[0].op == "num" else Fraction(0)
    whole = Fraction(whole.numerator // whole.denominator)
    rest = _node("floor", (add((u, -whole)),))
    return add((rest, whole)) if whole else rest


def _exp(u: Expr) -> Expr:
    """exp(u), simplified by exp(a + n*log(b)) = b**n * exp(a)."""
    outside: list[Expr] = []
    inside: list[Expr] = []
    for term in u.args if u.op == "add" else (u,):
        coefficient, rest = split_coefficient(term)
        if rest.op == "log":
            outside.append(power(rest.args[0], number(coefficient)))
        else:
            inside.append(term)
    if not outside:
        return _node("exp", (u,))
    rest = add(inside)
    if rest is not ZERO:
        outside.append(_node("exp", (rest,)))
    return mul(outside)


def sqrt(u: ExprLike) -> Expr:
    """The principal square root."""
    return power(wrap(u), HALF)


def rebuild(e: Expr, args: tuple[Expr, ...]) -> Expr:
    """The operator of `e` applied to other operands, with the constructors' simplifications."""
    if e.op == "add":
        return add(args)
    if e.op == "mul":
        return mul(args)
    if e.op == "pow":
        return power(*args)
    return call(e.op, *args) if args else e


def substitute(e: Expr, mapping: Mapping[Expr, ExprLike]) -> Expr:
    """Replace whole subtrees, bottom up; every occurrence of an equal subtree changes."""
    memo: dict[Expr, Expr] = {old: wrap(new) for old, new in mapping.items()}

    def walk(node: Expr) -> Expr:
        new = memo.get(node)
        if new is None:
            args = tuple(walk(a) for a in node.args)
            new = node if args == node.args else rebuild(node, args)
            memo[node] = new
        return new

    return walk(e)


def subtrees(e: Expr) -> list[Expr]:
    """The distinct nodes in topological order: operands before the nodes that use them."""
    out: dict[Expr, None] = {}

    def walk(node: Expr) -> None:
        if node not in out:
            for a in node.args:
                walk(a)
            out[node] = None

    walk(e)
    return list(out)


def size(e: Expr) -> int:
    """The number of nodes of the tree (shared subtrees counted at each occurrence)."""
    counts: dict[Expr, int] = {}
    for node in subtrees(e):
        counts[node] = 1 + sum(counts[a] for a in node.args)
    return counts[e]
