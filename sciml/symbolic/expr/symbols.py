"""Which names are symbols: the variable, declared constants, and names that may mean something
else."""

from __future__ import annotations

import re
from collections.abc import Collection

from sciml.errors import InputError
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.reading import CONSTANTS, GREEK, NAMES


def reserved(name: str) -> bool:
    """Whether a name is that of a constant or a function, so that no symbol can have it."""
    return name in CONSTANTS or name in NAMES or name in ("sqrt", "cbrt", "root", "Rational")


def ambiguity_hint(name: str) -> str | None:
    """A hint about an undeclared name that may mean something else (sinx: sin(x), xe: x*e, dx: a
    differential); None for a name that is clear."""
    if name.removeprefix("var") in GREEK or re.fullmatch(
        r"[A-Za-z](_?[0-9]+|_[A-Za-z0-9]+)?", name
    ):
        if name in ("i", "j"):
            return "The imaginary unit is I."
        return None
    glued = re.fullmatch(rf"({'|'.join(sorted([*NAMES, 'sqrt'], key=len, reverse=True))})"
                          r"(\d*[A-Za-z]?\d*)", name)  # fmt: skip
    if glued and glued[2]:
        return f"Did you mean {glued[1]}({glued[2]})?"
    if re.fullmatch(r"d[A-Za-z]", name):
        return "Leave the differential out, and name the variable."
    if len(name) < 6 and name.isalpha():
        return f"Letters side by side are one name: write {'*'.join(name)} for a product."
    return "Letters side by side are one name: write * for a product."


def check_symbols(
    e: Expr,
    variable: str | None,
    constants: Collection[str] = (),
    declared: Collection[str] = (),
) -> str:
    """The variable of `e`: the given one, or its only symbol; other symbols are refused unless they
    are among `constants`.

    Args:
        e: the expression.
        variable: the name of the variable; None: the only symbol.
        constants: names of symbols that stand for constants.
        declared: names that are certainly symbols, because they are SymPy's.

    Raises:
        InputError: for several variables, an undeclared symbol, the name of a function or a number,
            and for an only symbol whose name may mean a product.
    """
    for name in (*constants, *([variable] if variable else [])):
        if reserved(name):
            raise InputError(f"{name!r} cannot be a symbol: it is a function or a number here")
    others = sorted(e.free - set(constants))
    if variable is None:
        if len(others) > 1:
            hints = [h for n in others if n not in declared and (h := ambiguity_hint(n))]
            raise InputError(
                f"several variables ({', '.join(others)})",
                hint=" ".join(
                    [
                        "Name the one to integrate over, and name the others as constants.",
                        *hints[:1],
                    ]
                ),
            )
        if others and others[0] not in declared and ambiguity_hint(others[0]):
            raise InputError(
                f"{others[0]!r} may not be meant as one variable",
                hint=f"{ambiguity_hint(others[0])} Else name it as the variable.",
            )
        return others[0] if others else "x"
    extra = [name for name in others if name != variable]
    if extra:
        raise InputError(
            f"unknown symbol {extra[0]!r} beside the variable {variable!r}",
            hint=" ".join(
                filter(
                    None, (ambiguity_hint(extra[0]), f"Name it as a constant: constants={extra!r}.")
                )
            ),
        )
    return variable
