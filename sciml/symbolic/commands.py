"""`sciml symbolic integrate | dsolve | verify | solve-file`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import tyro

from sciml.commands import takes_expressions
from sciml.files.jsons import dumps
from sciml.symbolic.batch import solve_file


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


def _reason(result: Any) -> str:
    """Why there is no answer; a refuted candidate is shown by `--json` alone."""
    if result.candidate is None:
        return str(result.how)
    return f"a candidate was not confirmed: {result.how} (see --json)"


@takes_expressions
def integrate(
    integrand: tyro.conf.Positional[str],
    variable: Annotated[str | None, tyro.conf.arg(aliases=["-x"])] = None,
    limits: tuple[str, str] | None = None,
    constants: tuple[str, ...] = (),
    timeout: float = 10.0,
    model: str = "auto",
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Integrate: an antiderivative, or the value between two limits, with its verification.

    Args:
        integrand: The function, as text or LaTeX: "x*exp(x)".
        variable: The variable; needed where there are several symbols.
        limits: Lower and upper limit of a definite integral.
        constants: Names of symbols that stand for constants.
        timeout: Seconds.
        model: Trained model that proposes where rules fail: auto, none, a name or a path.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.integration.api import integrate as solve

    result = solve(
        integrand, variable, limits=limits, constants=constants, timeout=timeout,
        model=_model(model),
    )  # fmt: skip
    return _print(result, json, latex)


@takes_expressions
def dsolve(
    ode: tyro.conf.Positional[str],
    function: Annotated[str, tyro.conf.arg(aliases=["-y"])] = "y",
    variable: Annotated[str, tyro.conf.arg(aliases=["-x"])] = "x",
    constants: tuple[str, ...] = (),
    timeout: float = 10.0,
    model: str = "auto",
    json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    latex: bool = False,
) -> int:
    """Solve an ordinary differential equation and check the solution in it.

    Args:
        ode: The equation, as "y'' + y = x" or "Derivative(y(x), x) - y(x)".
        function: The name of the unknown function.
        variable: The name of its variable.
        constants: Names of symbols that stand for constants.
        timeout: Seconds.
        model: Trained model that proposes where rules fail: auto, none, a name or a path.
        json: Print one JSON object instead.
        latex: Print LaTeX instead.
    """
    from sciml.symbolic.ode.api import dsolve as solve

    result = solve(
        ode, function, variable, constants=constants, timeout=timeout, model=_model(model)
    )
    return _print(result, json, latex)


@takes_expressions
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


COMMANDS = {
    "integrate": integrate,
    "dsolve": dsolve,
    "verify": verify,
    "solve-file": solve_file,
}
