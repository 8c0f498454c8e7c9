"""Computer algebra systems to compare with: each a function from an integrand in x to an answer.

Nothing here is used to solve: recipes and benchmarks put these beside this package where they are
installed (Debian: maxima maxima-share, xcas for giac, fricas). What a system prints is read by the
whitelist parser; an answer in functions that this package lacks counts as none.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import parse

START = 0.5
"""Seconds that a system may need to start, beside the time of the problem."""


def _run(command: list[str], text: str, seconds: float, wall: float) -> str:
    """What a command prints within its CPU seconds (those of its start are added) and those of the
    wall's clock. It works in a folder of its own: some systems leave files where they stand."""

    def limit() -> None:
        import resource

        most = int(seconds + START + 1)
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))

    with tempfile.TemporaryDirectory() as folder:
        try:
            return subprocess.run(
                command, input=text, capture_output=True, text=True, timeout=wall + START,
                preexec_fn=limit, check=False, cwd=folder,
            ).stdout  # fmt: skip
        except subprocess.TimeoutExpired:
            return ""


def _named(f: Expr, **names: str) -> str:
    """The integrand's text with a system's own names."""
    return re.sub(r"\b[A-Za-z]+\b", lambda word: names.get(word[0], word[0]), str(f))


def _read(text: str) -> Expr | None:
    try:
        return parse(text)
    except InputError:
        return None


def maxima(f: Expr, seconds: float, wall: float) -> Expr | None:
    shown = _named(f, E="%e", pi="%pi", I="%i", sign="signum")
    program = f'display2d:false$\nlinel:100000$\nprint("@@", integrate({shown},x), "@@")$\n'
    out = _run(["maxima", "--very-quiet"], program, seconds, wall)
    found = re.search(r"@@(.*?)@@", out.replace("\\\n", "").replace("\n", " "))
    if not found or "integrate" in found.group(1):
        return None
    text = found.group(1).replace("%e", "E").replace("%pi", "pi").replace("%i", "I")
    for theirs, name in (("signum(", "sign("), ("expintegral_", ""), ("ei(", "Ei("),
                         ("si(", "Si("), ("ci(", "Ci("), ("shi(", "Shi("), ("chi(", "Chi("),
                         ("li[2](", "dilog("), ("fresnel_", "fresnel")):  # fmt: skip
        text = text.replace(theirs, name)
    return _read(text)


def giac(f: Expr, seconds: float, wall: float) -> Expr | None:
    shown = _named(f, E="e", I="i")
    out = _run(["giac", f"integrate({shown},x)"], "", seconds, wall)
    lines = [line for line in out.splitlines() if line.strip() and not line.startswith("//")]
    if not lines or "integrate" in lines[-1]:
        return None
    text = re.sub(r"\bi\b", "I", lines[-1].strip('" '))
    return _read(text.replace("ln(", "log(").replace("surd", "root"))


def fricas(f: Expr, seconds: float, wall: float) -> Expr | None:
    shown = _named(f, E="%e", pi="%pi", I="%i").replace("**", "^")
    program = (
        ")set messages autoload off\n)set output length 245\n"
        f"unparse((integrate({shown},x))::InputForm)\n"
    )
    out = _run(["fricas", "-nosman"], program, seconds, wall)
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


SYSTEMS: dict[str, Callable[[Expr, float, float], Expr | None]] = {
    "Maxima": maxima, "Giac": giac, "FriCAS": fricas,
}  # fmt: skip
"""(integrand, CPU seconds, seconds of the wall's clock) -> antiderivative or None."""


def installed() -> list[str]:
    """The systems found on this machine."""
    return [name for name, solve in SYSTEMS.items() if shutil.which(solve.__name__)]
