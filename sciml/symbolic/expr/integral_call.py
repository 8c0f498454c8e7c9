"""An integral written as the call of a computer algebra system: its integrand, variable and limits.

SymPy's Integral(f, (x, a, b)) and integrate(f, x), Maple's and Maxima's int(f, x = a .. b) and
integrate(f, x, a, b), Mathematica's Integrate[f, {x, a, b}].
"""

from __future__ import annotations

import re

from sciml.symbolic.expr.reading import MAX_LENGTH, ExpressionError

_CALL = re.compile(r"\s*(?:Integral|[Ii]ntegrate|[Ii]nt)\s*([(\[])")
_NAME = re.compile(r"[A-Za-z]\w*")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_TO = re.compile(r"(.+?)=(.+?)\.\.(.+)", re.S)

Integral = tuple[str, str, tuple[str, str] | None]
"""(integrand, variable, limits)."""


def called_integral(text: str) -> Integral | None:
    """Integrand, variable and limits of a text that is one call; None for any other.

    Raises:
        ExpressionError: for a range that is none, or several of them.
    """
    opening = _CALL.match(text)
    if opening is None or len(text) > MAX_LENGTH:
        return None
    stripped = text.rstrip().rstrip(";").rstrip()
    arguments = _arguments(stripped, opening.end() - 1)
    if arguments is None:
        return None
    integrand, *rest = arguments
    at = opening.end()
    if len(rest) == 3 and _NAME.fullmatch(rest[0]):
        return integrand, rest[0], (rest[1], rest[2])
    if len(rest) != 1:
        raise ExpressionError("an integral is over one variable here", text, at,
                              "Give the ranges of a multiple integral as limits.")  # fmt: skip
    (variable,) = rest
    maple = _TO.fullmatch(variable)
    if maple:
        parts = [part.strip() for part in maple.groups()]
    elif variable[:1] in "({":
        parts = _arguments(variable, 0) or []
    else:
        parts = [variable]
    if len(parts) not in (1, 3) or not _NAME.fullmatch(parts[0]):
        raise ExpressionError(f"{variable!r} is no range of integration", text, at,
                              "Write x, or (x, a, b).")  # fmt: skip
    return integrand, parts[0], (parts[1], parts[2]) if len(parts) == 3 else None


def _arguments(text: str, at: int) -> list[str] | None:
    """The arguments between the bracket at `at` and the one that closes it at the end of the text;
    None where it closes earlier, or never."""
    stack, start, out = [_CLOSING[text[at]]], at + 1, []
    for i in range(at + 1, len(text)):
        char = text[i]
        if char in _CLOSING:
            stack.append(_CLOSING[char])
        elif char in ")]}":
            if char != stack.pop():
                return None
            if not stack:
                out.append(text[start:i].strip())
                return out if i == len(text) - 1 else None
        elif char == "," and len(stack) == 1:
            out.append(text[start:i].strip())
            start = i + 1
    return None
