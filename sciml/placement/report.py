"""Results of the placement recipe: tables, verdicts and the page `report.html`.

A run is a row: `design`, `method`, `seed`, `proxy`, `robust_proxy`, `before_annealing`,
`cpu_seconds`, `legal` and `history` (rows with `cpu_seconds` and `best`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.placement.classical.annealing import Annealer, zero_start
from sciml.placement.design import Design
from sciml.placement.draw import animation
from sciml.placement.viewer import viewer
from sciml.report import Card, Estimate, Page, literal
from sciml.report.plots import axes as new_axes
from sciml.report.statistics import mean_and_spread, paired

MAX_PINS = 60_000
"""Pins of the nets that the page holds of each design."""
CONTROLS = {
    "annealing": "the whole method",
    "wire-mask search": "the network",
    "policy: scratch": "pretraining",
    "policy: random frozen trunk": "a trunk that learns",
    "policy: imitation only": "reinforcement after imitation",
}
"""control -> what the pretrained policy has and the control lacks."""


@dataclass(frozen=True)
class Comparison:
    """All runs of all methods on the held-out designs."""

    designs: Sequence[Design]
    runs: Sequence[dict[str, Any]]
    trainings: int
    """Independent trainings of the policies."""
    cpu_seconds: float
    """Of each run."""

    def of(self, design: str, method: str | None = None) -> list[dict[str, Any]]:
        """The runs on a design, with one method or all."""
        return [r for r in self.runs if r["design"] == design and method in (None, r["method"])]

    def methods(self) -> list[str]:
        """In the order in which they were first run."""
        return list(dict.fromkeys(run["method"] for run in self.runs))

    def best(self, design: str) -> dict[str, Any]:
        """The run with the least proxy."""
        return min(self.of(design), key=lambda run: run["proxy"])

    def summary(self, design: str) -> list[dict[str, Any]]:
        """Mean and spread over seeds of every method on one design, best first."""
        rows = []
        for method in self.methods():
            runs = self.of(design, method)
            mean = {key: np.mean([run[key] for run in runs]) for key in
                    ("proxy", "robust_proxy", "before_annealing", "cpu_seconds")}  # fmt: skip
            row = {
                "method": method,
                "proxy": mean_and_spread([run["proxy"] for run in runs], 4),
                "robust proxy": f"{mean['robust_proxy']:.4f}",
                "first proxy": f"{mean['before_annealing']:.4f}",
                "CPU-seconds": f"{mean['cpu_seconds']:.1f}",
                "legal": f"{sum(run['legal'] for run in runs)}/{len(runs)}",
            }
            rows.append((mean["proxy"], row))
        return [row for _, row in sorted(rows, key=lambda pair: pair[0])]

    def against(self, design: str) -> list[dict[str, Any]]:
        """What the pretrained policy gains over each control, by differences seed by seed.

        The interval is Student's, at 95 % for each comparison by itself.
        """
        proxy = {(run["method"], run["seed"]): run["proxy"] for run in self.of(design)}
        seeds = [seed for method, seed in proxy if method == "policy: pretrained"]
        own = [proxy["policy: pretrained", seed] for seed in seeds]
        rows = []
        for control, what in CONTROLS.items():
            difference = paired(own, [proxy[control, seed] for seed in seeds], better=-1)
            wins = f"{difference.pop('wins')}/{len(seeds)}"
            rows.append({"control": control, "tests": what, **difference, "better": wins})
        return rows

    def verdict(self, design: str) -> str:
        """What the numbers say about learning on one design, in a few sentences."""
        rows = self.against(design)
        beyond = [
            f"{r['tests']} ({r['found']} of {abs(r['gain']):.4f} over {r['control']})"
            for r in rows if r["found"] != "no difference shown"
        ]  # fmt: skip
        within = [r["tests"] for r in rows if r["found"] == "no difference shown"]
        learned = [r for r in rows if r["found"] == "gain" and r["control"] != "annealing"]
        first = "No learning gain is shown here"
        if learned:  # the spread over seeds is that of learning only if every seed learned anew
            first = "A learning gain is real here" if self.trainings >= 5 else (
                f"These weights gain here, but {self.trainings} training(s) cannot show that "
                "learning does"
            )  # fmt: skip
        return (
            f"{first}, at equal CPU-seconds of search. Beyond the spread: "
            f"{', '.join(beyond) or 'none'}. Within the spread: {', '.join(within) or 'none'}."
        )

    def write_results(self, path: Path) -> None:
        """results.json: the tables of every design, and all runs without their history."""
        runs = [{k: v for k, v in run.items() if k not in ("history", "files")}
                for run in self.runs]  # fmt: skip
        designs = {
            d.name: {"what": d.summary(), "table": self.summary(d.name),
                     "pretrained_against": self.against(d.name), "verdict": self.verdict(d.name)}
            for d in self.designs
        }  # fmt: skip
        with atomic_write(path) as part:
            part.write_text(dumps({"designs": designs, "runs": runs}, indent=1))

    def write_page(
        self, out: Path, best: dict[str, Design], seconds: float, started_from: str = ""
    ) -> None:
        """report.html and search.gif.

        Args:
            out: the folder of the run.
            best: the best placement of each design, by its name.
            seconds: what the recipe took.
            started_from: what the trunk started from; empty: no sentence about it.
        """
        page = Page(
            "Circuit placement",
            lead="Every method places designs that none was trained on, within the same "
            "CPU-seconds. Lower proxy is better. The proxy is not timing, and says nothing of "
            "routability by itself; the robust proxy counts blockage by area, so that a gain can "
            "be told from an exploit of the metric.",
            run=out, seeds=sorted({run["seed"] for run in self.runs}),
        )  # fmt: skip
        page.card(self._card(self.designs[0]))
        if started_from:
            page.text(f"Started from: {literal(started_from)}.")
        for design in self.designs:
            self._add_design(page, design, best[design.name])
        film(self.designs[0], out / "search.gif", self.cpu_seconds)
        page.heading("Simulated annealing at work")
        page.image(
            (out / "search.gif").read_bytes(), "gif",
            f"One annealing run of {literal(shown_name(self.designs[0]))}.",
            "macros moving to places of lower cost", file="search.gif",
        )  # fmt: skip
        page.text(f"The whole recipe took {seconds:.0f} s.")
        page.heading("How to repeat this")
        page.command(f"sciml run circuit_placement --config {settings_file(out)} --out {out}-again")
        page.write(out / "report.html")

    def _add_design(self, page: Page, design: Design, best: Design) -> None:
        name = design.name
        seeds = {run["seed"] for run in self.of(name)}
        title = shown_name(design)
        page.heading(title[:1].upper() + title[1:])
        page.text(literal(design.summary().removeprefix(f"{name}: ")) + ".")
        first, _, rest = self.verdict(name).partition(". ")
        page.text(f"**{first}.** {rest}", file="results.json")
        page.table(
            self.summary(name),
            caption=f"{self.cpu_seconds:g} CPU-seconds per run, {len(seeds)} seeds, "
            f"{self.trainings} independent trainings; mean ± standard deviation. Training time "
            "is not in it. First proxy: of what annealing started from, or after its first stage.",
            file="results.json",
        )
        page.table(
            [
                {"pretrained policy against": r["control"], "which tests": r["tests"],
                 "gain in proxy": f"{r['gain']:+.4f} ± {r['half_interval']:.4f}",
                 "seeds in which it is better": r["better"], "result": r["found"]}
                for r in self.against(name)
            ],
            caption="Differences seed by seed, with the 95 % interval of their mean.",
            file="results.json",
        )  # fmt: skip
        chart, axes = new_axes()
        for method in self.methods():
            histories = [run["history"] for run in self.of(name, method)]
            times, mean, least, largest = on_common_times(histories)
            (line,) = axes.plot(times, mean, label=method)
            axes.fill_between(times, least, largest, color=line.get_color(), alpha=0.15)
        axes.set_xlabel("CPU-seconds")
        axes.set_ylabel("best proxy so far")
        axes.legend(fontsize=7.5, frameon=False)
        page.figure(chart, "Best proxy so far against CPU-seconds: mean over seeds; bands reach "
                    "from the best to the worst.", file="metrics.jsonl")  # fmt: skip
        run = self.best(name)
        page.component(
            viewer(best, max_pins=MAX_PINS),
            f"The placement with the lowest proxy, {run['proxy']:.4f}: {literal(run['method'])}, "
            f"seed {run['seed']}.",
            file="results.json", wide=True,
        )  # fmt: skip

    def _card(self, design: Design) -> Card:
        proxies = {m: [run["proxy"] for run in self.of(design.name, m)] for m in self.methods()}
        ranked = sorted(proxies, key=lambda method: float(np.mean(proxies[method])))
        ours = "policy: pretrained" if "policy: pretrained" in proxies else ranked[0]
        names = [ours, *(name for name in ranked if name != ours)][:5]
        place = ranked.index(ours) + 1
        return Card(
            "Where do the macros of a circuit go?",
            f"**{literal(ranked[0])}** reaches the lowest proxy; the pretrained policy is number "
            f"{place} of {len(ranked)} methods.",
            f"Proxy cost of {shown_name(design)} after {self.cpu_seconds:g} CPU-seconds; lower is "
            "better; 95 % interval of the mean over seeds.",
            tuple((name, Estimate.of_runs(proxies[name], 4)) for name in names),
            f"results.json; {len(proxies[ours])} seeds", "Circuit placement",
        )  # fmt: skip


def shown_name(design: Design) -> str:
    """The name of a design for people: those that `generate` makes are known by their seeds."""
    head, _, seed = design.name.rpartition("_")
    return f"generated design (seed {seed})" if head == "synthetic" else design.name


def on_common_times(histories: list[list[dict[str, float]]]) -> tuple[np.ndarray, ...]:
    """Best cost so far on common times: (CPU-seconds, mean, least, largest) over the runs."""
    curves = [[(h["cpu_seconds"], h["best"]) for h in run if "best" in h] for run in histories]
    first, last = max(c[0][0] for c in curves), max(c[-1][0] for c in curves)
    times = np.linspace(first, max(last, first + 1e-3), 60)
    values = np.array([np.interp(times, *np.array(curve).T) for curve in curves])
    return times, values.mean(0), values.min(0), values.max(0)


def film(design: Design, path: Path, cpu_seconds: float) -> None:
    """An animation of one annealing run, of at most 5 CPU-seconds."""
    annealer = Annealer(zero_start(design, 0), seed=0, cpu_seconds=min(cpu_seconds, 5.0))
    frames: list[Design] = []
    chain = annealer.chains[0]
    annealer.run(lambda _: frames.append(chain.evaluator.store(chain.state)))
    animation(frames or [design], path)
