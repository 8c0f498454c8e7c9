"""A subset of LaTeX to infix text: fractions, roots, powers, functions, \\left( \\right), |x|,
derivatives as y', y^{\\prime} and \\frac{dy}{dx}, and the parts of an integral.

The result is text for the whitelist parser, never code.
"""

from __future__ import annotations

import re

from sciml.symbolic.expression import FUNCTIONS
from sciml.symbolic.reading import MAX_LENGTH, ExpressionError, Unknown

_TOKEN = re.compile(r"\s+|\\([A-Za-z]+)\*?|\\(.)|(\d+\.?\d*|\.\d+)|(.)", re.S)
_NAMES = {
    **{f: f for f in FUNCTIONS}, "ln": "log", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan", "arccot": "acot", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh",
}  # fmt: skip
_GREEK = "alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau phi omega".split()
_SIGNS = {"cdot": "*", "times": "*", "div": "/", "lvert": "|", "rvert": "|", "vert": "|"}
_INVERSE = {"sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot", "sec": "asec",
            "csc": "acsc", "sinh": "asinh", "cosh": "acosh", "tanh": "atanh"}  # fmt: skip
MAX_DEPTH = 120
_D = r"(?:\\mathrm\s*\{\s*d\s*\}|d)"
_TIMES = r"\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\s*"
_INTEGRAL = re.compile(
    r"[\s$]*\\int(?![A-Za-z])(?P<rest>.*?)" + _D + r"\s*(?P<name>[A-Za-z])[\s$]*", re.S
)


def to_infix(text: str, unknown: Unknown | None = None) -> str:
    """Infix text that means the same.

    Args:
        text: LaTeX.
        unknown: the unknown function of a differential equation.

    Raises:
        ExpressionError: at the character that is not understood.
    """
    return _Latex(text, unknown).whole()


def whole_integral(text: str) -> tuple[str, str, tuple[str, str] | None] | None:
    """Integrand, variable and limits of ``\\int_a^b ... \\,dx``; None for text that is none.

    Raises:
        ExpressionError: for a lower limit without an upper one.
    """
    match = _INTEGRAL.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        return None
    rest = match["rest"].strip().removeprefix(r"\limits").strip()
    limits: dict[str, str] = {}
    while rest[:1] in ("_", "^"):
        sign, rest = rest[0], rest[1:].lstrip()
        end = _group(rest)
        limits[sign], rest = rest[:end].removeprefix("{").removesuffix("}"), rest[end:].strip()
    if len(limits) == 1:
        raise ExpressionError("an integral has two limits or none", text, match.start("rest"))
    return rest or "1", match["name"], (limits["_"], limits["^"]) if limits else None


def _group(text: str) -> int:
    """Where the first argument ends: braces, a command, or one character."""
    if not text.startswith("{"):
        command = re.match(r"\\[A-Za-z]+", text)
        return command.end() if command else 1
    depth = 0
    for i, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return i + 1
    return len(text)


def _primed(text: str, unknown: Unknown) -> str:
    """\\frac{d^2 y}{dx^2} as y'', in the same places of the text."""
    y, x = re.escape(unknown.name), re.escape(unknown.variable)
    pattern = (rf"\\[dt]?frac\s*\{{\s*{_D}{_TIMES}{y}\s*\}}\s*"
               rf"\{{\s*{_D}\s*{x}{_TIMES}\}}")  # fmt: skip

    def short(match: re.Match[str]) -> str:
        if match[1] != match[2]:
            return match[0]
        return (unknown.name + "'" * int(match[1] or 1)).ljust(len(match[0]))

    return re.sub(pattern, short, text)


