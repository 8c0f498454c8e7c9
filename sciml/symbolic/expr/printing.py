"""Expressions as infix text, LaTeX and SymPy, and expressions from SymPy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.pieces import (
    ceiling,
    heaviside,
    largest,
    modulo,
    piecewise,
    smallest,
    step_argument,
)
from sciml.symbolic.expr.reading import GREEK
from sciml.symbolic.expr.special_functions import SPELLINGS, called, hypergeometric
from sciml.symbolic.expr.special_printing import latex_constructors, special_constructors
from sciml.symbolic.expr.symbols import reserved

_ADD, _MUL, _UNARY, _POW, _ATOM = 1, 2, 3, 4, 5


def _degree(e: Expr) -> tuple[int, int]:
    """Sort key of printed terms: the longest first, ties by structure."""
    return (-ex.size(e), e.key)


def infix(e: Expr) -> str:
    """Text that `parse` reads back to the same expression."""
    memo: dict[Expr, tuple[str, int]] = {}

    def wrapped(node: Expr, least: int) -> str:
        text, level = memo[node]
        return text if level >= least else f"({text})"

    for node in ex.subtrees(e):
        memo[node] = _infix(node, wrapped)
    return memo[e][0]


def _rational(value: Fraction) -> tuple[str, int]:
    text = str(value.numerator)
    if value.denominator != 1:
        return f"{text}/{value.denominator}", _MUL if value >= 0 else _ADD
    return text, _ATOM if value >= 0 else _ADD


def _infix(node: Expr, show: Any) -> tuple[str, int]:
    if node.op == "num":
        return _rational(node.value)
    if node.op in ("sym", "pi", "I"):
        return node.value or node.op, _ATOM
    if node.op == "add":
        inside = step_argument(node)
        if inside is not None:
            return f"Heaviside({show(inside, _ADD)})", _ATOM
        terms = sorted(node.args, key=lambda t: (t.op == "num", ex.negative(t), _degree(t)))
        text = show(terms[0], _ADD)
        for term in terms[1:]:
            c, _ = ex.split_coefficient(term)
            if c < 0:
                text += " - " + show_negated(term)
            else:
                text += " + " + show(term, _MUL)
        return text, _ADD
    if node.op == "mul":
        return _product(node, show)
    if node.op == "pow":
        base, exponent = node.args
        if exponent is ex.HALF:
            return f"sqrt({show(base, _ADD)})", _ATOM
        if exponent is ex.MINUS:
            return f"1/{show(base, _POW)}", _MUL
        if exponent.op == "num" and exponent.value == Fraction(-1, 2):
            return f"1/sqrt({show(base, _ADD)})", _MUL
        return f"{show(base, _ATOM)}**{show(exponent, _ATOM)}", _POW
    if node is ex.E:
        return "E", _ATOM
    return f"{node.op}({', '.join(show(a, _ADD) for a in node.args)})", _ATOM


def show_negated(term: Expr) -> str:
    """The text of -term, in brackets where needed after a minus sign."""
    negated = ex.mul((ex.MINUS, term))
    text = infix(negated)
    return f"({text})" if negated.op == "add" else text


def _product(node: Expr, show: Any) -> tuple[str, int]:
    c, _ = ex.split_coefficient(node)
    top, bottom = [], []
    if abs(c.numerator) != 1:
        top.append(str(abs(c.numerator)))
    if c.denominator != 1:
        bottom.append(str(c.denominator))
    for factor in sorted(node.args, key=_degree, reverse=True):
        if factor.op == "num":
            continue
        if factor.op == "pow" and factor.args[1].op == "num" and factor.args[1].value < 0:
            flipped = ex.power(factor.args[0], ex.number(-factor.args[1].value))
            bottom.append(infix(flipped) if flipped.op not in ("add", "mul") else f"({flipped})")
        else:
            top.append(show(factor, _UNARY))
    text = "*".join(top) or "1"
    if len(bottom) == 2 and bottom[0].isdigit() and bottom[1].startswith("("):
        text += f"/{bottom[0]}/{bottom[1]}"  # 2*(x + 1) in one bracket would be multiplied out
    elif bottom:
        text += f"/{bottom[0]}" if len(bottom) == 1 else f"/({'*'.join(bottom)})"
    return ("-" + text, _ADD) if c < 0 else (text, _MUL)


def symbol_name(symbol: Any) -> str:
    """The name of a SymPy symbol in this package: \\theta is theta, x_{1} is x_1.

    Raises:
        InputError: for a name that cannot be written as text, or is that of a function or a number.
    """
    name = re.sub(r"\\([A-Za-z]+)", r"\1", str(symbol.name))
    name = re.sub(r"_\{([A-Za-z0-9]+)\}", r"_\1", name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        raise InputError(f"the symbol {symbol.name!r} has no plain name", hint="Rename it.")
    if reserved(name):
        raise InputError(f"the symbol {symbol.name!r} has the name of a function or a number",
                         hint="Rename it.")  # fmt: skip
    return name


def symbols_of(*problems: Any) -> dict[str, Any]:
    """SymPy's symbols in the problems by name, with their assumptions, to use them in the answer.

    Raises:
        InputError: two symbols of the same name with different assumptions.
    """
    out: dict[str, Any] = {}
    for problem in problems:
        for symbol in getattr(problem, "free_symbols", ()):
            name = symbol_name(symbol)
            if out.setdefault(name, symbol) != symbol:
                raise InputError(f"two different symbols have the name {name!r}")
    return out


def to_sympy(
    e: Expr, symbols: Mapping[str, Any] | None = None, functions: Mapping[str, Any] | None = None
) -> Any:
    """The SymPy expression, made with SymPy's constructors from the tree (no text is read).

    Args:
        e: the expression.
        symbols: SymPy symbols to use, by name; other names become symbols without assumptions.
        functions: SymPy functions to use instead of the usual ones, by this package's names.
    """
    import sympy as sp

    given_symbols = symbols or {}
    constructors = {name: getattr(sp, name) for name in ex.FUNCTIONS if hasattr(sp, name)}
    constructors["abs"] = sp.Abs
    constructors["DiracDelta"] = sp.DiracDelta
    constructors["dilog"] = lambda u: sp.polylog(2, u)
    constructors |= special_constructors()
    constructors.update(functions or {})
    memo: dict[Expr, Any] = {}
    for node in ex.subtrees(e):
        args = [memo[a] for a in node.args]
        if node.op == "num":
            memo[node] = sp.Rational(node.value.numerator, node.value.denominator)
        elif node.op == "sym":
            memo[node] = given_symbols.get(node.value) or sp.Symbol(node.value)
        elif node.op in ("pi", "I"):
            memo[node] = getattr(sp, node.op)
        elif node.op == "add":
            memo[node] = sp.Add(*args)
        elif node.op == "mul":
            memo[node] = sp.Mul(*args)
        elif node.op == "pow":
            memo[node] = sp.Pow(*args)
        else:
            memo[node] = constructors[node.op](*args)
    return memo[e]


def integral_parts(
    integral: Any, variable: Any, limits: tuple[Any, Any] | None
) -> tuple[Any, Any, tuple[Any, Any] | None]:
    """Integrand, variable and limits of SymPy's Integral.

    Raises:
        InputError: for several variables, a single limit, or a contradicting variable or limits.
    """
    if len(integral.limits) != 1 or len(integral.limits[0]) == 2:
        raise InputError("an Integral must have one variable, and two limits or none")
    inner, *ends = integral.limits[0]
    if variable is not None and str(getattr(variable, "name", variable)) != inner.name:
        raise InputError(f"the integral is over {inner.name!r}, the variable given is {variable!r}")
    if ends and limits:
        raise InputError("the integral has limits already")
    return integral.function, inner, tuple(ends) or limits


_FROM = {"Abs": "abs"}


def from_sympy(e: Any, limit: int = 20_000) -> Expr:
    """An expression from a SymPy one.

    Raises:
        InputError: for a function this package does not know, or more than `limit` nodes.
    """
    import sympy as sp

    count = 0
    memo: dict[Any, Expr] = {}

    def walk(node: Any) -> Expr:
        nonlocal count
        if node in memo:
            return memo[node]
        count += 1
        if count > limit:
            raise InputError(f"the expression has more than {limit} nodes")
        memo[node] = out = make(node)
        return out

    def condition_of(c: Any) -> Expr | None:
        """The u of a condition u > 0; None for True."""
        if c is sp.true or c == True:  # noqa: E712
            return None
        if isinstance(c, (sp.Lt, sp.Le)):
            return walk(c.rhs - c.lhs)
        if isinstance(c, (sp.Gt, sp.Ge)):
            return walk(c.lhs - c.rhs)
        raise InputError(f"the condition {c} of a Piecewise is not an inequality")

    def make(node: Any) -> Expr:
        if isinstance(node, sp.Rational):
            return ex.number(Fraction(int(node.p), int(node.q)))
        if isinstance(node, sp.Float):
            return ex.number(Fraction(str(node)))
        if isinstance(node, sp.Symbol):
            if not re.fullmatch(r"[A-Za-z]\w*'+", node.name):  # y' of an equation
                return ex.symbol(symbol_name(node))
            return ex.symbol(node.name)
        constant = {sp.pi: ex.PI, sp.E: ex.E, sp.I: ex.I}.get(node)
        if constant is not None:
            return constant
        if isinstance(node, sp.Add):
            return ex.add([walk(a) for a in node.args])
        if isinstance(node, sp.Mul):
            return ex.mul([walk(a) for a in node.args])
        if isinstance(node, sp.Pow):
            return ex.power(walk(node.base), walk(node.exp))
        name = type(node).__name__
        if name == "hyper":
            return hypergeometric([walk(a) for a in node.ap], [walk(b) for b in node.bq],
                                  walk(node.argument))  # fmt: skip
        if name in ("Max", "Min"):
            return (largest if name == "Max" else smallest)([walk(a) for a in node.args])
        if name == "Heaviside":
            return heaviside(walk(node.args[0]))
        if name == "DiracDelta" and len(node.args) == 1:
            return ex.call("DiracDelta", walk(node.args[0]))
        if name == "ceiling":
            return ceiling(walk(node.args[0]))
        if name == "Mod":
            return modulo(*(walk(a) for a in node.args))
        if name == "Piecewise":
            return piecewise([(walk(value), condition_of(c)) for value, c in node.args])
        name = _FROM.get(name, name)
        if name in ex.FUNCTIONS and len(node.args) == 1:
            return ex.call(name, walk(node.args[0]))
        if name in SPELLINGS:
            return called(name, [walk(a) for a in node.args])
        raise InputError(_unknown(node, sp))

    e = sp.sympify(e) if isinstance(e, (int, float)) else e
    if not isinstance(e, sp.Expr):
        raise InputError(_unknown(e, sp))
    return walk(e)


_HINTS = {
    "Integral": "Give its integrand, and its limits as limits=(a, b).",
    "Derivative": "Take it first: .doit().",
    "Equality": "Give one side of it.",
}  # fmt: skip


def _unknown(node: Any, sp: Any) -> str:
    name = getattr(getattr(node, "func", None), "__name__", type(node).__name__)
    if not isinstance(node, sp.Basic):
        return f"an expression must be text, SymPy or a number, got {type(node).__name__}"
    hint = _HINTS.get(name, "")
    return f"SymPy's {name} is not among the functions known here. {hint}".rstrip()


def latex(e: Expr, symbols: Mapping[str, Any] | None = None) -> str:
    """LaTeX by SymPy's printer, in a form that `parse` reads back: the imaginary unit is upright,
    and no product looks like the call of a function."""
    import sympy as sp

    plain = {name: (symbols or {}).get(name) or sp.Symbol(name) for name in e.free}
    names = {symbol: text for name, symbol in plain.items() if (text := _latex_name(name))}
    functions = {f: sp.Function(f) for f in ("fresnels", "fresnelc", "dilog")}
    functions |= latex_constructors()
    functions["floor"] = lambda u: sp.floor(u, evaluate=False)  # a sum would be taken apart
    try:
        made = to_sympy(e, plain, functions)
        folded = made.has(sp.zoo, sp.nan, sp.oo, -sp.oo) or any(
            p.base == 0 for p in made.atoms(sp.Pow)
        )
    except RecursionError:
        folded = True
    if folded:  # SymPy would evaluate it to infinity, nan or 0 to a power
        with sp.evaluate(False):
            made = to_sympy(e, plain, functions)
    text = str(sp.latex(made, imaginary_unit="ri", symbol_names=names))
    # A letter that may denote a function is put in braces before a bracket.
    return _BEFORE_BRACKET.sub(r"{\1}\2 \\left(", text)


_BEFORE_BRACKET = re.compile(
    r"(?<![A-Za-z\\])((?:[A-Za-z]|\\[A-Za-z]+)_\{\w+\}|[A-Zfgh]|\\math(?:rm|it)\{\w+\}"
    r"|\\(?:Gamma|zeta|psi|theta|delta|eta|chi|Pi|Psi|Phi))(\^\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})?"
    r" \\left\("
)


def _latex_name(name: str) -> str | None:
    """LaTeX of a name that SymPy would write as a product of letters; None for other names."""
    if name in ("i", "j", "d"):
        return rf"\mathit{{{name}}}"
    bare = name.rstrip("'")
    if re.fullmatch(r"[A-Za-z]|[A-Za-z]\d+|[A-Za-z]_[A-Za-z0-9]+", bare) or bare in GREEK:
        return None
    head, _, sub = bare.partition("_")
    if head in GREEK and sub.isalnum() or bare.removeprefix("var") in GREEK:
        return None
    return rf"\mathrm{{{bare}}}" + name[len(bare) :]
