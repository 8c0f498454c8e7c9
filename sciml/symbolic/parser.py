"""Text to expression: a whitelist parser for infix text and a subset of LaTeX.

Nothing is ever evaluated as code and no SymPy object is made here. Length, nesting, digits and
exponents are capped while reading, and every error points at the character where it was noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from fractions import Fraction

from sciml.errors import InputError, nearest
from sciml.symbolic import expression as ex
from sciml.symbolic.expression import Expr
from sciml.symbolic.latex import to_infix
from sciml.symbolic.reading import MAX_LENGTH, ExpressionError, Unknown

MAX_DEPTH = 120
"""Nested brackets, functions and powers."""
MAX_DIGITS = 100
"""Digits of one number."""
MAX_EXPONENT = 1000
"""Largest absolute value of an integer exponent that is written out."""

ALIASES = {
    "ln": "log", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot",
    "arcsec": "asec", "arccsc": "acsc", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "arccoth": "acoth", "arcsech": "asech", "arccsch": "acsch",
    "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh", "tg": "tan", "ctg": "cot",
    "Abs": "abs", "sgn": "sign",
}  # fmt: skip
_CONSTANTS = {"pi": ex.PI, "E": ex.E, "e": ex.E, "I": ex.I}
_NO_NUMBERS = ("nan", "inf", "infinity", "oo", "zoo")
_KNOWN = {*ex.FUNCTIONS, *ALIASES, "sqrt", "cbrt"}


_TOKEN = re.compile(
    r"\s*(?:(?P<num>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+(?![A-Za-z_]))?)"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_]*)(?P<prime>'*)|(?P<op>\*\*|[-+*/^(),=|\[\]]))"
)


def parse(text: str, *, unknown: Unknown | None = None) -> Expr:
    """Read infix text or, where it holds a backslash or braces, LaTeX.

    Args:
        text: such as ``x*exp(2*x)``, ``2x^2``, ``\\frac{1}{1+x^2}``.
        unknown: for a differential equation, the function sought. ``a = b`` then reads a - b, and
            the derivatives become the symbols ``y'``, ``y''``.

    Raises:
        ExpressionError: with the character at fault.
    """
    if not isinstance(text, str):
        raise InputError(f"an expression must be text, got {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise InputError(f"the expression has {len(text)} characters, the limit is {MAX_LENGTH}")
    if "\\" in text or "{" in text:
        text = to_infix(text, unknown)
    for i, char in enumerate(text):
        if not (char.isascii() and (char.isprintable() or char in " \t\r\n")):
            name = f"U+{ord(char):04X}"
            raise ExpressionError(f"character {name} is not allowed", text, i, "Use plain ASCII.")
    reader = _Reader(text, unknown)
    return reader.whole()


class _Reader:
    """Precedence climbing over the tokens of one text."""

    def __init__(self, text: str, unknown: Unknown | None) -> None:
        self.text, self.unknown, self.depth = text, unknown, 0
        self.tokens: list[tuple[str, str, int]] = []
        end = len(text.rstrip())
        at = 0
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None or match.end() == at:
                while text[at].isspace():
                    at += 1
                raise ExpressionError(f"unexpected character {text[at]!r}", text, at)
            kind = match.lastgroup or ""
            kind = "name" if kind == "prime" else kind
            value = match.group(kind) + (match.group("prime") or "" if kind == "name" else "")
            self.tokens.append((kind, value, match.start(kind)))
            at = match.end()
        self.i = 0

    def fail(self, what: str, hint: str | None = None, back: int = 0) -> ExpressionError:
        i = self.i - back
        at = self.tokens[i][2] if i < len(self.tokens) else len(self.text.rstrip())
        return ExpressionError(what, self.text, at, hint)

    def peek(self) -> str:
        return self.tokens[self.i][1] if self.i < len(self.tokens) else ""

    def expect(self, value: str) -> None:
        if self.peek() != value:
            found = f"found {self.peek()!r}" if self.peek() else "found the end"
            raise self.fail(f"expected {value!r}, {found}")
        self.i += 1

    def whole(self) -> Expr:
        if not self.tokens:
            raise ExpressionError("the expression is empty", self.text, 0)
        out = self.sum()
        if self.peek() == "=" and self.unknown is not None:
            self.i += 1
            out = out - self.sum()
        if self.i < len(self.tokens):
            raise self.fail(f"unexpected {self.peek()!r}")
        return out

    def guarded(self, make: Callable[[], Expr], back: int = 1) -> Expr:
        """Constant folding may find a division by zero or a number too large."""
        try:
            return make()
        except (ex.Undefined, ex.TooLarge) as error:
            raise self.fail(error.what, back=back) from None

    def sum(self) -> Expr:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"brackets nest deeper than {MAX_DEPTH}")
        sign = self.sign()
        first = self.product()
        terms = [first if sign > 0 else -first]
        while self.peek() in ("+", "-"):
            sign = self.sign()
            term = self.product()
            terms.append(term if sign > 0 else -term)
        self.depth -= 1
        return ex.add(terms)

    def sign(self) -> int:
        sign = 1
        while self.peek() in ("+", "-"):
            sign = -sign if self.peek() == "-" else sign
            self.i += 1
        return sign

    def product(self) -> Expr:
        factors = [self.power()]
        while True:
            nxt = self.peek()
            if nxt in ("*", "/"):
                self.i += 1
                sign = self.sign()
                factor = self.power()
                if nxt == "/":
                    over = factor
                    factor = self.guarded(lambda over=over: 1 / over)  # type: ignore[misc]
                factors += [factor] if sign > 0 else [ex.MINUS, factor]
            elif nxt == "(" or (
                self.i < len(self.tokens) and self.tokens[self.i][0] in ("num", "name")
            ):
                if self.tokens[self.i][0] == "num":
                    raise self.fail("a number cannot follow directly", "Write * between them.")
                factors.append(self.power())
            else:
                return self.guarded(lambda all_=factors: ex.mul(all_))  # type: ignore[misc]

    def power(self) -> Expr:
        base = self.atom()
        if self.peek() not in ("^", "**"):
            return base
        self.i += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"powers nest deeper than {MAX_DEPTH}")
        sign = self.sign()
        exponent = self.power()
        self.depth -= 1
        exponent = exponent if sign > 0 else -exponent
        if exponent.op == "num" and abs(exponent.value) > MAX_EXPONENT and base.op != "exp":
            raise self.fail(f"the exponent is larger than {MAX_EXPONENT}", back=1)
        return self.guarded(lambda: base**exponent)

    def atom(self) -> Expr:
        if self.i >= len(self.tokens):
            raise self.fail("the expression stops where a number, a name or ( is needed")
        kind, value, _ = self.tokens[self.i]
        self.i += 1
        if kind == "num":
            return self.number(value)
        if kind == "name":
            return self.name(value)
        if value in ("(", "["):
            inner = self.sum()
            self.expect(")" if value == "(" else "]")
            return inner
        if value == "|":
            inner = self.sum()
            self.expect("|")
            return ex.call("abs", inner)
        raise self.fail(f"unexpected {value!r}", back=1)

    def number(self, value: str) -> Expr:
        mantissa, _, exponent = value.lower().partition("e")
        if len(mantissa) > MAX_DIGITS or len(exponent) > 3 or abs(int(exponent or 0)) > MAX_DIGITS:
            raise self.fail(f"a number has more than {MAX_DIGITS} digits", back=1)
        return ex.number(Fraction(value))

    def name(self, value: str) -> Expr:
        word = value.rstrip("'")
        primes = len(value) - len(word)
        unknown = self.unknown
        if unknown is not None and word in ("Derivative", "diff"):
            return self.derivative(unknown)
        if unknown is not None and word == unknown.name:
            if self.peek() == "(":
                self.i += 1
                if self.peek() != unknown.variable:
                    raise self.fail(f"{word} is a function of {unknown.variable} only")
                self.i += 1
                self.expect(")")
            return ex.symbol(word + "'" * primes)
        if primes:
            raise self.fail(f"{word} has no derivative here", back=1)
        if word in _KNOWN:
            return self.function(word)
        if self.peek() == "(":
            after = self.tokens[self.i - 1][2] + len(value)
            if after == self.tokens[self.i][2] and len(word) > 1:
                near = nearest(word, _KNOWN)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(_SHOWN)}."
                raise self.fail(f"unknown function {word!r}", hint, back=1)
            raise self.fail(
                f"{word} is not a function", f"Write {word}*(...) for a product.", back=1
            )
        if word.lower() in _NO_NUMBERS:
            raise self.fail(f"{word!r} is no number and no symbol", back=1)
        return _CONSTANTS[word] if word in _CONSTANTS else ex.symbol(word)

    def function(self, word: str) -> Expr:
        exponent: Expr | None = None
        if self.peek() in ("^", "**"):  # sin^2(x)
            self.i += 1
            exponent = self.atom()
        if self.peek() != "(":
            raise self.fail(f"{word} needs its argument in brackets", f"Write {word}(x).")
        self.i += 1
        u = self.sum()
        if word == "log" and self.peek() == ",":
            self.i += 1
            base = self.sum()
            self.expect(")")
            return self.guarded(lambda: ex.call("log", u) / ex.call("log", base))
        self.expect(")")
        name = ALIASES.get(word, word)
        if name == "cbrt":
            out = ex.power(u, ex.number(Fraction(1, 3)))
        else:
            out = self.guarded(lambda: ex.call(name, u), back=2)
        return out if exponent is None else self.guarded(lambda: out**exponent)

    def derivative(self, unknown: Unknown) -> Expr:
        """Derivative(y(x), x), Derivative(y(x), x, x), Derivative(y(x), (x, 2))."""
        self.expect("(")
        y = self.atom()
        if y is not ex.symbol(unknown.name):
            raise self.fail(f"only derivatives of {unknown.name} are read", back=1)
        order = 0
        while self.peek() == ",":
            self.i += 1
            bracket = self.peek() == "("
            self.i += bracket
            if self.peek().isdigit() and order == 1 and not bracket:
                times = int(self.peek()) - 1
            else:
                self.expect(unknown.variable)
                times = 1
                self.i -= 1
                if bracket:
                    self.i += 1
                    self.expect(",")
                    times = int(self.peek()) if self.peek().isdigit() else 0
            self.i += 1
            if bracket:
                self.expect(")")
            order += times
        self.expect(")")
        if not 1 <= order <= 6:
            raise self.fail("a derivative must be of order 1 to 6", back=1)
        return ex.symbol(unknown.name + "'" * order)


_SHOWN = [name for name in ex.FUNCTIONS[:12]]


def check_symbols(e: Expr, variable: str | None, constants: Collection[str] = ()) -> str:
    """The variable of `e`: the one named, or the only symbol there is; other symbols are refused
    unless they are among `constants`."""
    others = sorted(e.free - set(constants))
    if variable is None:
        if len(others) > 1:
            raise InputError(
                f"several variables ({', '.join(others)})",
                hint="Name the one to integrate over, and name the others as constants.",
            )
        return others[0] if others else "x"
    extra = [name for name in others if name != variable]
    if extra:
        raise InputError(
            f"unknown symbol {extra[0]!r} beside the variable {variable!r}",
            hint=f"Name it as a constant: constants={extra!r}.",
        )
    return variable
