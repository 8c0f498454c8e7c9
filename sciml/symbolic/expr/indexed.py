"""Sums and products over an index in an integrand: Sum(f, (k, a, b)), Product(f, (k, a, oo)).

An expression holds a symbol in the place of each; what the symbols stand for is kept beside it, in
the order in which one may hold another. `operations.summed_integrands` puts closed forms there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End
from sciml.symbolic.expr.special_reading import Reader

WORDS = {"Sum": False, "Product": True}
"""The words before the bracket, and whether they are products."""
_INFINITE = ("oo", "inf", "infinity")


@dataclass(frozen=True)
class Indexed:
    """A sum or product.

    Attributes:
        name: the symbol that stands for it.
        term: what is added or multiplied.
        index: the name of the index.
        low, high: its first and last value.
        product: whether it is a product.
    """

    name: str
    term: Expr
    index: str
    low: End
    high: End
    product: bool

    def __str__(self) -> str:
        word = "Product" if self.product else "Sum"
        return f"{word}({self.term}, ({self.index}, {self.low}, {self.high}))"


def indexed_call(p: Reader, word: str, found: list[Indexed]) -> Expr:
    """The symbol for Sum(f, (k, a, b)); what it stands for is added to `found`."""
    p.expect("(")
    term = p.sum()
    p.expect(",")
    p.expect("(")
    index = p.sum()
    if index.op != "sym":
        raise p.fail("an index is a name", back=1)
    p.expect(",")
    low = _end(p)
    p.expect(",")
    high = _end(p)
    p.expect(")")
    if p.peek() == ",":
        raise p.fail("a sum has one index", "Write a sum in a sum.")
    p.expect(")")
    if low.infinite:
        raise p.fail("the first value of an index is finite", back=1)
    if any(e.at is not None and index.value in e.at.free for e in (low, high)):
        raise p.fail("an index stands in its own limit", back=1)
    return stand_in(term, str(index.value), low, high, WORDS[word], found)


def stand_in(
    term: Expr, index: str, low: End, high: End, product: bool, found: list[Indexed]
) -> Expr:  # fmt: skip
    """The symbol for a sum or product, which is added to `found`; the same one for the same sum."""
    new = Indexed(f"sum__{len(found)}", term, index, low, high, product)
    for known in found:
        if (known.term, known.index, known.low, known.high, known.product) == (
            term, index, low, high, product
        ):  # fmt: skip
            return ex.symbol(known.name)
    found.append(new)
    return ex.symbol(new.name)


def _end(p: Reader) -> End:
    sign = 1
    start = p.i
    while p.peek() in ("+", "-"):
        sign = -sign if p.peek() == "-" else sign
        p.i += 1
    if p.peek() in _INFINITE:
        p.i += 1
        return End(None, sign)
    p.i = start
    return End(p.sum())


def with_symbols_of(e: Expr, series: Sequence[Indexed]) -> Expr:
    """An expression with the free symbols that e has with its sums: the indices are bound."""
    bound: dict[Expr, ex.ExprLike] = {ex.symbol(s.index): 1 + ex.PI for s in series}
    for s in reversed(series):
        if s.name in e.free:
            ends = [end.at for end in (s.low, s.high) if end.at is not None]
            term = ex.substitute(s.term, bound)
            e = ex.add([ex.substitute(e, {ex.symbol(s.name): 1 + ex.PI}), term, *ends])
    return e


def written_out(text: str, series: Sequence[Indexed]) -> str:
    """The text of an expression with its sums in the place of their symbols."""
    for s in reversed(series):
        text = text.replace(s.name, str(s))
    return text


def from_sympy_series(e: Any, found: list[Indexed]) -> Any:
    """SymPy's expression with a symbol for each Sum and Product over one index."""
    import sympy as sp

    from sciml.errors import InputError
    from sciml.symbolic.expr.printing import from_sympy, symbol_name

    def end(value: Any) -> End:
        if value in (sp.oo, -sp.oo):
            return End(None, 1 if value == sp.oo else -1)
        return End(from_sympy(value))

    for node in sorted(e.atoms(sp.Sum, sp.Product), key=sp.count_ops):
        inner = node.function
        if len(node.limits) != 1 or len(node.limits[0]) != 3:
            raise InputError(f"a sum has one index, from a first to a last value, got {node}",
                             hint="Write a sum in a sum.")  # fmt: skip
        index, low, high = node.limits[0]
        term = from_sympy(from_sympy_series(inner, found))
        product = isinstance(node, sp.Product)
        symbol = stand_in(term, symbol_name(index), end(low), end(high), product, found)
        e = e.xreplace({node: sp.Symbol(symbol.value)})
    return e
