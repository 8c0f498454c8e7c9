"""A subset of LaTeX to infix text: fractions, roots, powers, functions, \\left( \\right), |x|, and
the derivatives of a differential equation as y', y^{\\prime}, \\frac{dy}{dx}, \\frac{d}{dx} y.

The result is text for the whitelist parser, never code. Unsupported notation (d/dx of something,
sums, limits) is refused by name; integrals are handled by `latex_integral`.
"""

from __future__ import annotations

import re

from sciml.symbolic.expr.derivative_notation import D, latex_derivatives
from sciml.symbolic.expr.expression import SPECIAL
from sciml.symbolic.expr.latex_special import INDEXED, SpecialCalls
from sciml.symbolic.expr.reading import (  # fmt: skip
    GREEK,
    INVERSE,
    NAMES,
    UNSUPPORTED,
    ExpressionError,
    Unknown,
)
from sciml.symbolic.expr.special_functions import BY_LATEX
from sciml.symbolic.expr.symbols import reserved

_TOKEN = re.compile(
    r"[\s~]+|\\(?P<bar>(?:left|right|[bB]igg?[lr]?)\s*(?:\||\\vert|\\[lr]vert))"
    r"|\\(?P<command>[A-Za-z]+)\*?|\\(?P<sign>.)|(?P<number>\d+\.?\d*|\.\d+)|(?P<char>.)", re.S
)  # fmt: skip
_SKIPPED = (
    "left", "right", "displaystyle", "textstyle", "limits", "quad", "qquad", "big", "Big", "bigg",
    "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "thinspace", "mathop", "nolimits",
)  # fmt: skip
_UPRIGHT = ("mathrm", "text", "operatorname", "textrm", "mbox")
_SIGNS = {"cdot": "*", "times": "*", "div": "/", "ast": "*"}
_VARIANTS = {"var" + name: name for name in ("epsilon", "theta", "phi", "rho", "sigma", "kappa")}
_LETTERS = {**{g: g for g in GREEK if g != "pi"}, **{v: v for v in _VARIANTS}}
_FUNCTION_LETTERS = frozenset("fghABCDEFGHIJKLMNOPQRSTUVWXYZ")
_FUNCTION_GREEK = ("Gamma", "zeta", "psi", "theta", "delta", "eta", "chi", "Pi", "Psi", "Phi")
"""Letters that usually denote an unsupported function when a bracket follows."""
_WORDS = sorted({*NAMES, "sqrt", "pi"}, key=len, reverse=True)
MAX_DEPTH = 120


def to_infix(text: str, unknown: Unknown | None = None) -> str:
    """Infix text of the same meaning.

    Args:
        text: LaTeX.
        unknown: the unknown function of a differential equation.

    Raises:
        ExpressionError: names the character at fault.
    """
    return _LatexReader(text, unknown).infix()


def undressed(text: str) -> str:
    """The formula with its delimiters ($, \\[ \\], \\( \\)) and a final full stop replaced by
    blanks, so that positions stay right."""
    for opening, closing in ((r"\$\$?", r"\$\$?"), (r"\\\[", r"\\\]"), (r"\\\(", r"\\\)")):
        match = re.fullmatch(rf"(\s*{opening})(.*?)([\s.,;]*{closing}[\s.,;]*)", text, re.S)
        if match:
            text = " " * len(match[1]) + match[2] + " " * len(match[3])
    text = re.sub(r"\\mathop\s*\{\s*\}", lambda m: " " * len(m[0]), text)  # \mathop{}\!\mathrm{d}
    end = re.search(r"(?<!\\)[\s.,;]*$", text)
    return text if end is None else text[: end.start()] + " " * (len(text) - end.start())


