"""Everything that wants a GPU, in one call of at most ten minutes.

    pip install -e .
    python benchmarks/gpu.py [--device cuda] [--seconds 570] [--out FILE.json]

Needs no extra; weaver-core is measured beside where it is installed. The rows are those of
`gpu_rows.py`. Each has a budget, and runs in a second process, which this one ends when the budget
is spent; a row that fails, runs out of memory or takes too long is recorded, and the next goes on.
The file is complete after every row, and a further call measures what is missing, with `--again`
what had failed, too. `--tiny --device cpu` tries all of it at toy size.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sciml.paths import atomic_write

HERE = Path(__file__).resolve().parent
START = 60.0
"""Seconds that the second process may take before its first row."""
RESIDUES = {256: 30.0, 512: 30.0, 1024: 40.0, 2048: 55.0, 3072: 90.0}
BUDGETS = {
    "particle transformer, forward": 65.0,
    "particle transformer, training": 65.0,
    "jets-small, training step": 45.0,
    "jets-small, fit": 55.0,
    "equivariant layer": 50.0,
    "decoding": 40.0,
    **{f"alphafold, {n} residues": budget for n, budget in RESIDUES.items()},
}
"""Most seconds of each row; together no more than one call has."""


def drive(
    command: Sequence[str], budgets: dict[str, float], results: dict[str, Any], out: Path,
    until: float,
) -> None:  # fmt: skip
    """Run rows one after another in processes of their own, until all are measured or time is over.

    Args:
        command: takes names of rows and prints what `gpu_rows.main` prints.
        budgets: most seconds of each row that is wanted.
        results: `rows` by name; every finished one is added, and `out` written.
        out: the file.
        until: on the monotonic clock.
    """
    left = list(budgets)
    while left and time.monotonic() < until:
        child = subprocess.Popen(
            [*command, *left], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        lines: queue.Queue[str | None] = queue.Queue()
        errors: list[str] = []
        threads = [
            threading.Thread(target=_read, args=(child.stdout, lines), daemon=True),
            threading.Thread(target=errors.extend, args=(child.stderr,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        current, limit = left[0], time.monotonic() + START + budgets[left[0]]
        while True:
            try:
                line = lines.get(timeout=max(0.0, min(limit, until) - time.monotonic()))
            except queue.Empty:
                child.kill()
                if limit <= until:  # else it had no full turn, and is left for the next call
                    failed = f"took longer than {budgets[current]:g} s"
                    _keep(results, out, current, {"failed": failed})
                    left.remove(current)
                break
            if line is None:
                code = child.wait()
                if left and (code or current in left):
                    threads[1].join(1)
                    last = errors[-1].strip() if errors else ""
                    failed = f"its process ended with exit code {code}: {last[:200]}"
                    _keep(results, out, current, {"failed": failed})
                    left.remove(current)
                break
            said = json.loads(line)
            if "facts" in said:
                results["facts"] = said["facts"]
            elif "begin" in said:
                current, limit = said["begin"], time.monotonic() + budgets[said["begin"]]
            else:
                _keep(results, out, said["row"], said["result"])
                left.remove(said["row"])
                if left:
                    current = left[0]
        child.kill()
        child.wait()
        for thread in threads:
            thread.join(5)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def _read(pipe: Any, lines: queue.Queue[str | None]) -> None:
    for line in pipe:
        if line.startswith("{"):
            lines.put(line)
    lines.put(None)


def _keep(results: dict[str, Any], out: Path, name: str, row: dict[str, Any]) -> None:
    results["rows"][name] = {**row, "date": str(date.today())}
    with atomic_write(out) as part:
        part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"{name}: {_short(row)}", flush=True)


def _short(row: dict[str, Any]) -> str:
    """A row in one line."""
    if "failed" in row:
        return str(row["failed"])
    key = f"{row['unit']}_per_s"
    return ", ".join(
        f"{name} {one[key]:,.4g} {row['unit']}/s" if key in one else f"{name} {one['failed']}"
        for name, one in row["contestants"].items()
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=570.0, help="of all rows together")
    parser.add_argument("--rows", nargs="+", help="names of rows, or parts of them; default: all")
    parser.add_argument("--again", action="store_true", help="measure failed rows again")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, to try it")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "gpu.json")
    options = parser.parse_args(arguments)
    until = time.monotonic() + options.seconds
    command = [sys.executable, str(HERE / "gpu_rows.py"), options.device, str(int(options.tiny))]
    run = {"device": options.device, "tiny": options.tiny}
    results: dict[str, Any] = {"run": run, "rows": {}}
    if options.out.exists():
        results = json.loads(options.out.read_text())
        if results["run"] != run:
            raise SystemExit(f"{options.out} holds rows of {results['run']}: choose another --out")
    budgets = {
        name: budget for name, budget in BUDGETS.items()
        if (not options.rows or any(part in name for part in options.rows))
        and (name not in results["rows"] or
             (options.again and "failed" in results["rows"][name]))
    }  # fmt: skip
    drive(command, budgets, results, options.out, until)
    missing = [name for name in budgets if name not in results["rows"]]
    if missing:
        print(f"left for the next call: {', '.join(missing)}")


if __name__ == "__main__":
    main()
