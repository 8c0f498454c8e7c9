"""Leibniz notation of derivatives, in infix text and LaTeX, rewritten with primes: dy/dx as y'.

The result is padded to the length of the original, so that positions in errors stay right.
"""

from __future__ import annotations

import re
from functools import partial

from sciml.symbolic.expr.reading import Unknown

D = r"(?:\\(?:mathrm|text|operatorname)\s*\{\s*d\s*\}|\\(?:mathrm|rm)\s+d|\{\\rm\s+d\}|\\dd|d)"
_TIMES = r"\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\s*"


def infix_derivatives(text: str, unknown: Unknown | None) -> str:
    """Text with y' and y'' for dy/dx and d^2y/dx^2."""
    if unknown is None:
        return text
    y, x = re.escape(unknown.name), re.escape(unknown.variable)
    order = r"\s*(?:\^?\s*\{?([2-6])\}?)?\s*"
    quotient = rf"(?<![A-Za-z\\{{])d{order}{y}(?:\(\s*{x}\s*\))?\s*/\s*d\s*{x}{order}(?![A-Za-z\d])"

    return re.sub(quotient, partial(_with_primes, unknown), text)


def latex_derivatives(text: str, unknown: Unknown) -> str:
    """Text with y'' for \\frac{d^2 y}{dx^2}, \\frac{d^2}{dx^2} y and \\ddot y, likewise y'."""
    y, x = re.escape(unknown.name), re.escape(unknown.variable)
    applied = rf"(?:\s*\{{?\s*(?:\\left)?\(\s*{x}\s*(?:\\right)?\)\s*\}}?)?"
    bottom = rf"\{{\s*{D}\s*{x}{_TIMES}\}}"
    inside = rf"\\[dt]?frac\s*\{{\s*{D}{_TIMES}{y}{applied}\s*\}}\s*{bottom}"
    before = rf"\\[dt]?frac\s*\{{\s*{D}{_TIMES}\}}\s*{bottom}\s*{y}(?![A-Za-z'^])"

    def dotted(match: re.Match[str]) -> str:
        return (unknown.name + "'" * len(match[1])).ljust(len(match[0]))

    primed = partial(_with_primes, unknown)
    text = re.sub(before, primed, re.sub(inside, primed, text))
    return re.sub(rf"\\(d{{1,2}})ot\s*(?:\{{\s*{y}\s*\}}|{y}(?![A-Za-z]))", dotted, text)


def _with_primes(unknown: Unknown, match: re.Match[str]) -> str:
    """y with as many primes as both orders of d^n y / dx^n say; unchanged where they differ."""
    if match[1] != match[2]:
        return match[0]
    return (unknown.name + "'" * int(match[1] or 1)).ljust(len(match[0]))
