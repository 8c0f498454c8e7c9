"""A subset of LaTeX to infix text: fractions, roots, powers, functions, \\left( \\right), |x|.

The result is text for the whitelist parser, never code.
"""

from __future__ import annotations

import re

from sciml.symbolic.expression import FUNCTIONS

_TOKEN = re.compile(r"\s+|\\([A-Za-z]+)\*?|\\(.)|(\d+\.?\d*|\.\d+)|(.)", re.S)
_NAMES = {
    **{f: f for f in FUNCTIONS}, "ln": "log", "lg": "log", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan", "arccot": "acot", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh",
}  # fmt: skip
_GREEK = "alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau phi omega".split()
_SIGNS = {"cdot": "*", "times": "*", "div": "/", "lvert": "|", "rvert": "|", "vert": "|"}
_INVERSE = {"sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot", "sec": "asec",
            "csc": "acsc", "sinh": "asinh", "cosh": "acosh", "tanh": "atanh"}  # fmt: skip
MAX_DEPTH = 120


def to_infix(text: str) -> str:
    """Infix text that means the same.

    Raises:
        ExpressionError: at the character that is not understood.
    """
    return _Latex(text).whole()


class _Latex:
    def __init__(self, text: str) -> None:
        self.text, self.i, self.depth = text, 0, 0
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
        from sciml.symbolic.parser import ExpressionError

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
            if self.peek() == "_":
                self.i += 1
                sub = self.braces_raw() if self.peek() == "{" else self.peek()
                self.i += 0 if self.tokens[self.i - 1][1] == "}" else 1
                return f"{value}_{sub}" if sub.isalnum() else value
            return value
        raise self.fail(f"unexpected {value!r}")

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
