"""Prefix token sequences, the format of Lample & Charton (ICLR 2020).

Integers are a sign token and decimal digits: 17 is ``INT+ 1 7``. Sums and products are binary and
nest to the right; ``sub`` and ``div`` are read, -a is written ``mul INT- 1 a`` and 1/a
``pow a INT- 1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from sciml.errors import InputError, unknown
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

MAX_TOKENS = 4096
MAX_DIGITS = 100
BINARY = ("add", "sub", "mul", "div", "pow", "rac")
UNARY = (
    "exp ln sqrt abs sign sin cos tan cot sec csc asin acos atan acot asec acsc sinh cosh tanh "
    "coth sech csch asinh acosh atanh acoth asech acsch"
).split()
SHORTHAND = {"inv": -1, "pow2": 2, "pow3": 3, "pow4": 4, "pow5": 5}
CONSTANTS = ("pi", "E", "I")
VARIABLES = ("x", "y", "y'", "y''", "c1", "c2")
DIGITS = tuple("0123456789")
SIGNS = ("INT+", "INT-")
ARITY = {**dict.fromkeys(BINARY, 2), **dict.fromkeys(UNARY, 1), **dict.fromkeys(SHORTHAND, 1)}
_PUBLISHED_NAMES = {"Y": "y", "Y'": "y'", "Y''": "y''", "a8": "c1", "a9": "c2", "c": "c1"}
_SYMBOLS = {*VARIABLES, *_PUBLISHED_NAMES, "z", "t", "a", "b"}


def parse_prefix(tokens: str | Sequence[str]) -> Expr:
    """The expression of a prefix token sequence.

    Raises:
        InputError: names the token at fault (counted from 1): unknown, superfluous, or without an
            operand.
    """
    items = tokens.split() if isinstance(tokens, str) else list(tokens)
    if len(items) > MAX_TOKENS:
        raise InputError(f"{len(items)} tokens, the limit is {MAX_TOKENS}")
    if not items:
        raise InputError("no tokens")
    stack: list[Expr] = []
    end = len(items)
    position = end - 1
    while position >= 0:
        token = items[position]
        where = f"token {position + 1} ({token!r})"
        if token in DIGITS:
            start = position
            while start >= 0 and items[start] in DIGITS:
                start -= 1
            if start < 0 or items[start] not in SIGNS:
                raise InputError("digits without a sign token", where=where)
            digits = "".join(items[start + 1 : position + 1])
            if len(digits) > MAX_DIGITS:
                raise InputError(f"more than {MAX_DIGITS} digits", where=where)
            stack.append(ex.number(int(digits) * (1 if items[start] == "INT+" else -1)))
            position = start - 1
            continue
        if token in SIGNS:
            raise InputError("a sign token without digits", where=where)
        arity = ARITY.get(token, 0)
        if len(stack) < arity:
            raise InputError("an operand is missing", where=where)
        try:
            if arity == 2:
                stack.append(_binary(token, stack.pop(), stack.pop()))
            elif arity == 1:
                stack.append(_unary(token, stack.pop()))
            elif token in CONSTANTS:
                stack.append({"pi": ex.PI, "E": ex.E, "I": ex.I}[token])
            elif token in _SYMBOLS:
                stack.append(ex.symbol(_PUBLISHED_NAMES.get(token, token)))
            else:
                choices = [*ARITY, *_SYMBOLS, *CONSTANTS]
                raise unknown("token", str(token)[:40], choices, where=f"token {position + 1}")
        except (ex.TooLarge, ex.Undefined) as error:
            raise InputError(error.what, where=where) from None
        position -= 1
    if len(stack) != 1:
        raise InputError(f"{len(stack)} expressions where one was expected: tokens are left over")
    return stack[0]


def _binary(token: str, a: Expr, b: Expr) -> Expr:
    if token == "add":
        return a + b
    if token == "sub":
        return a - b
    if token == "mul":
        return a * b
    if token == "div":
        return a / b
    if token == "rac":
        return a ** (1 / b)
    if b.op == "num" and abs(b.value) > 1000 and a.op == "num":
        raise ex.TooLarge("the exponent is larger than 1000")
    return a**b


def _unary(token: str, a: Expr) -> Expr:
    if token in SHORTHAND:
        return a ** SHORTHAND[token]
    if token == "sqrt":
        return ex.sqrt(a)
    return ex.call("log" if token == "ln" else token, a)


def to_prefix(e: Expr) -> list[str]:
    """The tokens of `e` as in the published data.

    Raises:
        InputError: for a function that the vocabulary lacks.
    """
    memo: dict[Expr, list[str]] = {}
    for node in ex.subtrees(e):
        memo[node] = _prefix(node, memo)
        if len(memo[node]) > MAX_TOKENS:
            raise InputError(f"more than {MAX_TOKENS} tokens")
    return memo[e]


def integer(value: int) -> list[str]:
    """The tokens of an integer: sign and digits."""
    return ["INT+" if value >= 0 else "INT-", *str(abs(value))]


def _fold(name: str, parts: Iterable[list[str]]) -> list[str]:
    out: list[str] = []
    items = list(parts)
    for item in items[:-1]:
        out += [name, *item]
    return out + items[-1]


def _rational(value: Fraction) -> list[str]:
    if value.denominator == 1:
        return integer(value.numerator)
    return ["div", *integer(value.numerator), *integer(value.denominator)]


def _prefix(node: Expr, memo: dict[Expr, list[str]]) -> list[str]:
    if node.op == "num":
        return _rational(node.value)
    if node.op == "sym":
        return [node.value]
    if node is ex.E:
        return ["E"]
    if node.op in ("pi", "I"):
        return [node.op]
    if node.op in ("add", "mul"):
        return _fold(node.op, (memo[a] for a in node.args))
    if node.op == "pow":
        if node.args[1] is ex.HALF:
            return ["sqrt", *memo[node.args[0]]]
        return ["pow", *memo[node.args[0]], *memo[node.args[1]]]
    name = "ln" if node.op == "log" else node.op
    if name not in UNARY:
        raise InputError(f"the vocabulary has no token for {name}")
    return [name, *memo[node.args[0]]]
