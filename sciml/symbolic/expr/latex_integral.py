"""An integral written in LaTeX: its integrand, variable and limits.

The differential may stand at the end, at the front, or in the numerator of a fraction:
\\int x\\,dx, \\int dx\\,x, \\int\\frac{x\\,dx}{x^2+1}; it is written d,
\\mathrm{d}, \\text{d} or \\dd.
"""

from __future__ import annotations

import re

from sciml.symbolic.expr.derivative_notation import D
from sciml.symbolic.expr.latex import undressed
from sciml.symbolic.expr.reading import GREEK, MAX_LENGTH, ExpressionError

_SPACE = r"(?:\s|~|\\[,;:! ]|\\q?quad(?![A-Za-z]))*"
_VARIABLE = (rf"(?:\{{\s*)?(?P<name>[A-Za-z](?![A-Za-z])|\\(?:{'|'.join(GREEK)})(?![A-Za-z]))"
             r"(?:_\{?(?P<sub>[A-Za-z0-9]+)\}?)?(?:\s*\})?")  # fmt: skip
_DIFFERENTIAL = rf"(?<![A-Za-z\\]){_SPACE}{D}{_SPACE}{_VARIABLE}"
_LAST = re.compile(rf"{_DIFFERENTIAL}{_SPACE}$")
_FIRST = re.compile(rf"^{_SPACE}{D}{_SPACE}{_VARIABLE}{_SPACE}(?![\^'\d(\[])")
_OPENING = re.compile(r"\s*(?:\\displaystyle)?\s*(?:\\int(?![A-Za-z])|∫)\s*(?:\\(?:no)?limits)?\s*")
_CONSTANT = re.compile(
    _SPACE
    + r"\+"
    + _SPACE
    + r"(?:[CcK]|\\(?:text|mathrm)\{\s*(?:[CcK]|const\.?)\s*\}|const\.?)\s*$"
)
_QUESTION = re.compile(r"\s*(?:=\s*(?:\?|\\?\?)?|\?)\s*$")

Integral = tuple[str, str, tuple[str, str] | None]
"""(integrand, variable, limits)."""


def whole_integral(text: str) -> Integral | None:
    """Integrand, variable and limits of ``\\int_a^b ... \\,dx``; None for text that is none.

    Raises:
        ExpressionError: for a lower limit without an upper one, two integrals, no differential, or
            one that something follows.
    """
    if len(text) > MAX_LENGTH or not ("\\int" in text or "∫" in text):
        return None
    formula = undressed(text)
    opening = _OPENING.match(formula)
    if opening is None:
        return None
    body, limits = _limits(_QUESTION.sub("", formula[opening.end() :]), text, opening.end())
    body = _CONSTANT.sub("", body)
    if re.search(r"\\i*int(?![A-Za-z])|∫", body):
        raise ExpressionError("one integral contains another", text, opening.end())
    split = _without_differential(body)
    if split is None:
        hint = r"Write \int f(x) \, dx, with nothing but + C behind it."
        raise ExpressionError("the integral has no differential, or not at an end", text,
                              opening.end(), hint)  # fmt: skip
    inner, match = split
    name = match["name"].removeprefix("\\")
    if name == "pi":
        raise ExpressionError("pi is no variable", text, opening.end())
    name += f"_{match['sub']}" if match["sub"] else ""
    # In braces, so that it is read as LaTeX where it holds no command: x e^x is x*e^x.
    return "{" + (inner.strip() or "1") + "}", name, limits


def _limits(rest: str, text: str, at: int) -> tuple[str, tuple[str, str] | None]:
    limits: dict[str, str] = {}
    rest = rest.lstrip()
    while rest[:1] in ("_", "^"):
        sign, rest = rest[0], rest[1:].lstrip()
        end = _group(rest)
        limits[sign], rest = rest[:end].removeprefix("{").removesuffix("}"), rest[end:].strip()
    if len(limits) == 1:
        raise ExpressionError("an integral has two limits or none", text, at)
    return rest, (limits["_"], limits["^"]) if limits else None


def _group(text: str) -> int:
    """The end of the first argument: braces, a command, or one character."""
    if not text.startswith("{"):
        command = re.match(r"\\[A-Za-z]+", text)
        return command.end() if command else 1
    depth = 0
    for i, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return i + 1
    return len(text)


def _without_differential(body: str) -> tuple[str, re.Match[str]] | None:
    """The integrand without dx, and the match that holds the variable."""
    whole = body.strip()
    if whole.startswith("{") and _group(whole) == len(whole) > 2:
        return _without_differential(whole[1:-1])
    last = _LAST.search(body)
    if last:
        return body[: last.start()], last
    first = _FIRST.match(body)
    if first:
        return body[first.end() :], first
    for fraction in re.finditer(r"\\[dtc]?frac\s*(?=\{)", body):
        if _depth(body[: fraction.start()]):
            continue
        top = fraction.end()
        middle = top + _group(body[top:])
        inner = body[top + 1 : middle - 1]
        match = _LAST.search(inner) or _FIRST.match(inner)
        if match is None:
            continue
        before, after = body[: fraction.start()], body[middle:]
        below = _group(after.lstrip()) + len(after) - len(after.lstrip())
        if _sums(before.lstrip().lstrip("+-")) or _sums(after[below:]):
            return None
        rest = inner[: match.start()] + inner[match.end() :]
        numerator = "{" + (rest.strip() or "1") + "}"
        return before + fraction[0] + numerator + after, match
    return None


def _depth(text: str) -> int:
    return text.count("{") - text.count("}")


def _sums(text: str) -> bool:
    """Whether there is a +, - or = outside all brackets."""
    depth = 0
    for char in text:
        depth += (char in "{([") - (char in "})]")
        if depth == 0 and char in "+-=":
            return True
    return False