class _Latex:
    def __init__(self, text: str, unknown: Unknown | None = None) -> None:
        text = _primed(text, unknown) if unknown else text
        self.text, self.unknown, self.i, self.depth = text, unknown, 0, 0
        self.tokens: list[tuple[str, str, int]] = []
        for match in _TOKEN.finditer(text.strip().strip("$")):
            command, sign, number, char = match.groups()
            if command:
                if command in ("left", "right", "displaystyle", "limits", "mathrm", "big", "Big"):
                    continue
                self.tokens.append(("command", command, match.start()))
            elif sign:
                if sign in ",;:! ":
                    continue
                self.tokens.append(("char", sign, match.start()))
            elif number:
                self.tokens.append(("number", number, match.start()))
            elif char:
                self.tokens.append(("char", char, match.start()))

    def fail(self, what: str) -> Exception:
        at = self.tokens[self.i][2] if self.i < len(self.tokens) else len(self.text)
        return ExpressionError(what, self.text, at)

    def peek(self) -> str:
        return self.tokens[self.i][1] if self.i < len(self.tokens) else ""

    def whole(self) -> str:
        out = self.run(())
        if self.i < len(self.tokens):
            raise self.fail(f"unexpected {self.peek()!r}")
        return out

    def run(self, stops: tuple[str, ...]) -> str:
        """Factors and signs until one of `stops`; neighbours are multiplied."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"braces nest deeper than {MAX_DEPTH}")
        out: list[str] = []
        joined = True
        while self.i < len(self.tokens) and self.peek() not in stops:
            value = self.peek()
            kind = self.tokens[self.i][0]
            if kind == "char" and value in "+-*/=":
                out.append(value)
                joined = True
                self.i += 1
            elif kind == "command" and value in ("cdot", "times", "div"):
                out.append(_SIGNS[value])
                joined = True
                self.i += 1
            else:
                out.append(("" if joined else "*") + self.factor(stops))
                joined = False
        self.depth -= 1
        return "".join(out)

    def factor(self, stops: tuple[str, ...] = ()) -> str:
        base = self.atom(stops)
        while self.peek() == "^":
            self.i += 1
            base = f"({base})**({self.argument()})"
        return base

    def argument(self) -> str:
        if self.peek() == "{":
            return self.braces()
        if self.tokens and self.i < len(self.tokens) and self.tokens[self.i][0] == "number":
            value = self.peek()
            if len(value) > 1:  # x^12 is x^1 * 2 in LaTeX; refuse rather than guess
                raise self.fail("braces are needed round an exponent of several digits")
        return self.atom(())

    def braces(self) -> str:
        if self.peek() != "{":
            raise self.fail("expected {")
        self.i += 1
        inner = self.run(("}",))
        if self.peek() != "}":
            raise self.fail("expected }")
        self.i += 1
        return inner

    def atom(self, stops: tuple[str, ...]) -> str:
        self.depth += 1
        if self.depth > 2 * MAX_DEPTH:
            raise self.fail(f"commands nest deeper than {2 * MAX_DEPTH}")
        out = self._atom(stops)
        self.depth -= 1
        return out

    def _atom(self, stops: tuple[str, ...]) -> str:
        if self.i >= len(self.tokens):
            raise self.fail("the expression stops too early")
        kind, value, _ = self.tokens[self.i]
        if kind == "number":
            self.i += 1
            return value
        if kind == "char":
            return self.char(value)
        self.i += 1
        if value in ("frac", "dfrac", "tfrac"):
            return f"(({self.braces_or_digit()})/({self.braces_or_digit()}))"
        if value == "sqrt":
            degree = ""
            if self.peek() == "[":
                self.i += 1
                degree = self.run(("]",))
                self.i += 1
            inner = self.argument()
            return f"(({inner})**(1/({degree})))" if degree else f"sqrt({inner})"
        if value == "operatorname":
            value = self.braces_raw()
        if value in _NAMES:
            return self.function(_NAMES[value])
        if value in ("pi", *_GREEK):
            return value
        if value in ("lvert", "vert"):
            return self.bars("rvert" if value == "lvert" else "vert")
        self.i -= 1
        raise self.fail(f"unknown command \\{value}")

    def braces_or_digit(self) -> str:
        if self.peek() == "{":
            return self.braces()
        kind, value, at = self.tokens[self.i] if self.i < len(self.tokens) else ("", "", 0)
        if kind == "number" and len(value) > 1:  # \frac12 is 1/2
            self.tokens[self.i] = (kind, value[1:], at + 1)
            return value[0]
        return self.atom(())

    def braces_raw(self) -> str:
        out = ""
        if self.peek() == "{":
            self.i += 1
            while self.peek() not in ("}", ""):
                out += self.peek()
                self.i += 1
            self.i += 1
        return out

    def char(self, value: str) -> str:
        if value == "{":
            return f"({self.braces()})"
        if value in "([":
            self.i += 1
            close = ")" if value == "(" else "]"
            inner = self.run((close,))
            if self.peek() != close:
                raise self.fail(f"expected {close}")
            self.i += 1
            return f"({inner})"
        if value == "|":
            self.i += 1
            return self.bars("|")
        if value.isascii() and value.isalpha():
            self.i += 1
            if self.unknown is not None and value == self.unknown.name:
                return self.function_sought(self.unknown)
            if self.peek() == "_":
                self.i += 1
                sub = self.braces_raw() if self.peek() == "{" else self.peek()
                self.i += 0 if self.tokens[self.i - 1][1] == "}" else 1
                return f"{value}_{sub}" if sub.isalnum() else value
            return value
        raise self.fail(f"unexpected {value!r}")

    def function_sought(self, unknown: Unknown) -> str:
        """y with its primes, y' or y^{\\prime}; y(x) is the same as y."""
        primes = 0
        while self.peek() == "'":
            primes += 1
            self.i += 1
        shown = [token[1] for token in self.tokens[self.i : self.i + 10]]
        if shown[:2] == ["^", "prime"]:
            primes, self.i = 1, self.i + 2
        elif shown[:3] == ["^", "{", "prime"] and "}" in shown:
            end = shown.index("}")
            if set(shown[2:end]) != {"prime"}:
                raise self.fail("a derivative is written with primes only")
            primes, self.i = end - 2, self.i + end + 1
        if [token[1] for token in self.tokens[self.i : self.i + 3]] == ["(", unknown.variable, ")"]:
            self.i += 3
        return unknown.name + "'" * primes

    def bars(self, close: str) -> str:
        inner = self.run((close,))
        if self.peek() != close:
            raise self.fail("a bar | is not closed")
        self.i += 1
        return f"abs({inner})"

    def function(self, name: str) -> str:
        exponent = ""
        if self.peek() == "^":
            self.i += 1
            exponent = self.argument()
            if exponent.replace(" ", "") == "-1" and name in _INVERSE:
                name, exponent = _INVERSE[name], ""
        if self.peek() in ("(", "{", "["):
            inner = self.atom(())
        else:  # \sin 2 x^2: everything up to the next sign or function
            parts = []
            while self.i < len(self.tokens):
                kind, value, _ = self.tokens[self.i]
                if kind == "command" and value not in ("frac", "sqrt", "pi", *_GREEK):
                    break
                if kind == "char" and not (value.isalpha() or value == "{"):
                    break
                parts.append(self.factor())
            inner = "*".join(parts)
            if not inner:
                raise self.fail(f"{name} needs an argument")
        out = f"{name}({inner})"
        return f"({out})**({exponent})" if exponent else out
