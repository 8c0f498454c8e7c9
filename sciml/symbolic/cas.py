"""Other computer algebra systems (Maxima, Giac, FriCAS), for comparisons only: nothing is solved
with them.

Recipes and benchmarks measure them beside this package where they are installed (Debian: maxima
maxima-share, xcas for giac, fricas). What a system prints is read by the whitelist parser; an
answer in functions that this package lacks counts as none.
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

START_UP = 0.5
"""Seconds that a system may take to start, beside those of the problem."""


def _run(command: list[str], text: str, cpu_seconds: float, timeout: float) -> str:
    """What a command prints, given `text`, within its CPU seconds and wall-clock seconds (those of
    its start are added). It runs in a temporary folder: some systems leave files behind."""

    def limit() -> None:
        import resource

        cpu = int(cpu_seconds + START_UP + 1)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))

    with tempfile.TemporaryDirectory() as folder:
        try:
            return subprocess.run(
                command, input=text, capture_output=True, text=True, timeout=timeout + START_UP,
                preexec_fn=limit, check=False, cwd=folder,
            ).stdout  # fmt: skip
        except subprocess.TimeoutExpired:
            return ""


def _with_names(f: Expr, **names: str) -> str:
    """The integrand as text, with a system's own names of functions and constants."""
    return re.sub(r"\b[A-Za-z]+\b", lambda word: names.get(word[0], word[0]), str(f))


def _read(text: str) -> Expr | None:
    try:
        return parse(text)
    except InputError:
        return None


def maxima(f: Expr, cpu_seconds: float, timeout: float) -> Expr | None:
    """Maxima's antiderivative; None without an answer in the time."""
    text = _with_names(f, E="%e", pi="%pi", I="%i", sign="signum")
    program = f'display2d:false$\nlinel:100000$\nprint("@@", integrate({text},x), "@@")$\n'
    out = _run(["maxima", "--very-quiet"], program, cpu_seconds, timeout)
    printed = re.search(r"@@(.*?)@@", out.replace("\\\n", "").replace("\n", " "))
    if not printed or "integrate" in printed.group(1):
        return None
    text = printed.group(1).replace("%e", "E").replace("%pi", "pi").replace("%i", "I")
    for their_name, name in (("signum(", "sign("), ("expintegral_", ""), ("ei(", "Ei("),
                         ("si(", "Si("), ("ci(", "Ci("), ("shi(", "Shi("), ("chi(", "Chi("),
                         ("li[2](", "dilog("), ("fresnel_", "fresnel"),
                         ("gamma_incomplete(", "uppergamma("), ("bessel_", "bessel"),
                         ("hypergeometric(", "hypergeom("),
                         ("lambert_w(", "LambertW(")):  # fmt: skip
        text = text.replace(their_name, name)
    return _read(re.sub(r"li\[(\d+)\]\(", r"polylog(\1, ", text))


def giac(f: Expr, cpu_seconds: float, timeout: float) -> Expr | None:
    """Giac's antiderivative; None without an answer in the time."""
    text = _with_names(f, E="e", I="i")
    out = _run(["giac", f"integrate({text},x)"], "", cpu_seconds, timeout)
    lines = [line for line in out.splitlines() if line.strip() and not line.startswith("//")]
    if not lines or "integrate" in lines[-1]:
        return None
    text = re.sub(r"\bi\b", "I", lines[-1].strip('" '))
    return _read(text.replace("ln(", "log(").replace("surd", "root"))


def fricas(f: Expr, cpu_seconds: float, timeout: float) -> Expr | None:
    """FriCAS's antiderivative; None without an answer in the time."""
    text = _with_names(f, E="%e", pi="%pi", I="%i").replace("**", "^")
    program = (
        ")set messages autoload off\n)set output length 245\n"
        f"unparse((integrate({text},x))::InputForm)\n"
    )
    out = _run(["fricas", "-nosman"], program, cpu_seconds, timeout)
    printed = re.search(r'"(.*)"', out, re.S)
    if not printed:
        return None
    text = re.sub(r"\n\s*", "", printed.group(1)).replace("pi()", "pi").replace("%i", "I")
    text = re.sub(r"%e\b|exp\(1\)", "E", text)
    if text.startswith("["):
        text = text[1:].split(",")[0]
    text = text.replace("fresnelS", "fresnels").replace("fresnelC", "fresnelc")
    answer = _read(text)
    return None if answer is None else _with_our_dilogarithm(answer)


def _with_our_dilogarithm(e: Expr) -> Expr:
    """FriCAS's dilog(u) is Li2(1 - u), this package's dilog(u) is Li2(u)."""
    mapping = {n: ex.call("dilog", 1 - n.args[0]) for n in ex.subtrees(e) if n.op == "dilog"}
    return ex.substitute(e, mapping)


SYSTEMS: dict[str, Callable[[Expr, float, float], Expr | None]] = {
    "Maxima": maxima, "Giac": giac, "FriCAS": fricas,
}  # fmt: skip
"""(integrand in x, CPU seconds, wall-clock seconds) -> antiderivative or None."""


def installed() -> list[str]:
    """The systems that are installed on this machine."""
    return [name for name, solve in SYSTEMS.items() if shutil.which(solve.__name__)]
