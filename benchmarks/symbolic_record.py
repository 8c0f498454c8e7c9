"""The results of `symbolic_vs_cas.py`: a JSON file, and the table beside it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import processor

from sciml.report import markdown
from sciml.symbolic import cas

OURS, HYBRID = "sciml (rules)", "hybrid"
AT_ONCE = 1.0
"""CPU seconds within which a solution by the rules is taken over for the hybrid."""
_DEBIAN = {"Maxima": "maxima", "Giac": "xcas", "FriCAS": "fricas"}
_EMPTY: dict[str, Any] = {"solved": "", "seconds": []}


class Record:
    """The results: for each set and solver a string of 1 and 0 (! where differences contradict a 1)
    and the CPU seconds of each row.

    Attributes:
        limit: CPU seconds per problem.
        sets: facts about the rows of each set.
    """

    def __init__(self, path: Path, limit: float) -> None:
        self.path, self.limit = path, limit
        self.data: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        if self.data.get("limit_cpu_seconds", limit) != limit:
            raise SystemExit(f"{path} holds results of {self.data['limit_cpu_seconds']:g} seconds")
        self.sets: dict[str, dict[str, Any]] = self.data.setdefault("sets", {})
        self.rows: dict[str, dict[str, dict]] = self.data.setdefault("rows", {})
        for entry in (entry for solvers in self.rows.values() for entry in solvers.values()):
            if isinstance(entry["seconds"], str):  # one line in the file
                entry["seconds"] = [float(word) for word in entry["seconds"].split()]
        self.saved = 0.0

    def of(self, kind: str, solver: str) -> dict:
        return self.rows.setdefault(kind, {}).setdefault(solver, {**_EMPTY, "seconds": []})

    def at_once(self, kind: str, row: int) -> tuple[bool, float, bool] | None:
        """The rules' result, where they solved this row within `AT_ONCE`."""
        ours = self.of(kind, OURS)
        if ours["solved"][row : row + 1] == "1" and ours["seconds"][row] <= AT_ONCE:
            return True, ours["seconds"][row], False
        return None

    def todo(self, kind: str, solver: str, rows: int) -> list[int]:
        """Rows that were not tried or were contradicted."""
        solved = self.of(kind, solver)["solved"]
        return [i for i in range(rows) if solved[i : i + 1] in ("", "!")]

    def put(self, kind: str, solver: str, row: int, result: tuple[bool, float, bool]) -> None:
        entry = self.of(kind, solver)
        bit = "!" if result[2] else str(int(result[0]))
        entry["solved"] = entry["solved"][:row] + bit + entry["solved"][row + 1 :]
        entry["seconds"][row : row + 1] = [round(result[1], 3)]
        if time.monotonic() - self.saved > 5:
            self.save()

    def save(self) -> None:
        packages = ("sympy", "python-flint", "numpy")
        table = {kind: s for kind in self.rows if (s := self._summary(kind))}
        written = {
            kind: {name: {**entry, "seconds": " ".join(f"{t:g}" for t in entry["seconds"])}
                   for name, entry in solvers.items()}
            for kind, solvers in self.rows.items() if kind in table
        }  # fmt: skip
        versions = {name: version(name) for name in packages} | _versions()
        self.data = {
            "device": processor(), "cores": os.cpu_count(), "versions": versions,
            "date": str(date.today()), "limit_cpu_seconds": self.limit, "sets": self.sets,
            "table": table, "rows": written,
        }  # fmt: skip
        self.path.write_text(json.dumps(self.data, indent=1) + "\n")
        self.path.with_suffix(".md").write_text(self._markdown(table))
        self.saved = time.monotonic()

    def _summary(self, kind: str) -> dict[str, dict]:
        out = {}
        ours = self.rows[kind].get(OURS, _EMPTY)["solved"]
        for solver, entry in self.rows[kind].items():
            n = len(entry["solved"])
            if not n:
                continue
            summary = {
                "solved": entry["solved"].count("1"), "of": n,
                "median_cpu_seconds": round(statistics.median(entry["seconds"]), 4),
                "contradicted": entry["solved"].count("!"),
            }  # fmt: skip
            if solver != OURS and min(n, len(ours)):
                m = min(n, len(ours))
                summary["on_shared_rows"] = {
                    "rows": m, "it": entry["solved"][:m].count("1"), OURS: ours[:m].count("1"),
                }  # fmt: skip
            out[solver] = summary
        return out

    def _markdown(self, table: dict) -> str:
        names = list(dict.fromkeys(name for solvers in table.values() for name in solvers))
        lines = []
        for kind, solvers in table.items():
            cells = []
            for name in names:
                s = solvers.get(name)
                cell = "" if s is None else f"{s['solved']} of {s['of']}"
                both = (s or {}).get("on_shared_rows")
                all_rows = both and both["rows"] == solvers[OURS]["of"]
                rules = f" ({both[OURS]} of {both['rows']})" if both and not all_rows else ""
                seconds = f", {s['median_cpu_seconds']:.2g} s" if s else ""
                cells.append(cell + rules + seconds)
            lines.append([kind, *cells])
        head = (
            f"Solved within {self.limit:.0f} CPU seconds and confirmed, and the median CPU seconds"
            " of all rows (of other systems without .5 s for their start, so that what is below is"
            " not resolved). In brackets: the rules on the very same rows, where they are not all."
        )
        if HYBRID in names:
            head += (
                " Hybrid: the rules, then the network; rows that the rules solve within"
                f" {AT_ONCE:g} s are taken over from their column."
            )
        return head + "\n\n" + markdown.table(["rows", *names], lines)


def _versions() -> dict[str, str]:
    """The versions of the other systems, as Debian's packages; none elsewhere."""
    out = {}
    for name in cas.installed():
        try:
            asked = subprocess.run(
                ["dpkg-query", "-W", "-f", "${Version}", _DEBIAN[name]],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            return {}
        if asked.returncode == 0:
            out[name] = asked.stdout
    return out
