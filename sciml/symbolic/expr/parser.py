"""Text to expression: a whitelist parser for infix text and a subset of LaTeX.

Nothing is ever evaluated as code and no SymPy object is made here. Length, nesting, digits and
exponents are capped while reading, and every error points at the character where it was noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from sciml.errors import InputError, nearest
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.derivative_notation import infix_derivatives
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.indexed import WORDS, Indexed, indexed_call
from sciml.symbolic.expr.latex import to_infix
from sciml.symbolic.expr.mathematica import from_mathematica
from sciml.symbolic.expr.pieces import (
    ceiling,
    heaviside,
    largest,
    modulo,
    piecewise,
    real_root,
    smallest,
)
from sciml.symbolic.expr.reading import (  # fmt: skip
    GREEK,
    INVERSE,
    MAX_LENGTH,
    NAMES,
    ExpressionError,
    Unknown,
    character_hint,
    to_ascii,
)
from sciml.symbolic.expr.special_functions import SPELLINGS
from sciml.symbolic.expr.special_reading import special_call

MAX_DEPTH = 120
"""Deepest nesting of brackets, functions and powers."""
MAX_DIGITS = 100
"""Most digits of one number."""
MAX_EXPONENT = 10_000
"""Largest absolute value of a numeric exponent."""

_CONSTANTS = {"pi": ex.PI, "E": ex.E, "e": ex.E, "I": ex.I}
_NOT_FINITE = ("nan", "inf", "infinity", "oo", "zoo")
_FUNCTION_NAMES = {*NAMES, "sqrt", "cbrt", "root", "log2", "log10", "Rational",
                   "Max", "Min", "Heaviside", "DiracDelta", "ceiling", "Mod",
                   "Piecewise"}  # fmt: skip


_TOKEN = re.compile(
    r"\s*(?:(?P<num>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+(?![A-Za-z_]))?)"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_]*)(?P<prime>'*)|(?P<op>\*\*|[<>]=?|[-+*/^(),=|\[\]]))"
)


def parse(
    text: str, *, unknown: Unknown | None = None, series: list[Indexed] | None = None
) -> Expr:  # fmt: skip
    """Read infix text or, where it holds a backslash or braces, LaTeX.

    Args:
        text: such as ``x*exp(2*x)``, ``2x^2``, ``\\frac{1}{1+x^2}``, ``Sin[x]``.
        unknown: the unknown function of a differential equation. ``a = b`` then means a - b, and
            its derivatives become the symbols ``y'``, ``y''``.
        series: receives the sums and products over an index, in whose place a symbol stands;
            without it they are refused.

    Raises:
        ExpressionError: names the character at fault.
    """
    if not isinstance(text, str):
        raise InputError(f"an expression must be text, got {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise InputError(f"the expression has {len(text)} characters, the limit is {MAX_LENGTH}")
    own = to_ascii(text)
    text = from_mathematica(own)
    system = "" if text == own else "mathematica"
    text = infix_derivatives(text, unknown)
    for i, char in enumerate(text):
        if not (char.isprintable() or char in " \t\r\n"):
            name = f"U+{ord(char):04X}"
            raise ExpressionError(f"character {name} is not allowed", text, i)
    if "\\" in text or "{" in text:
        text = to_infix(text, unknown)
    return _Parser(text, unknown, system, series).expression()


class _Parser:
    """Precedence climbing over the tokens of one text."""

    def __init__(
        self, text: str, unknown: Unknown | None, system: str = "",
        series: list[Indexed] | None = None,
    ) -> None:  # fmt: skip
        self.text, self.unknown, self.depth, self.system = text, unknown, 0, system
        self.series = series
        self.tokens: list[tuple[str, str, int]] = []
        end = len(text.rstrip())
        at = 0
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None or match.end() == at:
                while text[at].isspace():
                    at += 1
                raise ExpressionError(
                    f"unexpected character {text[at]!r}", text, at, character_hint(text[at])
                )
            kind = match.lastgroup or ""
            kind = "name" if kind == "prime" else kind
            value = match.group(kind) + (match.group("prime") or "" if kind == "name" else "")
            self.tokens.append((kind, value, match.start(kind)))
            at = match.end()
        self.i = 0
        self._refuse_ambiguous_numbers()

    def fail(self, what: str, hint: str | None = None, back: int = 0) -> ExpressionError:
        i = self.i - back
        at = self.tokens[i][2] if i < len(self.tokens) else len(self.text.rstrip())
        return ExpressionError(what, self.text, at, hint)

    def _refuse_ambiguous_numbers(self) -> None:
        """0x10, 0b11, 1e5x, 2x3 and log(1,5*x) can be read in several ways."""
        for i in range(1, len(self.tokens)):
            before, here = self.tokens[i - 1], self.tokens[i]
            if before[0] == "num" and here[0] == "name" and before[2] + len(before[1]) == here[2]:
                number, name = before[1], here[1]
                what = hint = ""
                if set(number) <= set("0."):
                    what, hint = "a name follows a zero", "Other bases than ten are not read."
                elif "e" in number.lower() or re.match(r"[eE]\d", name):
                    what, hint = "a name follows a power of ten", "Write * between them."
                elif any(c.isdigit() for c in name):
                    what = "digits stand on both sides of a letter"
                    hint = f"Write {number}*{name} or {number}*{name[0]}**{name[1:]}."
                if what:
                    raise ExpressionError(what, self.text, here[2], hint)
            if i > 1 and self.tokens[i - 2][0] == here[0] == "num" and before[1] == ",":
                if i > 3 and self.tokens[i - 4][1] in ("Rational", "root"):
                    continue
                if any(token[1] in SPELLINGS or token[1] in WORDS for token in self.tokens[:i]):
                    continue
                if self.text[before[2] - 1 : before[2] + 2].replace(",", "").isdigit():
                    hint = "Decimals have a point; a space follows a comma between arguments."
                    raise ExpressionError("a comma stands in a number", self.text, before[2], hint)

    def peek(self) -> str:
        return self.tokens[self.i][1] if self.i < len(self.tokens) else ""

    def expect(self, value: str) -> None:
        if self.peek() != value:
            got = repr(self.peek()) if self.peek() else "the end"
            raise self.fail(f"expected {value!r}, found {got}")
        self.i += 1

    def expression(self) -> Expr:
        if not self.tokens:
            raise ExpressionError("the expression is empty", self.text, 0)
        out = self.sum()
        if self.peek() == "=" and self.unknown is not None:
            self.i += 1
            out = out - self.sum()
        if self.i < len(self.tokens):
            hint = "Only a differential equation has two sides." if self.peek() == "=" else None
            hint = character_hint(self.peek()[0]) or hint
            raise self.fail(f"unexpected {self.peek()!r}", hint)
        return out

    def guarded(self, make: Callable[[], Expr], back: int = 1) -> Expr:
        """`make()`; where constant folding divides by zero or makes a number too large, the error
        names the position."""
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
        after_division = False  # 1/2x is x/2 for some and 1/(2*x) for others
        while True:
            nxt = self.peek()
            if nxt in ("*", "/"):
                after_division = nxt == "/"
                self.i += 1
                sign = self.sign()
                factor = self.power()
                if nxt == "/":
                    divisor = factor
                    factor = self.guarded(lambda divisor=divisor: 1 / divisor)  # type: ignore[misc]
                factors += [factor] if sign > 0 else [ex.MINUS, factor]
            elif nxt == "(" or (
                self.i < len(self.tokens) and self.tokens[self.i][0] in ("num", "name")
            ):
                if self.tokens[self.i][0] == "num":
                    raise self.fail("a number cannot follow directly", "Write * between them.")
                if after_division:
                    hint = "Write * for a product, or brackets round what is below the line."
                    raise self.fail("a factor without a sign follows a division", hint)
                self._refuse_ambiguous_exponent()
                factors.append(self.power())
            else:
                return self.guarded(lambda factors=factors: ex.mul(factors))  # type: ignore[misc]

    def _refuse_ambiguous_exponent(self) -> None:
        """e^2x is refused, since few mean exp(2)*x by it; x^2y is x**2*y."""
        i = self.i - 1
        if i < 2 or self.tokens[i][0] != "num":
            return
        sign = i - (self.tokens[i - 1][1] in ("+", "-"))
        at = self.tokens[i][2] + len(self.tokens[i][1])
        if self.tokens[sign - 1][1] not in ("^", "**") or at != self.tokens[self.i][2]:
            return
        base = self.tokens[sign - 2]
        if sign < i or base[0] == "num" or base[1] in ("e", "E"):
            hint = "Write * between them, or brackets round the exponent."
            raise self.fail("where the exponent ends is not clear", hint)

    def power(self) -> Expr:
        base = self.atom()
        if self.peek() not in ("^", "**"):
            return base
        self.i += 1
        if [token[1] for token in self.tokens[self.i : self.i + 2]] == ["1", "/"]:
            hint = "Write brackets round the exponent: x^(1/2)."
            raise self.fail("an exponent 1 is followed by a division", hint)
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
        if word in ("Rational", "root", "log2", "log10"):
            return self.special(word)
        if word == "Piecewise" and self.peek() == "(":
            return self.piecewise()
        if word in WORDS and self.series is not None and self.peek() == "(":
            return indexed_call(self, word, self.series)
        if word in _IN_PIECES and self.peek() == "(":
            return self.in_pieces(word)
        if word in _FUNCTION_NAMES:
            return self.function(word)
        if word in _IN_SUMS and self.series is None:
            raise self.fail(f"{word} is read in integrands only", back=1)
        if word in SPELLINGS and self.peek() == "(":
            after = self.tokens[self.i - 1][2] + len(value)
            if word not in GREEK or after == self.tokens[self.i][2]:
                return special_call(self, word)
        if self.peek() == "(":
            after = self.tokens[self.i - 1][2] + len(value)
            if after == self.tokens[self.i][2] and len(word) > 1:
                near = nearest(word, _FUNCTION_NAMES | SPELLINGS)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(_COMMON)}."
                hint = _FUNCTION_HINTS.get(word, hint)
                raise self.fail(f"unknown function {word!r}", hint, back=1)
            raise self.fail(
                f"{word} is not a function", f"Write {word}*(...) for a product.", back=1
            )
        if word.lower() in _NOT_FINITE:
            raise self.fail(f"{word!r} is no number and no symbol", back=1)
        return _CONSTANTS[word] if word in _CONSTANTS else ex.symbol(word)

    def function(self, word: str) -> Expr:
        exponent: Expr | None = None
        if self.peek() in ("^", "**"):  # sin^2(x)
            self.i += 1
            minus = self.peek() == "-"
            self.i += minus
            exponent = self.atom()
            exponent = -exponent if minus else exponent
            if exponent is ex.MINUS:  # sin^(-1)(x) is asin(x), as everyone writes it
                if NAMES.get(word) not in INVERSE:
                    hint = f"Write 1/{word}(x), or the name of the inverse."
                    raise self.fail(f"{word} to the power -1 before its argument", hint, back=1)
                word, exponent = INVERSE[NAMES[word]], None
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
        name = NAMES.get(word, word)
        if name == "cbrt":
            out = ex.power(u, ex.number(Fraction(1, 3)))
        else:
            out = self.guarded(lambda: ex.call(name, u), back=2)
        return out if exponent is None else self.guarded(lambda: out**exponent)

    def special(self, word: str) -> Expr:
        """Rational(1, 3), root(x, 3), log2(x), log10(x)."""
        self.expect("(")
        first = self.sum()
        second = ex.number(2 if word == "log2" else 10)
        if word in ("Rational", "root"):
            self.expect(",")
            second = self.sum()
        self.expect(")")
        if word == "Rational":
            if not (first.op == second.op == "num"):
                raise self.fail("Rational holds two numbers", back=1)
            return self.guarded(lambda: first / second)
        if word == "root":
            return self.guarded(lambda: first ** (1 / second))
        return self.guarded(lambda: ex.call("log", first) / ex.call("log", second))

    def in_pieces(self, word: str) -> Expr:
        """Max(a, b, ...), Min(a, b, ...), Heaviside(x), real_root(x, 3), ceiling(x), mod(x, 2)."""
        self.expect("(")
        arguments = [self.sum()]
        while self.peek() == ",":
            self.i += 1
            arguments.append(self.sum())
        self.expect(")")
        if word.lower() in ("max", "min"):
            if len(arguments) < 2:
                raise self.fail(f"{word} compares two or more", back=1)
            return (largest if word.lower() == "max" else smallest)(arguments)
        if word == "Heaviside" and len(arguments) == 1:
            return heaviside(arguments[0])
        if word == "DiracDelta" and len(arguments) == 1:
            return ex.call("DiracDelta", arguments[0])
        if word in ("ceiling", "ceil") and len(arguments) == 1:
            return ceiling(arguments[0])
        if word.lower() == "mod" and len(arguments) == 2:
            return self.guarded(lambda: modulo(*arguments))
        if word == "real_root" and len(arguments) == 2:
            root = real_root(*arguments)
            if root is not None:
                return root
            raise self.fail("a real root of odd order is read, 3, 5, ...", back=1)
        raise self.fail(f"{word} has another number of arguments", back=1)

    def piecewise(self) -> Expr:
        """Piecewise((a, x < 0), (b, x <= 1), (c, True)): the first value whose condition holds."""
        self.expect("(")
        pieces: list[tuple[Expr, Expr | None]] = []
        while not pieces or self.peek() == ",":
            self.i += bool(pieces)
            self.expect("(")
            value = self.sum()
            self.expect(",")
            if self.peek() == "True":
                self.i += 1
                pieces.append((value, None))
            else:
                left, relation = self.sum(), self.peek()
                if relation[:1] not in ("<", ">"):
                    raise self.fail("a condition is an inequality or True")
                self.i += 1
                right = self.sum()
                pieces.append((value, right - left if relation[0] == "<" else left - right))
            self.expect(")")
        self.expect(")")
        if pieces[-1][1] is not None or any(c is None for _, c in pieces[:-1]):
            raise self.fail("the last piece, and no other, has the condition True", back=1)
        return piecewise(pieces)

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


_IN_PIECES = (
    "Max",
    "Min",
    "max",
    "min",
    "Heaviside",
    "DiracDelta",
    "real_root",
    "ceiling",
    "ceil",
    "Mod",
    "mod",
)
_IN_SUMS = ("factorial", "binomial")
_COMMON = ex.FUNCTIONS[:12]
_FUNCTION_HINTS = {
    **dict.fromkeys(("Derivative", "diff", "D"), "Derivatives are not taken: write the result."),
    **dict.fromkeys(("Integral", "integrate", "int"), "Give the integrand alone."),
    **dict.fromkeys(("Limit", "limit"), "Limits are not read."),
    **dict.fromkeys(("Sum", "Product"), "Sums and products are read in integrands only."),
    "lg": "Write log10(x) or log2(x).", "lb": "Write log2(x).", "ld": "Write log2(x).",
}  # fmt: skip
