"""The commands of `sciml symbolic`: integrate, dsolve, verify, limit, series, summation, solve,
laplace, fourier, solve-file, repl."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import tyro

from sciml.commands import takes_expressions
from sciml.errors import InputError
from sciml.files.jsons import dumps
from sciml.symbolic.batch import solve_file


def solves(command: Callable[..., int]) -> Callable[..., int]:
    """Mark a command that takes expressions and solves in the worker process, which loads while
    this process loads what it needs itself."""

    @functools.wraps(command)
    def launched(*args: Any, **kwargs: Any) -> int:
        from sciml.symbolic.worker import shared

        shared().launch()
        return command(*args, **kwargs)

    return takes_expressions(launched)


def _print(result: Any, as_json: bool, as_latex: bool) -> int:
    if as_json:
        print(dumps(result.as_dict()))
    elif result.expression is None:
        print(f"no answer: {result.status} {_reason(result)}".rstrip())
    else:
        print(result.latex() if as_latex else str(result))
        for line in result.further():
            print(line)
        details = ", ".join(part for part in (result.how, result.holds, result.remarks()) if part)
        print(
            f"  {result.status} ({details}); {result.method}; {result.seconds:.2f} s",
            file=sys.stderr,
        )
    return 0 if result.expression is not None else 1


def _model(name: str) -> str | None:
    """`--model`, as `integrate` and `dsolve` take it."""
    return None if name in ("", "none") else name


def _two_sides(text: str) -> tuple[str, str]:
    """Both sides of a condition.

    Raises:
        InputError: for text that is not one equation.
    """
    left, sign, right = text.partition("=")
    if not sign or "=" in right:
        raise InputError(f"a condition must be like y(0)=1, got {text!r}")
    return left, right


def _reason(result: Any) -> str:
    """Why there is no answer; a refuted candidate is shown by `--json` alone."""
    if result.candidate is None:
        return str(result.how)
    return f"a candidate was not confirmed: {result.how} (see --json)"


@solves
def integrate(
    integrand: tyro.conf.Positional[str],
    variable: Annotated[str | None, tyro.conf.arg(aliases=["-x"])] = None,
    limits: tuple[str, str] | None = None,
    principal_value: bool = False,
    constants: tuple[str, ...] = (),
    conditions: tuple[str, ...] = (),
    timeout: float = 10.0,
    model: str = "auto",
    steps: bool = False,
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Integrate: an antiderivative, or the value between two limits, with its verification.

    Args:
        integrand: The function, as text or LaTeX: "x*exp(x)".
        variable: The variable; needed where there are several symbols.
        limits: Lower and upper limit of a definite integral.
        principal_value: Ask for the principal value where the integral itself diverges.
        constants: Names of symbols that stand for constants.
        conditions: What is known of the constants: "a > 1" "n != 0".
        timeout: Seconds.
        model: Trained model that proposes where rules fail: auto, none, a name or a path.
        steps: Explain an antiderivative step by step.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.integration.api import integrate as solve

    result = solve(
        integrand, variable, limits=limits, principal_value=principal_value, constants=constants,
        conditions=conditions, timeout=timeout, model=_model(model), steps=steps,
    )  # fmt: skip
    return _print(result, json, latex)


@solves
def dsolve(
    ode: tyro.conf.Positional[str],
    function: Annotated[str, tyro.conf.arg(aliases=["-y"])] = "y",
    variable: Annotated[str, tyro.conf.arg(aliases=["-x"])] = "x",
    ics: tuple[str, ...] = (),
    constants: tuple[str, ...] = (),
    terms: int | None = None,
    timeout: float = 10.0,
    model: str = "auto",
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Solve an ordinary differential equation and check the solution in it.

    Args:
        ode: The equation, as "y'' + y = x" or "Derivative(y(x), x) - y(x)"; the equations of a
            system are separated by semicolons.
        function: The name of the unknown function; those of a system are separated by commas.
        variable: The name of its variable.
        ics: Initial or boundary values: "y(0)=1" "y'(0)=0".
        constants: Names of symbols that stand for constants.
        terms: Ask for a power series with the terms below this power.
        timeout: Seconds.
        model: Trained model that proposes where rules fail: auto, none, a name or a path.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.ode.api import dsolve as solve

    conditions = dict(_two_sides(text) for text in ics)
    result = solve(
        [e for e in ode.split(";") if e.strip()] if ";" in ode else ode, function, variable,
        ics=conditions, constants=constants, timeout=timeout, model=_model(model), terms=terms,
    )  # fmt: skip
    return _print(result, json, latex)


@solves
def verify(
    integrand: tyro.conf.Positional[str],
    answer: tyro.conf.Positional[str],
    variable: Annotated[str | None, tyro.conf.arg(aliases=["-x"])] = None,
    constants: tuple[str, ...] = (),
    timeout: float = 10.0,
) -> int:
    """Check an antiderivative: exit code 0 when it is verified or sampled, 1 when not.

    Verified: proved by an algebraic identity that accounts for branch cuts. Sampled: it agrees at
    every point tried, near and far, for constants of all signs.

    Args:
        integrand: The function.
        answer: The antiderivative to be checked.
        variable: The variable; needed where there are several symbols.
        constants: Names of symbols that stand for constants.
        timeout: Seconds.
    """
    from sciml.symbolic.integration.api import verify as check
    from sciml.symbolic.verification.result import NOT_PROVED

    checked = check(integrand, answer, variable, constants=constants, timeout=timeout)
    caveat = NOT_PROVED if checked.status == "sampled" else ""
    parts = (checked.how, checked.holds.removeprefix("nowhere").strip(), caveat)
    print(f"{checked.status}: " + "; ".join(part for part in parts if part))
    if checked.note:
        print(checked.note)
    return 0 if checked.agrees else 1


@solves
def limit(
    function: tyro.conf.Positional[str],
    variable: Annotated[str | None, tyro.conf.arg(aliases=["-x"])] = None,
    at: str = "0",
    side: Literal["both", "right", "left"] = "both",
    constants: tuple[str, ...] = (),
    timeout: float = 10.0,
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Find a limit and confirm it by values near the point.

    Args:
        function: The function, as text or LaTeX.
        variable: The variable; needed where there are several symbols.
        at: The point, or oo.
        side: From which side.
        constants: Names of symbols that stand for positive constants.
        timeout: Seconds.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.operations.api import limit as find

    result = find(function, variable, at, side=side, constants=constants, timeout=timeout)
    return _print(result, json, latex)


@solves
def series(
    function: tyro.conf.Positional[str],
    variable: Annotated[str | None, tyro.conf.arg(aliases=["-x"])] = None,
    at: str = "0",
    terms: int = 6,
    constants: tuple[str, ...] = (),
    timeout: float = 10.0,
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Expand into a power series.

    Args:
        function: The function, as text or LaTeX.
        variable: The variable; needed where there are several symbols.
        at: The point.
        terms: The power below which terms are given.
        constants: Names of symbols that stand for constants.
        timeout: Seconds.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.operations.api import series as expand

    result = expand(function, variable, at, terms, constants=constants, timeout=timeout)
    return _print(result, json, latex)


@solves
def summation(
    term: tyro.conf.Positional[str],
    limits: tuple[str, str],
    variable: Annotated[str, tyro.conf.arg(aliases=["-x"])] = "k",
    constants: tuple[str, ...] = (),
    timeout: float = 10.0,
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Add up a term between two limits.

    Args:
        term: The term, as text or LaTeX.
        limits: First and last value of the variable: numbers, symbols or oo.
        variable: The variable.
        constants: Names of symbols that stand for positive constants.
        timeout: Seconds.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.operations.api import summation as add_up

    result = add_up(term, variable, *limits, constants=constants, timeout=timeout)
    return _print(result, json, latex)


@solves
def solve(
    equation: tyro.conf.Positional[str],
    variable: Annotated[str | None, tyro.conf.arg(aliases=["-x"])] = None,
    constants: tuple[str, ...] = (),
    timeout: float = 10.0,
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Solve an equation and put each solution into it.

    Args:
        equation: The equation, as "x^2 = 2".
        variable: The unknown; needed where there are several symbols.
        constants: Names of symbols that stand for constants.
        timeout: Seconds.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.operations.api import solve as find_roots

    return _print(find_roots(equation, variable, constants=constants, timeout=timeout), json, latex)


@solves
def laplace(
    function: tyro.conf.Positional[str],
    variable: Annotated[str, tyro.conf.arg(aliases=["-x"])] = "t",
    new: str = "s",
    inverse: bool = False,
    constants: tuple[str, ...] = (),
    timeout: float = 10.0,
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Find Laplace's transform, or its inverse.

    Args:
        function: The function, as text or LaTeX.
        variable: The variable of a function of time.
        new: The variable of the transform.
        inverse: The function given is a transform.
        constants: Names of symbols that stand for positive constants.
        timeout: Seconds.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.operations.api import inverse_laplace
    from sciml.symbolic.operations.api import laplace as transform

    of, to = (new, variable) if inverse else (variable, new)
    find = inverse_laplace if inverse else transform
    return _print(find(function, of, to, constants=constants, timeout=timeout), json, latex)


@solves
def fourier(
    function: tyro.conf.Positional[str],
    variable: Annotated[str, tyro.conf.arg(aliases=["-x"])] = "x",
    new: str = "w",
    inverse: bool = False,
    constants: tuple[str, ...] = (),
    timeout: float = 10.0,
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Find Fourier's transform in angular frequency, or its inverse.

    Args:
        function: The function, as text or LaTeX.
        variable: The variable of a function of position.
        new: The variable of the transform.
        inverse: The function given is a transform.
        constants: Names of symbols that stand for positive constants.
        timeout: Seconds.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.operations.api import fourier as transform
    from sciml.symbolic.operations.api import inverse_fourier

    of, to = (new, variable) if inverse else (variable, new)
    find = inverse_fourier if inverse else transform
    return _print(find(function, of, to, constants=constants, timeout=timeout), json, latex)


def repl() -> int:
    """Answer line after line, with a history: integrands, equations, and these commands."""
    from sciml.symbolic.repl import repl as answer_lines

    return answer_lines({k: v for k, v in COMMANDS.items() if k not in ("repl", "solve-file")})


COMMANDS: dict[str, Callable[..., int]] = {
    "integrate": integrate,
    "dsolve": dsolve,
    "verify": verify,
    "limit": limit,
    "series": series,
    "summation": summation,
    "solve": solve,
    "laplace": laplace,
    "fourier": fourier,
    "solve-file": solve_file,
    "repl": repl,
}
