"""`sciml symbolic integrate | dsolve | verify | solve-file`."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

import tyro

from sciml.commands import takes_expressions
from sciml.errors import InputError
from sciml.files import kept
from sciml.files.jsons import dumps

_MAX_LINE = 200_000


def _print(result: Any, as_json: bool, as_latex: bool) -> int:
    if as_json:
        print(dumps(result.as_dict()))
    elif result.expression is None:
        print(f"no answer: {result.status} {_reason(result)}".rstrip())
    else:
        print(result.latex() if as_latex else str(result))
        for line in result.further():
            print(line)
        where = ", ".join(part for part in (result.how, result.holds, result.remarks()) if part)
        print(
            f"  {result.status} ({where}); {result.method}; {result.seconds:.2f} s",
            file=sys.stderr,
        )
    return 0 if result.expression is not None else 1


def _model(name: str) -> str | None:
    """`--model`, as `integrate` and `dsolve` take it."""
    return None if name in ("", "none") else name


def _reason(result: Any) -> str:
    """Why there is no answer; what was refuted is named in `--json` alone."""
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
        model: Trained model that guesses where rules fail: auto, none, a name or a path.
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
        function: The name of the function sought.
        variable: What it is a function of.
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

    Verified: proved by an algebraic identity that minds the branches. Sampled: it agrees at every
    point tried, near and far, for constants of all signs.

    Args:
        integrand: The function.
        answer: The antiderivative to be checked.
        variable: The variable; needed where there are several symbols.
        constants: Names of symbols that stand for constants.
        timeout: Seconds.
    """
    from sciml.symbolic.integration.api import verify as check
    from sciml.symbolic.verification.result import NOT_PROVED

    found = check(integrand, answer, variable, constants=constants, timeout=timeout)
    beside = NOT_PROVED if found.status == "sampled" else ""
    parts = (found.how, found.holds.removeprefix("nowhere").strip(), beside)
    print(f"{found.status}: " + "; ".join(part for part in parts if part))
    if found.note:
        print(found.note)
    return 0 if found.agrees else 1


def solve_file(
    file: tyro.conf.Positional[Path],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    timeout: float = 10.0,
    workers: int = 1,
    model: str = "auto",
) -> int:
    """Solve every problem of a JSON-lines file; the same command goes on where it was stopped.

    Lines are {"integrand": "...", "variable": "x"} or {"ode": "...", "function": "y",
    "variable": "x"}, with "constants" where there are any; they are written back, in order, with
    answer, status, method and seconds.

    Args:
        file: The problems.
        output: Where the solved lines go.
        timeout: Seconds a problem.
        workers: Problems solved at the same time, each in a process of its own.
        model: Trained model that guesses where rules fail: auto, none, a name or a path.
    """
    from sciml.files.locks import locked_file
    from sciml.paths import atomic_write, existing_file
    from sciml.symbolic.neural.shipped import model_path

    problems = read_problems(existing_file(file, "file of problems"))
    if not 1 <= workers <= 256:
        raise InputError(f"workers must be 1 to 256, got {workers}")
    if output.resolve() == file.resolve():
        raise InputError("the output would overwrite the problems", where=output)
    model_path(_model(model), "integrate")
    with locked_file(output):
        part = output.with_name(output.name + ".part")
        begun = _done(part, problems)
        done = _done(output, problems) | begun
        if not begun and part.exists() and b"\n" in part.read_bytes():
            raise InputError("is there, and holds no answers to these problems", where=part,
                             hint="Move it away or choose another output")  # fmt: skip
        todo = [i for i in range(len(problems)) if i not in done]
        if done:
            print(f"{len(done)} of {len(problems)} problems were solved before", file=sys.stderr)
        log = kept.Rows(part)
        _solve_all(problems, todo, done, log, timeout, workers, _model(model))
        with atomic_write(output) as path:
            rows = (kept.seal(done[i]) + "\n" for i in range(len(problems)))
            path.write_text("".join(rows), "utf-8")
        part.unlink(missing_ok=True)
    counts: dict[str, int] = {}
    for row in done.values():
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    summary = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    print(f"{output}: {len(problems)} problems: {summary}", file=sys.stderr)
    return 0


