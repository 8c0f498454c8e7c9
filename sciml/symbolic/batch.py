"""Many problems at once: `sciml symbolic solve-file`, resumable, with several workers."""

from __future__ import annotations

import json
import queue
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

import tyro

from sciml.errors import InputError
from sciml.files import kept
from sciml.renamed import renamed

MAX_LINE = 200_000
"""Longest line of a file of problems [characters]."""
_PROBLEM_KEYS = ("integrand", "ode", "variable", "function", "constants", "limits", "ics")
_INDEX = "_"
"""The key, in the rows of an unfinished run, of the index of their problem."""


@renamed(output="out")
def solve_file(
    file: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    timeout: float = 10.0,
    workers: int = 1,
    model: str = "auto",
) -> int:
    """Solve every problem of a JSON-lines file; the same command goes on where it was stopped.

    Lines are {"integrand": "...", "variable": "x"} or {"ode": "...", "function": "y",
    "variable": "x"}, with "constants", "limits" ([low, high]) and "ics" ({"y(0)": 1}) where there
    are any; they are written back, in order, with answer, status, method and seconds.

    Args:
        file: The problems.
        out: Where the solved lines go.
        timeout: Seconds per problem.
        workers: Problems solved at the same time, each in a process of its own.
        model: Trained model that proposes where rules fail: auto, none, a name or a path.
    """
    from sciml.files.locks import locked_file
    from sciml.paths import atomic_write, existing_file
    from sciml.symbolic.neural.shipped import model_path

    problems = read_problems(existing_file(file, "file of problems"))
    if not 1 <= workers <= 256:
        raise InputError(f"workers must be 1 to 256, got {workers}")
    if out.resolve() == file.resolve():
        raise InputError("the output would overwrite the problems", where=out)
    chosen = None if model in ("", "none") else model
    model_path(chosen, "integrate")  # refuses a bad one before the work begins
    with locked_file(out):
        part = out.with_name(out.name + ".part")
        interrupted = _solved_rows(part, problems)
        solved = _solved_rows(out, problems) | interrupted
        if not interrupted and part.exists() and b"\n" in part.read_bytes():
            raise InputError("is there, and holds no answers to these problems", where=part,
                             hint="Move it away or choose another output")  # fmt: skip
        remaining = [i for i in range(len(problems)) if i not in solved]
        if solved:
            print(f"{len(solved)} of {len(problems)} problems were solved before", file=sys.stderr)
        log = kept.Rows(part)
        _solve_all(problems, remaining, solved, log, timeout, workers, chosen)
        with atomic_write(out) as path:
            rows = (kept.seal(solved[i]) + "\n" for i in range(len(problems)))
            path.write_text("".join(rows), "utf-8")
        part.unlink(missing_ok=True)
    counts = sorted(Counter(row["status"] for row in solved.values()).items())
    summary = ", ".join(f"{n} {status}" for status, n in counts)
    print(f"{out}: {len(problems)} problems: {summary}", file=sys.stderr)
    return 0


def read_problems(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of problems, each checked.

    Raises:
        InputError: names the line that is no problem.
    """
    problems = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            if len(line) > MAX_LINE:
                raise InputError(f"longer than {MAX_LINE} characters", where=where)
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise InputError(f"not JSON ({error})", where=where) from None
            if not isinstance(row, dict) or not isinstance(
                row.get("integrand", row.get("ode")), str
            ):
                raise InputError('needs "integrand" or "ode" with text', where=where)
            if not isinstance(row.get("ics") or {}, dict):
                raise InputError('"ics" must be an object such as {"y(0)": 1}', where=where)
            problems.append(row)
    if not problems:
        raise InputError("holds no problems", where=path)
    return problems


def _solved_rows(path: Path, problems: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """By index: the rows of an earlier run that answer these very problems."""
    rows: dict[int, dict[str, Any]] = {}
    if not path.exists():
        return rows
    damaged = 0
    for i, line in enumerate(path.read_bytes().splitlines(keepends=True)):
        try:
            row = kept.unseal(line)
            index = row.pop(_INDEX, i)
            if 0 <= index < len(problems) and "status" in row:
                if all(row.get(k) == problems[index].get(k) for k in _PROBLEM_KEYS):
                    rows[index] = row
        except (ValueError, TypeError):  # the last may be half: the run was stopped at it
            damaged += line.endswith(b"\n")
    if damaged:
        kept.warn(f"{path}: {damaged} damaged lines; their problems are solved again")
    return rows


def _solve_one(row: dict[str, Any], timeout: float, model: str | None, worker: Any) -> dict:
    from sciml.symbolic.integration.api import integrate
    from sciml.symbolic.ode.api import dsolve

    started = time.perf_counter()
    try:
        settings: dict[str, Any] = {
            "constants": row.get("constants", []), "timeout": timeout, "model": model,
            "worker": worker,
        }  # fmt: skip
        if "integrand" in row:
            result = integrate(
                row["integrand"], row.get("variable"), limits=row.get("limits"), **settings
            )
        else:
            function, variable = row.get("function", "y"), row.get("variable", "x")
            result = dsolve(row["ode"], function, variable, ics=row.get("ics"), **settings)
    except InputError as error:
        seconds = round(time.perf_counter() - started, 4)
        return {**row, "answer": None, "status": "error", "method": "", "seconds": seconds,
                "error": str(error)}  # fmt: skip
    answer = None if result.expression is None else str(result)  # G(x, y) = c1 where implicit
    return {**row, "answer": answer, "status": result.status, "method": result.method,
            "seconds": round(result.seconds, 4), "how": result.how, "holds": result.holds,
            "proof": result.proof, "note": result.remarks(),
            "candidate": None if result.candidate is None else str(result.candidate),
            **{k: v for k, v in result.as_dict().items()
               if k in ("others", "singular")}}  # fmt: skip


def _solve_all(
    problems: list, remaining: list[int], solved: dict, log: kept.Rows, timeout: float,
    workers: int, model: str | None,
) -> None:  # fmt: skip
    """Solve the remaining problems; rows go into `solved` and, at once, into the log."""
    from rich.console import Console
    from rich.progress import track

    from sciml.symbolic.worker import Worker

    idle: queue.Queue[Worker] = queue.Queue()
    pool = [Worker() for _ in range(min(workers, max(len(remaining), 1)))]
    for worker in pool:
        worker.launch()  # they load side by side
        idle.put(worker)

    def solve(i: int) -> tuple[int, dict]:
        worker = idle.get()
        try:
            return i, _solve_one(problems[i], timeout, model, worker)
        finally:
            idle.put(worker)

    try:
        with ThreadPoolExecutor(len(pool)) as threads:
            pending: list[Future[tuple[int, dict]]] = [threads.submit(solve, i) for i in remaining]
            console = Console(stderr=True)
            try:
                for future in track(
                    as_completed(pending), "solving", total=len(pending), console=console,
                    disable=not console.is_terminal,
                ):  # fmt: skip
                    i, row = future.result()
                    solved[i] = row
                    log.add({_INDEX: i, **row})
            except BaseException:
                for future in pending:
                    future.cancel()
                raise
    finally:
        for worker in pool:
            worker.close()
