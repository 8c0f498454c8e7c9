"""Computer algebra systems, each as a function from an integrand in x to an antiderivative.

What a system prints is read by the whitelist parser; an answer in functions that this package lacks
counts as none. Debian has them as maxima maxima-share, xcas (giac) and fricas.
"""

from __future__ import annotations

import re
import resource
import subprocess
from collections.abc import Callable

from sciml.errors import InputError
from sciml.symbolic import expression as ex
from sciml.symbolic.expression import Expr
from sciml.symbolic.parser import parse

LIMIT = 10.0
"""CPU seconds a problem."""
SLACK = 6.0
"""Times as many seconds of the wall's clock."""
START = {"Maxima": 0.5, "Giac": 0.5, "FriCAS": 0.5}
"""CPU seconds that a system needs to start, which are not counted."""
BINARIES = {"Maxima": "maxima", "Giac": "giac", "FriCAS": "fricas"}


def with_sympy(f: Expr) -> Expr | None:
    import sympy as sp

    from sciml.symbolic.printing import from_sympy, to_sympy

    found = sp.integrate(to_sympy(f), sp.Symbol("x"))
    return None if found.has(sp.Integral) else from_sympy(found)


def _run(command: list[str], text: str, seconds: float) -> str:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds + 1), int(seconds + 1)))

    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=seconds * SLACK,
            preexec_fn=limit, check=False,
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired:
        return ""


def _read(text: str) -> Expr | None:
    try:
        return parse(text)
    except InputError:
        return None


def with_maxima(f: Expr) -> Expr | None:
    shown = str(f).replace("E", "%e").replace("pi", "%pi").replace("I", "%i")
    shown = shown.replace("sign(", "signum(")
    program = f'display2d:false$\nlinel:100000$\nprint("@@", integrate({shown},x), "@@")$\n'
    out = _run(["maxima", "--very-quiet"], program, LIMIT + START["Maxima"])
    found = re.search(r"@@(.*?)@@", out.replace("\\\n", "").replace("\n", " "))
    if not found or "integrate" in found.group(1):
        return None
    text = found.group(1).replace("%e", "E").replace("%pi", "pi").replace("%i", "I")
    for theirs, name in (("signum(", "sign("), ("expintegral_", ""), ("ei(", "Ei("),
                         ("si(", "Si("), ("ci(", "Ci("), ("shi(", "Shi("), ("chi(", "Chi("),
                         ("li[2](", "dilog("), ("fresnel_", "fresnel")):  # fmt: skip
        text = text.replace(theirs, name)
    return _read(text)


def with_giac(f: Expr) -> Expr | None:
    shown = str(f).replace("E", "e").replace("I", "i")
    out = _run(["giac", f"integrate({shown},x)"], "", LIMIT + START["Giac"])
    lines = [line for line in out.splitlines() if line.strip() and not line.startswith("//")]
    if not lines or "integrate" in lines[-1]:
        return None
    text = re.sub(r"\bi\b", "I", lines[-1].strip('" '))
    return _read(text.replace("ln(", "log(").replace("surd", "root"))


def with_fricas(f: Expr) -> Expr | None:
    shown = str(f).replace("E", "%e").replace("pi", "%pi").replace("I", "%i").replace("**", "^")
    program = (
        ")set messages autoload off\n)set output length 245\n"
        f"unparse((integrate({shown},x))::InputForm)\n"
    )
    out = _run(["fricas", "-nosman"], program, LIMIT + START["FriCAS"])
    found = re.search(r'"(.*)"', out, re.S)
    if not found:
        return None
    text = re.sub(r"\n\s*", "", found.group(1)).replace("pi()", "pi").replace("%i", "I")
    text = re.sub(r"%e\b|exp\(1\)", "E", text)
    if text.startswith("["):
        text = text[1:].split(",")[0]
    text = text.replace("fresnelS", "fresnels").replace("fresnelC", "fresnelc")
    found_in = _read(text)
    return None if found_in is None else _other_dilogarithm(found_in)


def _other_dilogarithm(e: Expr) -> Expr:
    """FriCAS's dilog(u) is Li2(1 - u), this package's dilog(u) is Li2(u)."""
    mapping = {n: ex.call("dilog", 1 - n.args[0]) for n in ex.subtrees(e) if n.op == "dilog"}
    return ex.substitute(e, mapping)


SYSTEMS: dict[str, Callable[[Expr], Expr | None]] = {
    "SymPy": with_sympy, "Maxima": with_maxima, "Giac": with_giac, "FriCAS": with_fricas,
}  # fmt: skip
