"""Special functions as SymPy's and in LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sciml.symbolic.expr.expression import SPECIAL
from sciml.symbolic.expr.special_functions import LATEX, LATEX_ORDERED


@cache
def special_constructors() -> dict[str, Callable[..., Any]]:
    """SymPy's functions by this package's names; Carlson's integrals, which SymPy lacks, as
    undefined functions."""
    import sympy as sp

    out: dict[str, Callable[..., Any]] = {
        name: getattr(sp, name, None) or sp.Function(name) for name in SPECIAL
    }
    out["hyp2f1"] = lambda a, b, c, z: sp.hyper((a, b), (c,), z)
    out["hyp1f1"] = lambda a, b, z: sp.hyper((a,), (b,), z)
    out["beta_lower"] = lambda a, b, z: sp.betainc(a, b, 0, z)
    return out


@cache
def latex_constructors() -> dict[str, Callable[..., Any]]:
    """Undefined functions of SymPy that are written in LaTeX as `latex` reads them."""
    import sympy as sp

    def constructor(name: str) -> Any:
        def written(self: Any, printer: Any, exp: str | None = None) -> str:
            parts = [printer._print(a) for a in self.args]
            bar = name.startswith("elliptic") and name in LATEX and len(parts) > 1
            if name in LATEX_ORDERED:
                head, parts = f"{LATEX_ORDERED[name]}_{{{parts[0]}}}", parts[1:]
            elif name in LATEX and (bar or not name.startswith("elliptic")):
                head = LATEX[name]
            else:
                head = rf"\operatorname{{{name}}}"
            last = rf"\middle| {parts.pop()}" if bar else ""
            text = rf"{head}\left({', '.join(parts)}{last}\right)"
            return text if exp is None else rf"\left({text}\right)^{{{exp}}}"

        return type(name, (sp.Function,), {"_latex": written})

    return {name: constructor(name) for name in SPECIAL}
