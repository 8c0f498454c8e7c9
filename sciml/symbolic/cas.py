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
from sciml.symbolic.expr.intervals import End
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


def _end(end: End, infinity: str, **names: str) -> str:
    if end.at is None:
        return infinity if end.sign > 0 else f"-{infinity}"
    return _with_names(end.at, **names)


# ---------------------------------------------------------------------- Maxima
MAXIMA = {"E": "%e", "pi": "%pi", "I": "%i", "sign": "signum"}


def ask_maxima(query: str, cpu_seconds: float, timeout: float, load: str = "") -> str | None:
    """What Maxima prints for an expression after `load`; None if it gives nothing, or the question
    back."""
    program = f'display2d:false$\nlinel:100000$\n{load}\nprint("@@", {query}, "@@")$\n'
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
    return re.sub(r"li\[(\d+)\]\(", r"polylog(\1, ", text)


def maxima(f: Expr, cpu_seconds: float, timeout: float) -> Expr | None:
    """Maxima's antiderivative; None without an answer in the time."""
    text = ask_maxima(f"integrate({_with_names(f, **MAXIMA)},x)", cpu_seconds, timeout)
    return None if text is None else _read(text)


def maxima_between(
    f: Expr, low: End, high: End, cpu_seconds: float, timeout: float
) -> Expr | None:  # fmt: skip
    """Maxima's value of a definite integral."""
    ends = ",".join(_end(e, "inf", **MAXIMA) for e in (low, high))
    query = f"integrate({_with_names(f, **MAXIMA)},x,{ends})"
    text = ask_maxima(query, cpu_seconds, timeout)
    return None if text is None else _read(text)


# ---------------------------------------------------------------------- Giac
GIAC = {"E": "e", "I": "i"}


def ask_giac(query: str, cpu_seconds: float, timeout: float) -> str | None:
    """What Giac prints for a query; None if it gives nothing, or the question back."""
    out = _run(["giac", query], "", cpu_seconds, timeout)
    lines = [line for line in out.splitlines() if line.strip() and not line.startswith("//")]
    if not lines or "integrate" in lines[-1]:
        return None
    text = re.sub(r"\bi\b", "I", lines[-1].strip('" '))
    return text.replace("ln(", "log(").replace("surd", "root")


def giac(f: Expr, cpu_seconds: float, timeout: float) -> Expr | None:
    """Giac's antiderivative; None without an answer in the time."""
    text = ask_giac(f"integrate({_with_names(f, **GIAC)},x)", cpu_seconds, timeout)
    return None if text is None else _read(text)


def giac_between(
    f: Expr, low: End, high: End, cpu_seconds: float, timeout: float
) -> Expr | None:  # fmt: skip
    """Giac's value of a definite integral."""
    ends = ",".join(_end(e, "infinity", **GIAC) for e in (low, high))
    text = ask_giac(f"integrate({_with_names(f, **GIAC)},x,{ends})", cpu_seconds, timeout)
    return None if text is None else _read(text)


# ---------------------------------------------------------------------- FriCAS
FRICAS = {"E": "%e", "pi": "%pi", "I": "%i"}


def ask_fricas(lines: list[str], cpu_seconds: float, timeout: float) -> list[str]:
    """The texts that the lines print."""
    head = ")set messages autoload off\n)set output length 245\n"
    out = _run(["fricas", "-nosman"], head + "\n".join(lines) + "\n", cpu_seconds, timeout)
    texts = []
    for printed in re.findall(r'"([^"]*)"', out):
        text = re.sub(r"\n\s*", "", printed).replace("pi()", "pi").replace("%i", "I")
        text = re.sub(r"%e\b|exp\(1\)", "E", text)
        texts.append(text.replace("fresnelS", "fresnels").replace("fresnelC", "fresnelc"))
    return texts


def fricas(f: Expr, cpu_seconds: float, timeout: float) -> Expr | None:
    """FriCAS's antiderivative; None without an answer in the time."""
    text = _with_names(f, **FRICAS).replace("**", "^")
    return _first([f"unparse((integrate({text},x))::InputForm)"], cpu_seconds, timeout)


def fricas_between(
    f: Expr, low: End, high: End, cpu_seconds: float, timeout: float
) -> Expr | None:  # fmt: skip
    """FriCAS's value of a definite integral; poles that it suspects are taken to be none."""
    text = _with_names(f, **FRICAS).replace("**", "^")
    names = {1: "%plusInfinity", -1: "%minusInfinity"}
    ends = [names[e.sign] if e.at is None else _with_names(e.at, **FRICAS).replace("**", "^")
            for e in (low, high)]  # fmt: skip
    query = f'integrate({text},x={ends[0]}..{ends[1]},"noPole")'
    return _first([f"unparse(({query})::InputForm)"], cpu_seconds, timeout)


def _first(lines: list[str], cpu_seconds: float, timeout: float) -> Expr | None:
    texts = [t for t in ask_fricas(lines, cpu_seconds, timeout) if t not in ("noPole", "failed")]
    if not texts:
        return None
    text = texts[0]
    if text.startswith("["):
        text = text[1:].split(",")[0]
    answer = _read(text)
    return None if answer is None else with_our_dilogarithm(answer)


def with_our_dilogarithm(e: Expr) -> Expr:
    """FriCAS's dilog(u) is Li2(1 - u), this package's dilog(u) is Li2(u)."""
    mapping = {n: ex.call("dilog", 1 - n.args[0]) for n in ex.subtrees(e) if n.op == "dilog"}
    return ex.substitute(e, mapping)


SYSTEMS: dict[str, Callable[[Expr, float, float], Expr | None]] = {
    "Maxima": maxima, "Giac": giac, "FriCAS": fricas,
}  # fmt: skip
"""(integrand in x, CPU seconds, wall-clock seconds) -> antiderivative or None."""
BETWEEN: dict[str, Callable[[Expr, End, End, float, float], Expr | None]] = {
    "Maxima": maxima_between, "Giac": giac_between, "FriCAS": fricas_between,
}  # fmt: skip
"""(integrand in x, limits, CPU seconds, wall-clock seconds) -> value or None."""


def installed() -> list[str]:
    """The systems that are installed on this machine."""
    return [name for name, solve in SYSTEMS.items() if shutil.which(solve.__name__)]