class _LatexReader(SpecialCalls):
    """Recursive descent over the tokens of a formula; the methods return infix text."""

    def __init__(self, text: str, unknown: Unknown | None = None) -> None:
        text = undressed(text)
        text = latex_derivatives(text, unknown) if unknown else text
        self.text, self.unknown, self.i, self.depth = text, unknown, 0, 0
        self.tokens: list[tuple[str, str, int]] = []
        for match in _TOKEN.finditer(text):
            kind, at = match.lastgroup, match.start()
            if kind == "bar":
                opens = match["bar"][0] == "l" or match["bar"].rstrip("|\\lrvet ")[-1:] == "l"
                self.tokens.append(("command", "lvert" if opens else "rvert", at))
            elif kind == "command":
                if match["command"] not in _SKIPPED:
                    self.tokens.append((kind, match["command"], at))
            elif kind == "sign":
                if match["sign"] not in ",;:! \n":
                    self.tokens.append(("char", match["sign"], at))
            elif kind is not None:
                self.tokens.append((kind, match[kind], at))

    def fail(self, what: str, hint: str | None = None, back: int = 0) -> ExpressionError:
        i = self.i - back
        at = self.tokens[i][2] if i < len(self.tokens) else len(self.text)
        return ExpressionError(what, self.text, at, hint)

    def peek(self, ahead: int = 0) -> str:
        i = self.i + ahead
        return self.tokens[i][1] if i < len(self.tokens) else ""

    def kind(self, ahead: int = 0) -> str:
        i = self.i + ahead
        return self.tokens[i][0] if i < len(self.tokens) else ""

    def infix(self) -> str:
        out = self.run(())
        if self.i < len(self.tokens):
            raise self.fail(f"unexpected {self.peek()!r}")
        return out

    def run(self, stops: tuple[str, ...]) -> str:
        """Factors and operators up to one of `stops`; adjacent factors are multiplied."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"braces nest deeper than {MAX_DEPTH}")
        out: list[str] = []
        joined = True  # whether an operator precedes the next factor
        after_division = False  # x/2y is ambiguous
        while self.i < len(self.tokens) and self.peek() not in stops:
            value = self.peek()
            kind = self.kind()
            sign = value if kind == "char" and value in "+-*/=" else ""
            sign = _SIGNS.get(value, "") if kind == "command" else sign
            if sign:
                out.append(sign)
                joined = True
                after_division = sign == "/"
                self.i += 1
                continue
            if not joined and after_division:
                hint = r"Write \cdot for a product, or \frac{...}{...}."
                raise self.fail("a factor without a sign follows a division", hint)
            if not joined and kind == "number":
                raise self.fail("a number cannot follow directly", r"Write \cdot between them.")
            mixed = self.i and self.kind(-1) == "number" and not joined and "frac" in value
            start = self.i
            factor = self.factor(stops)
            if mixed and all(k != "command" and (k == "number" or v in "{}")
                             for k, v, _ in self.tokens[start + 1 : self.i]):  # fmt: skip
                hint = r"Write + or \cdot between them."
                raise self.fail("a number stands before a fraction of numbers", hint,
                                back=self.i - start)  # fmt: skip
            out.append(("" if joined else "*") + factor)
            joined = False
        self.depth -= 1
        return "".join(out)

    def factor(self, stops: tuple[str, ...] = ()) -> str:
        start = self.i
        base = self.atom(stops)
        if self.peek() == "^":
            is_letter = self.i == start + 1 and self.peek(-1) in (
                *_FUNCTION_LETTERS,
                *_FUNCTION_GREEK,
            )
            self.i += 1
            base = f"({base})**({self.argument()})"
            if self.peek() == "^":
                raise self.fail("a power of a power needs braces", "Write {x^{a}}^{b} or x^{a^b}.")
            if is_letter and self.peek() == "(":
                hint = r"Write \cdot before the bracket for a product."
                raise self.fail("a letter before a bracket may be a function", hint)
        return base

    def argument(self) -> str:
        if self.peek() == "{":
            return self.braces()
        if self.kind() == "number" and len(self.peek()) > 1:
            # x^12 is x^1 * 2 in LaTeX; refuse rather than guess
            raise self.fail("braces are needed round an exponent of several digits")
        return self.atom(())

    def braces(self) -> str:
        if self.peek() != "{":
            raise self.fail("expected {")
        self.i += 1
        inner = self.run(("}", "over"))
        if self.peek() == "over":  # TeX's {a \over b}
            self.i += 1
            inner = f"(({inner})/({self.run(('}',))}))"
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
        if value in ("frac", "dfrac", "tfrac", "cfrac"):
            self._refuse_derivative()
            return f"(({self.braces_or_digit()})/({self.braces_or_digit()}))"
        if value == "sqrt":
            degree = ""
            if self.peek() == "[":
                self.i += 1
                degree = self.run(("]",))
                self.i += 1
            inner = self.argument()
            return f"(({inner})**(1/({degree})))" if degree else f"sqrt({inner})"
        if value in _UPRIGHT:
            return self.upright()
        if value == "mathit":
            word = self.braces_raw()
            if not re.fullmatch("[A-Za-z]", word) or word == "e":
                raise self.fail(r"\mathit holds one letter here", back=1)
            return self.letter(word, False)
        if value in NAMES:
            return self.function(NAMES[value])
        if value == "pi":
            return value
        if value in _LETTERS:
            return self.letter(_LETTERS[value], value in _FUNCTION_GREEK)
        if value in ("lfloor", "lceil"):
            return self.rounded("floor" if value == "lfloor" else "ceiling", f"r{value[1:]}")
        if value in ("max", "min"):
            return self.several(value)
        if value in ("lvert", "vert"):
            return self.bars("rvert" if value == "lvert" else "vert")
        if value in UNSUPPORTED:
            raise self.fail(
                f"\\{value} writes {UNSUPPORTED[value]}, which is not read here", back=1
            )
        raise self.fail(f"unknown command \\{value}", back=1)

    def _refuse_derivative(self) -> None:
        """\\frac{d...}{dx} is a derivative, not a quotient."""
        here = self.text[self.tokens[self.i][2] :] if self.i < len(self.tokens) else ""
        top = rf"\{{\s*{D}(?![A-Za-z]{{3}}).{{0,200}}?\}}\s*"
        bottom = rf"\{{\s*(?:{D}|\\partial)\s*\{{?\\?[A-Za-z]"
        if re.match(top + bottom, here, re.S) or re.match(r"\{\s*\\partial", here):
            hint = "Derivatives are not taken: write the result."
            if self.unknown is not None:
                hint = f"The unknown function is {self.unknown.name} of {self.unknown.variable}."
            raise self.fail("a fraction is a derivative", hint, back=1)

    def braces_or_digit(self) -> str:
        if self.peek() == "{":
            return self.braces()
        kind, value, at = self.tokens[self.i] if self.i < len(self.tokens) else ("", "", 0)
        if kind == "number" and len(value) > 1:  # \frac12 is 1/2
            self.tokens[self.i] = (kind, value[1:], at + 1)
            return value[0]
        return self.atom(())

    def braces_raw(self) -> str:
        """The characters in braces, or one character."""
        if self.peek() != "{":
            if self.kind() not in ("char", "number"):
                raise self.fail("only letters and digits can stand here")
            self.i += 1
            return self.peek(-1)
        out = ""
        self.i += 1
        while self.peek() not in ("}", ""):
            if self.kind() == "command" or self.peek() in "{^":
                raise self.fail("only letters and digits can stand here")
            out += self.peek()
            self.i += 1
        self.i += 1
        return out

    def upright(self) -> str:
        """\\mathrm{e}, \\text{arctan}, \\mathrm{speed}: a constant, a function or one name."""
        started = self.i
        word = self.braces_raw()
        if word == "d":
            raise self.fail("a differential stands outside an integral",
                            "Leave it out, or write the integral with its sign.",
                            back=self.i - started)  # fmt: skip
        if word in NAMES:
            return self.function(NAMES[word])
        if word in INDEXED and self.peek() == "_":
            return self.indexed(INDEXED[word])
        if self.peek() == "(" and (word in SPECIAL or word in BY_LATEX and word not in "EF"):
            return self.special(BY_LATEX.get(word, (word,)))
        if word in ("i", "j", "I"):
            return "I"
        if word in ("e", "E", "pi"):
            return word
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", word) and not reserved(word):
            if self.peek() not in ("(", "_") and [self.peek(), self.peek(1)] != ["{", "("]:
                return word
        raise self.fail(f"unknown function or name {word!r}", back=self.i - started)

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
            if self.unknown is not None and value == self.unknown.name:
                self.i += 1
                return self.unknown_function(self.unknown)
            word = self.word()
            if word:
                return self.function(NAMES[word]) if word in NAMES else word
            self.i += 1
            if value == "d" and (self.kind() == "char" and self.peek().isalpha()
                                 or self.peek() in _LETTERS):  # fmt: skip
                hint = r"Leave it out, or write d \cdot x for a product."
                raise self.fail("a differential stands outside an integral", hint, back=1)
            unknown = self.unknown
            if value in "ij" and (unknown is None or value != unknown.variable):
                hint = rf"Write \mathrm{{i}} for the unit, \mathit{{{value}}} for a symbol."
                raise self.fail(f"{value} may be the imaginary unit or a symbol", hint, back=1)
            return self.letter(value, value in _FUNCTION_LETTERS)
        prime = "A prime is a derivative." if value == "'" else None
        raise self.fail(f"unexpected {value!r}", prime)

    def word(self) -> str:
        """A function's name without its backslash: exp, sin, ln, pi; empty for other letters.
        Letters that contain such a name are refused."""
        letters = ""
        while self.kind(len(letters)) == "char" and re.match("[A-Za-z]", self.peek(len(letters))):
            i = self.i + len(letters)
            if letters and self.tokens[i][2] != self.tokens[i - 1][2] + 1:
                break  # a space
            letters += self.peek(len(letters))
        for name in _WORDS:
            if name == letters and (len(name) > 2 or name in ("pi", "ln", "tg")
                                    or self.peek(len(name)) in ("(", "{")):  # fmt: skip
                if name == "sqrt":
                    raise self.fail("sqrt lacks its backslash", r"Write \sqrt{...}.")
                self.i += len(name)
                return name
            if len(name) > 2 and name in letters or name == "ln" and letters.startswith(name):
                command = "\\" + name if name != "sqrt" else r"\sqrt{...}"
                hint = f"Write {command} for the function, or \\cdot between the letters."
                raise self.fail(f"the letters {letters!r} hold the name of a function", hint)
        if len(letters) > 3 or letters in GREEK and len(letters) > 2:
            hint = rf"Write \{letters}." if letters in GREEK else rf"Write \mathrm{{{letters}}}."
            raise self.fail(f"the letters {letters!r} may be one name",
                            f"{hint} Put spaces between the letters of a product.")  # fmt: skip
        return ""

    def letter(self, name: str, function: bool) -> str:
        """A symbol with its subscript; refused before a bracket where it may be a function."""
        if name in BY_LATEX and self.peek() == "(":
            separators = self.separators()
            if (
                "middle" in separators
                or name in ("Gamma", "zeta")
                or separators
                and name == "gamma"
            ):
                return self.special(BY_LATEX[name])
        if name in "JYIK" and self.peek() == "_" and self.before_bracket():
            return self.indexed(INDEXED[name])
        if self.peek() == "_":
            self.i += 1
            sub = self.braces_raw()
            if not sub.isalnum() or not sub.isascii():
                raise self.fail(f"the subscript {sub!r} is not read", "Use letters and digits.")
            name = f"{name}_{sub}"
            function = True
        if self.peek() == "'":
            raise self.fail(f"{name} has no derivative here")
        if self.peek() == "(":
            lone = self.peek(2) == ")" and self.kind(1) in ("char", "command")
            if function or lone:
                hint = rf"Write {{{name}}}(...) or {name} \cdot (...) for a product."
                raise self.fail(f"{name} before a bracket may be a function", hint, back=1)
        return name

    def unknown_function(self, unknown: Unknown) -> str:
        """y with its primes, y' or y^{\\prime}; y(x) is the same as y."""
        primes = 0
        while self.peek() == "'":
            primes += 1
            self.i += 1
        ahead = [token[1] for token in self.tokens[self.i : self.i + 10]]
        if ahead[:2] == ["^", "prime"]:
            primes, self.i = 1, self.i + 2
        elif ahead[:3] == ["^", "{", "prime"] and "}" in ahead:
            end = ahead.index("}")
            if set(ahead[2:end]) != {"prime"}:
                raise self.fail("a derivative is written with primes only")
            primes, self.i = end - 2, self.i + end + 1
        elif ahead[:3] == ["^", "{", "("] and ahead[4:6] == [")", "}"] and ahead[3].isdigit():
            primes, self.i = int(ahead[3]), self.i + 6  # y^{(2)}
        x = unknown.variable
        for argument in (["(", x, ")"], ["{", "(", x, ")", "}"]):
            if [self.peek(k) for k in range(len(argument))] == argument:
                self.i += len(argument)
                return unknown.name + "'" * primes
        if self.peek() == "(" or self.peek() == "{" == self.peek(1):
            raise self.fail(f"{unknown.name} is a function of {x} only",
                            rf"Write {unknown.name} \cdot (...) for a product.")  # fmt: skip
        return unknown.name + "'" * primes

    def rounded(self, name: str, close: str) -> str:
        """\\lfloor u \\rfloor, \\lceil u \\rceil."""
        inner = self.run((close,))
        if self.peek() != close:
            raise self.fail(f"expected \\{close}")
        self.i += 1
        return f"{name}({inner})"

    def several(self, name: str) -> str:
        """\\max(a, b), \\min\\{a, b\\}."""
        closing = {"(": ")", "{": "}", "[": "]"}.get(self.peek())
        if closing is None:
            raise self.fail(f"{name} needs its arguments in brackets", back=1)
        self.i += 1
        arguments = [self.run((",", closing))]
        while self.peek() == ",":
            self.i += 1
            arguments.append(self.run((",", closing)))
        if self.peek() != closing or len(arguments) < 2:
            raise self.fail(f"{name} compares two or more, separated by commas")
        self.i += 1
        return f"{name}({','.join(arguments)})"

    def bars(self, close: str) -> str:
        inner = self.run((close,))
        if self.peek() != close:
            raise self.fail("a bar | is not closed")
        self.i += 1
        return f"abs({inner})"

    def function(self, name: str) -> str:
        exponent, base = "", ""
        for _ in range(2):
            if self.peek() == "_" and name == "log" and not base:
                self.i += 1
                base = self.argument()
            elif self.peek() == "^" and not exponent:
                self.i += 1
                exponent = self.argument()
        if exponent.strip("() ") == "-1":
            if name not in INVERSE:
                hint = f"Write \\frac{{1}}{{\\{name} ...}}, or the name of the inverse."
                raise self.fail(f"{name} to the power -1 before its argument", hint, back=1)
            name, exponent = INVERSE[name], ""
        if self.peek() in ("(", "{", "[", "|", "lvert", "vert"):
            inner = self.atom(())
        else:  # \sin 2 x^2: everything up to the next sign or function
            parts = []
            while self.i < len(self.tokens):
                kind, value, _ = self.tokens[self.i]
                if kind == "command" and value not in ("frac", "dfrac", "tfrac", "sqrt", "pi",
                                                       *_LETTERS, *_UPRIGHT):  # fmt: skip
                    break
                if kind == "char" and not (value.isalpha() or value == "{"):
                    break
                parts.append(self.factor())
            inner = "*".join(parts)
            if not inner:
                raise self.fail(f"{name} needs an argument")
            if self.peek() in ("(", "["):
                hint = rf"Write \{name}\left(...\right), or \cdot before the bracket."
                raise self.fail(f"where the argument of {name} ends is not clear", hint)
        out = f"{name}({inner})"
        if base:
            out = f"(log({inner})/log({base}))"
        return f"({out})**({exponent})" if exponent else out
