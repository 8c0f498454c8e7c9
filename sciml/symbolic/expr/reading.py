"""What the parsers of infix text and of LaTeX share: names of functions and constants, limits,
errors with a position, and hints about characters and names that cannot be parsed.

The rule of both parsers: ambiguous text is refused, never guessed at.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from sciml.errors import InputError
from sciml.symbolic.expr.expression import FUNCTIONS

MAX_LENGTH = 10_000
"""Characters of one expression."""

ALIASES = {
    "ln": "log", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot",
    "arcsec": "asec", "arccsc": "acsc", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "arccoth": "acoth", "arcsech": "asech", "arccsch": "acsch",
    "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh", "tg": "tan", "ctg": "cot",
    "Abs": "abs", "sgn": "sign", "cosec": "csc",
}  # fmt: skip
NAMES = {**{f: f for f in FUNCTIONS}, **ALIASES}
"""Names of functions of one argument, with the name that this package uses."""
INVERSE = {name[1:]: name for name in FUNCTIONS if name[0] == "a" and name[1:] in FUNCTIONS}
"""The inverse functions, sin -> asin and so on: what sin^-1 means."""
CONSTANTS = ("pi", "E", "e", "I")
GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
).split()
UNSUPPORTED = {
    "int": "an integral", "iint": "a double integral", "iiint": "a triple integral",
    "oint": "a contour integral", "sum": "a sum", "prod": "a product over an index",
    "lim": "a limit", "limsup": "a limit", "liminf": "a limit", "partial": "a partial derivative",
    "nabla": "a gradient", "infty": "infinity", "binom": "a binomial coefficient",
    "pm": "plus or minus", "mp": "minus or plus",
    "dots": "what is left out", "ldots": "what is left out", "cdots": "what is left out",
    "begin": "an environment", "dot": "a derivative", "ddot": "a derivative",
    "prime": "a derivative", "bmod": "a remainder",
    "mod": "a remainder", "Vert": "a norm", "overline": "a conjugate", "bar": "a conjugate",
}  # fmt: skip
"""LaTeX commands that are not supported, with what they stand for."""
_OPERATORS = {"−": "-", "–": "-", "·": "*", "⋅": "*", "∙": "*", "×": "*", "∗": "*", "÷": "/",
              "∕": "/", "⁄": "/"}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
"""Superscript digits are refused: what follows may still belong to the exponent."""
_MEANINGS = {"√": "sqrt(...)", "∛": "cbrt(...)", "∞": "infinity, which is no number",
             "½": "1/2", "⅓": "1/3", "¼": "1/4", "¾": "3/4", "∫": "an integral",
             "∂": "a derivative", "∑": "a sum", "∏": "a product", "≤": "a comparison",
             "≥": "a comparison", "≠": "a comparison", "±": "plus or minus",
             "′": "a derivative"}  # fmt: skip
_ASCII_MEANINGS = {
    "!": "Factorials are not read.", "%": "Write x/100 for per cent; remainders are not read.",
    ";": "One expression at a time.", "<": "Inequalities are not read.",
    ">": "Inequalities are not read.", "_": "A number holds digits and a point only.",
    "'": "An apostrophe is a derivative only of the function of an equation.",
}  # fmt: skip


class ExpressionError(InputError):
    """Text that is not an expression; `position` is the index of the character at fault."""

    def __init__(self, what: str, text: str, position: int, hint: str | None = None) -> None:
        self.position = position
        start = max(0, position - 12)
        excerpt = "".join(c if c.isprintable() else "?" for c in text[start : position + 12])
        near = f" near {excerpt!r}" if excerpt else ""
        super().__init__(f"{what} at character {position + 1}{near}", hint=hint)


@dataclass(frozen=True)
class Unknown:
    """The unknown function of a differential equation: y, y', y(x), Derivative(y(x), x, x)."""

    name: str
    variable: str


def _greek_letters() -> dict[str, str]:
    out = {}
    for name in GREEK:
        case = "CAPITAL" if name[0].isupper() else "SMALL"
        letter = "LAMDA" if name.lower() == "lambda" else name.upper()
        out[unicodedata.lookup(f"GREEK {case} LETTER {letter}")] = name
    return out


_GREEK_LETTERS = _greek_letters()
_FOREIGN = re.compile(
    rf"(?P<op>[{''.join(_OPERATORS)}])|(?P<greek>[{''.join(_GREEK_LETTERS)}])"
    r"|(?P<space>[\u00a0\u2002\u2003\u2009\u202f])"
)


def to_ascii(text: str) -> str:
    """Text with its unambiguous Unicode characters in ASCII: typographic minus and times signs,
    Greek letters, wide spaces.

    Raises:
        ExpressionError: for any other character beyond ASCII, with what it may mean.
    """
    if text.isascii():
        return text

    def replacement(match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind == "op":
            return _OPERATORS[match[0]]
        return f" {_GREEK_LETTERS[match[0]]} " if kind == "greek" else " "

    for i, char in enumerate(text):
        if not char.isascii() and not _FOREIGN.match(char):
            raise ExpressionError(f"character U+{ord(char):04X} is not allowed", text, i,
                                  _meaning(char))  # fmt: skip
    return _FOREIGN.sub(replacement, text)


def _meaning(char: str) -> str:
    if char in _MEANINGS:
        return f"It stands for {_MEANINGS[char]}: use plain ASCII."
    raised = char.translate(_SUPERSCRIPTS)
    if raised != char:
        return f"Write an exponent as **{raised}." if raised.isdigit() else "Write **(-1)."
    compatible = unicodedata.normalize("NFKC", char)
    if compatible.isascii() and compatible.isprintable():
        return f"Did you mean {compatible!r}? Use plain ASCII."
    name = unicodedata.name(char, "").lower()
    return f"It is called {name!r}: use plain ASCII." if name else "Use plain ASCII."


def character_hint(char: str) -> str | None:
    """A hint about an ASCII character that no expression contains."""
    return _ASCII_MEANINGS.get(char)