def read_problems(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of problems, each checked.

    Raises:
        InputError: names the line that is no problem.
    """
    out = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            if len(line) > _MAX_LINE:
                raise InputError(f"longer than {_MAX_LINE} characters", where=where)
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise InputError(f"not JSON ({error})", where=where) from None
            if not isinstance(row, dict) or not isinstance(
                row.get("integrand", row.get("ode")), str
            ):
                raise InputError('needs "integrand" or "ode" with text', where=where)
            out.append(row)
    if not out:
        raise InputError("holds no problems", where=path)
    return out


def _done(path: Path, problems: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What an earlier run has solved of these very problems."""
    out: dict[int, dict[str, Any]] = {}
    if not path.exists():
        return out
    keys = ("integrand", "ode", "variable", "function", "constants")
    damaged = 0
    for i, line in enumerate(path.read_bytes().splitlines(keepends=True)):
        try:
            row = kept.unseal(line)
            at = row.pop("_", i)
            if 0 <= at < len(problems) and "status" in row:
                if all(row.get(k) == problems[at].get(k) for k in keys):
                    out[at] = row
        except (ValueError, TypeError):  # the last may be half: the run was stopped at it
            damaged += line.endswith(b"\n")
    if damaged:
        kept.warn(f"{path}: {damaged} damaged lines; their problems are solved again")
    return out


def _solve_one(row: dict[str, Any], timeout: float, model: str | None, worker: Any) -> dict:
    from sciml.symbolic.integration.api import integrate as solve_integral
    from sciml.symbolic.ode.api import dsolve as solve_ode

    started = time.perf_counter()
    try:
        constants = row.get("constants", [])
        if "integrand" in row:
            found = solve_integral(
                row["integrand"], row.get("variable"), constants=constants, timeout=timeout,
                model=model, worker=worker,
            )  # fmt: skip
        else:
            found = solve_ode(
                row["ode"], row.get("function", "y"), row.get("variable", "x"),
                constants=constants, timeout=timeout, model=model, worker=worker,
            )  # fmt: skip
    except InputError as error:
        seconds = round(time.perf_counter() - started, 4)
        return {**row, "answer": None, "status": "error", "method": "", "seconds": seconds,
                "error": str(error)}  # fmt: skip
    answer = None if found.expression is None else str(found)  # G(x, y) = c1 where implicit
    return {**row, "answer": answer, "status": found.status, "method": found.method,
            "seconds": round(found.seconds, 4), "how": found.how, "holds": found.holds,
            "proof": found.proof, "note": found.remarks(),
            "candidate": None if found.candidate is None else str(found.candidate),
            **{k: v for k, v in found.as_dict().items()
               if k in ("others", "singular")}}  # fmt: skip


def _solve_all(
    problems: list, todo: list[int], done: dict, log: Any, timeout: float, workers: int,
    model: str | None,
) -> None:  # fmt: skip
    import queue

    from rich.console import Console
    from rich.progress import track

    from sciml.symbolic.worker import Worker

    idle: queue.Queue[Worker] = queue.Queue()
    everyone = [Worker() for _ in range(min(workers, max(len(todo), 1)))]
    for worker in everyone:
        idle.put(worker)

    def one(i: int) -> tuple[int, dict]:
        worker = idle.get()
        try:
            return i, _solve_one(problems[i], timeout, model, worker)
        finally:
            idle.put(worker)

    try:
        with ThreadPoolExecutor(len(everyone)) as pool:
            jobs: list[Future[tuple[int, dict]]] = [pool.submit(one, i) for i in todo]
            console = Console(stderr=True)
            try:
                for job in track(
                    as_completed(jobs), "solving", total=len(jobs), console=console,
                    disable=not console.is_terminal,
                ):  # fmt: skip
                    i, row = job.result()
                    done[i] = row
                    log.add({"_": i, **row})
            except BaseException:
                for job in jobs:
                    job.cancel()
                raise
    finally:
        for worker in everyone:
            worker.close()


COMMANDS = {
    "integrate": integrate,
    "dsolve": dsolve,
    "verify": verify,
    "solve-file": solve_file,
}
