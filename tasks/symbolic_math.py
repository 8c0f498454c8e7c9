"""Symbolic mathematics: pretrain on unlabelled expressions, fine-tune to integrate, measure.

1. A sequence model learns from expressions without answers: whole subtrees are hidden in the source
   and the expression is asked for (`pretrain.steps`; off by default).
2. It is fine-tuned on (function, antiderivative) pairs, some of them shown in equivalent forms.
3. Expert iteration (`self_training`): answers to integrals that came without answers join the
   training set once they are verified, and training goes on with them.
4. Neural only, rules only, both together, SymPy and those installed of Maxima, Giac and FriCAS
   solve the same unseen problems, every answer verified alike, generator by generator; the report
   shows accuracy, time and what was not solved, and which of the problems that the rules leave
   open the network's proposals solve.

Writes model.safetensors (`sciml symbolic integrate ... --model OUT`), results.json, metrics.jsonl
and report.html.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch

from sciml.config import Range
from sciml.errors import InputError
from sciml.files import kept
from sciml.files.claims import settings_file
from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.report import Page, literal
from sciml.symbolic import dsolve, integrate, systems
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import latex
from sciml.symbolic.jobs import DsolveJob, IntegrateJob, Job, SymPyIntegrateJob, VerifyJob
from sciml.symbolic.neural import pairs
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.model import ModelConfig, Seq2Seq, collate
from sciml.symbolic.neural.pairs import Pairs
from sciml.symbolic.neural.pretraining import TokenEmbedder
from sciml.symbolic.verification.checking import check
from sciml.symbolic.verification.result import PROOFS
from sciml.symbolic.worker import Worker
from sciml.train import TrainConfig, fit
from sciml.trunks.sequence import SequenceConfig
from sciml.trunks.start import Start, holds_trunk

LONGEST_SHOWN = 100
KINDS = ("bwd", "ibp", "fwd", "ode1", "ode2", "plain")


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    seed: int = 0
    """Seed of data and training; test problems use seed + 1000, validation seed + 2000."""
    shares: dict[str, float] = field(default_factory=lambda: {"bwd": 0.6, "ibp": 0.4})
    """Generators of the pairs, and their shares: bwd, ibp, fwd integrals; ode1, ode2 differential
    equations of that order; plain = bwd, not compiled."""
    pairs: Annotated[int, Range(min=1)] = 1_000_000
    """Pairs (function, antiderivative) to train on, also the expressions to pretrain on."""
    longest: tuple[int, int] = (64, 32)
    """Longest problem and answer to train on [tokens]."""
    exclude: tuple[str, ...] = ()
    """Files whose problems must not be trained on (JSON lines or the published format)."""
    equivalent: Annotated[float, Range(min=0, max=1)] = 0.1
    """Share of the problems that are shown in another form."""
    start: str = ""
    """A trained model to go on from instead of a new one; with no steps it is only measured. Or the
    folder that `sciml run pretrain` wrote: its trunk encodes, the decoder is new."""
    pretrain: TrainConfig = field(default_factory=lambda: TrainConfig(
        steps=0, batch_size=64, lr=1e-3))  # fmt: skip
    """Training without answers; 0 steps leave it out."""
    finetune: TrainConfig = field(default_factory=lambda: TrainConfig(
        steps=40_000, batch_size=64, lr=1e-3, ema=0.999))  # fmt: skip
    """Training on pairs; 0 steps leave it out."""
    self_training: Annotated[int, Range(min=0)] = 2_000
    """Random functions without answers that the model tries; verified answers are learned."""
    rounds: Annotated[int, Range(min=1)] = 1
    """Rounds of self-training."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
    test: Annotated[int, Range(min=1)] = 200
    """Problems to measure on, a set."""
    sets: tuple[str, ...] = ("bwd", "ibp")
    """What to measure on: generators, or NAME=FILE of problems."""
    beams: tuple[int, ...] = (1, 10)
    """Beam widths to measure; the widest is the hybrid's."""
    timeout: Annotated[float, Range(min=0, exclusive=True)] = 10.0
    """Time a problem for each solver [s]."""
    others: tuple[Literal["SymPy", "Maxima", "Giac", "FriCAS"], ...] = (
        "SymPy", "Maxima", "Giac", "FriCAS")  # fmt: skip
    """Computer algebra systems measured beside, those of them that are installed; differential
    equations are given to SymPy only."""


TINY: dict[str, Any] = {
    "pairs": 300,
    "shares": {"plain": 1.0},
    "sets": ("plain",),
    "longest": (40, 16),
    "pretrain.steps": 4,
    "pretrain.batch_size": 16,
    "finetune.steps": 30,
    "finetune.batch_size": 16,
    "self_training": 4,
    "model.trunk.dim": 64,
    "model.trunk.encoder_layers": 1,
    "model.trunk.decoder_layers": 1,
    "model.max_source": 64,
    "model.max_answer": 24,
    "test": 4,
    "beams": (1, 2),
    "timeout": 2.0,
    "others": ("SymPy",),
}


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call goes on where an interrupted one stopped."""
    torch.manual_seed(config.seed)
    excluded = [pairs.read_problems(Path(file)) for file in config.exclude]
    tests = {name: problems(name, config) for name in config.sets}
    named = {name.partition("=")[0]: found for name, (found, _) in tests.items()}
    compiled = bool(set(config.shares) - {"plain"})
    held_out = pairs.keys((f for found, _ in tests.values() for f in found), compiled)
    held_out = held_out.union(*(known for _, known in tests.values()))
    for known_problems in excluded:
        held_out |= pairs.keys(known_problems, compiled)
    model = first_model(config)
    losses: dict[str, list[float]] = {}
    learned: list[int] = []
    if config.pretrain.steps or config.finetune.steps:
        data = drawn(config, out / "pairs.npz", config.seed, config.pairs, held_out)
        unseen = drawn(config, out / "validation.npz", config.seed + 2000,
                       min(512, config.pairs), held_out | data.keys)  # fmt: skip

        def validate(module: torch.nn.Module) -> dict[str, float]:
            return validation_loss(cast(Seq2Seq, module), unseen)

        if config.pretrain.steps:
            data.hidden = True
            result = fit(model, data, replace(config.pretrain, seed=config.seed),
                         out=out / "pretrain", collate=collate, lengths=data.lengths,
                         title="pretraining")  # fmt: skip
            losses["pretraining"] = _losses(result)
            model = cast(Seq2Seq, result.module)
        data.hidden, data.equivalent = False, config.equivalent
        if config.finetune.steps:
            result = fit(model, data, replace(config.finetune, seed=config.seed),
                         out=out / "finetune", collate=collate, lengths=data.lengths,
                         validate=validate, title="fine-tuning")  # fmt: skip
            losses["fine-tuning"] = _losses(result)
            model = cast(Seq2Seq, result.module)
        integrals = any(pairs.task_of(kind) == "integrate" for kind in config.shares)
        for turn in range(config.rounds if config.self_training and integrals else 0):
            found = self_trained(config, model, turn, held_out, out / f"verified-{turn + 1}.npz")
            learned.append(len(found))
            data = Pairs.join([data, found])
            more = replace(config.finetune, steps=max(1, config.finetune.steps // 5),
                           seed=config.seed + 1 + turn)  # fmt: skip
            result = fit(model, data, more, out=out / f"selftrain-{turn + 1}", collate=collate,
                         lengths=data.lengths, validate=validate,
                         title="self-training")  # fmt: skip
            model = cast(Seq2Seq, result.module)
    weights = model.save(out / "model")

    measured = measure(config, model, named, str(weights))
    with atomic_write(out / "results.json") as path:
        path.write_text(dumps({**measured, "self_trained": learned}, indent=1))
    with atomic_write(out / "metrics.jsonl") as path:
        path.write_text("".join(dumps(row) + "\n" for row in measured["table"]))
    report(config, out, losses, measured, learned)


def first_model(config: Config) -> Seq2Seq:
    """A new model, one on a pretrained trunk, or a trained one: `start` says which."""
    if not config.start:
        return Seq2Seq(_sized(config.model))
    if start := start_of(config):
        return Seq2Seq.on(*start.load(), _sized(config.model))
    return Seq2Seq.from_pretrained(config.start)


def start_of(config: Config) -> Start | None:
    """What `sciml run pretrain` wrote, if `start` is its folder."""
    if not holds_trunk(Path(config.start)):
        return None
    return Start("symbolic", TokenEmbedder, config.model.trunk, config.start)


# --- data ---------------------------------------------------------------------------------------


def _sized(config: ModelConfig) -> ModelConfig:
    """The model's configuration with the vocabulary of expressions."""
    trunk: SequenceConfig = replace(
        config.trunk, vocabulary=len(vb.WORDS), pad=vb.PAD, start=vb.START, end=vb.END
    )
    return replace(config, trunk=trunk)


def problems(name: str, config: Config) -> tuple[list[Expr], set[int]]:
    """Test problems, evenly from a file (NAME=FILE) or a generator's with an unseen seed, and the
    generator's own keys of them."""
    kind, equals, file = name.partition("=")
    if equals:
        found = pairs.read_problems(Path(file))
        return found[:: max(1, len(found) // config.test)][: config.test], set()
    if kind not in KINDS:
        raise InputError(f"a set is {', '.join(KINDS)} or NAME=FILE, got {name!r}")
    stream = pairs.rows_of(kind, config.seed + 1000, ())
    rows = [next(stream) for _ in range(config.test)]
    unknown = None if pairs.task_of(kind) == "integrate" else pairs.UNKNOWN
    return [parse(shown, unknown=unknown) for _, shown, _ in rows], {key for key, _, _ in rows}


def drawn(config: Config, file: Path, seed: int, count: int, exclude: set[int]) -> Pairs:
    """Pairs from the generators; kept in `file`, so that an interrupted run need not make them."""

    def make(file: Path) -> None:
        Pairs.draw(config.shares, count, seed, config.longest, exclude).save(file)

    return kept.once(file, Pairs.load, make)


@torch.no_grad()
def validation_loss(model: Seq2Seq, unseen: Pairs) -> dict[str, float]:
    """Cross-entropy and accuracy of the tokens of unseen pairs."""
    sums, count = {"loss": 0.0, "accuracy": 0.0}, 0.0
    order = np.argsort(unseen.lengths, kind="stable")
    for start in range(0, len(order), 64):
        found = model(collate([unseen.pair(int(i)) for i in order[start : start + 64]]))
        n = float(found["count"])
        count += n
        for name in sums:
            sums[name] += float(found[name]) * n
    return {name: value / count for name, value in sums.items()}


def _losses(result: Any) -> list[float]:
    return [float(row["loss"]) for row in result.history if row.get("split") == "train"]


def self_trained(config: Config, model: Seq2Seq, turn: int, exclude: set[int], file: Path) -> Pairs:
    """Expert iteration: random functions without answers, with the model's verified answers."""

    def make(file: Path) -> None:
        stream = pairs.unsolved(config.seed + 3000 + turn, config.longest[0], exclude,
                                plain="plain" in config.shares)  # fmt: skip
        asked = [next(stream) for _ in range(config.self_training)]
        answers = solved(model, [f for _, f in asked], max(config.beams))
        found = ((key, [vb.INDEX["<integrate>"], *vb.ids(f)], [*vb.ids(a), vb.END])
                 for (key, f), a in zip(asked, answers, strict=True) if a is not None)  # fmt: skip
        Pairs(row for row in found if len(row[2]) <= config.longest[1]).save(file)

    return kept.once(file, Pairs.load, make)


def solved(model: Seq2Seq, asked: list[Expr], beam: int) -> list[Expr | None]:
    """The first verified answer of the beam to each problem; None where there is none."""
    out: list[Expr | None] = []
    for f in asked:
        try:
            answers = model.propose([f], beam)[0]
        except InputError:  # longer than the model reads
            answers = []
        out.append(next((a for a in answers if check(f, a, "x").agrees), None))
    return out


# --- measuring ----------------------------------------------------------------------------------


def measure(
    config: Config, model: Seq2Seq, tests: dict[str, list[Expr]], weights: str
) -> dict[str, Any]:
    """Every solver on the same problems: a table, a gallery and solved-against-time curves."""
    beams = sorted(set(config.beams))
    x = parse("x")
    solvers: dict[str, Job | str] = {
        f"neural only, beam {beam}": IntegrateJob(x, model=weights, beam=beam, rules=False)
        for beam in beams
    }
    solvers["rules only"] = IntegrateJob(x)
    solvers["hybrid"] = IntegrateJob(x, model=weights, beam=beams[-1])
    integrals = all(pairs.task_of(kind) == "integrate" for kind in tests)
    for other in config.others:
        if other == "SymPy":
            solvers[other] = SymPyIntegrateJob(x)
        elif integrals and other in systems.installed():
            solvers[other] = other
    hits: dict[str, dict[str, list[bool]]] = {name: {} for name in tests}
    written: dict[str, list[bool]] = {}
    proved: dict[str, int] = {}
    curve: dict[str, list[float]] = {}
    worker = Worker()
    try:
        for name, job in solvers.items():
            if isinstance(job, Job):
                _worked(worker, job, "", [x], config.timeout)  # starts the process
            written[name], proved[name] = [], 0
            for kind, asked in tests.items():
                methods, times, sure = (
                    _worked(worker, job, kind, asked, config.timeout) if isinstance(job, Job)
                    else _asked(worker, job, asked, config.timeout)
                )  # fmt: skip
                hits[kind][name] = [method is not None for method in methods]
                proved[name] += sure
                written[name] += [bool(m) and "solved for" not in str(m) for m in methods]
                curve.setdefault(name, []).extend(
                    t for t, hit in zip(times, hits[kind][name], strict=True) if hit
                )
    finally:
        worker.close()
    table = []
    for name in solvers:
        row: dict[str, Any] = {"solver": name}
        row |= {kind: sum(hits[kind][name]) for kind in tests}
        row["all"] = sum(sum(hits[kind][name]) for kind in tests)
        row["of these proved"] = proved[name]
        neural = name.startswith("neural")
        row["as written"] = sum(written[name]) if neural else None
        row["of"] = " + ".join(str(len(asked)) for asked in tests.values())
        row["median seconds"] = round(float(np.median(curve[name])), 4) if curve[name] else None
        table.append(row)
        curve[name] = sorted(round(t, 4) for t in curve[name])
    widest = f"neural only, beam {beams[-1]}"
    added = [
        {"set": kind, "left open by the rules": len(open_), "of these by the network":
            sum(hits[kind][widest][i] for i in open_)}
        for kind in tests
        for open_ in [[i for i, hit in enumerate(hits[kind]["rules only"]) if not hit]]
    ]  # fmt: skip
    gallery = [
        {"set": kind, "problem": str(f)[:LONGEST_SHOWN],
         **{name: "yes" if hits[kind][name][i] else "no" for name in solvers}}
        for kind, asked in tests.items() for i, f in enumerate(asked[:20])
    ]  # fmt: skip
    return {"table": table, "added": added, "gallery": gallery, "curve": curve,
            "timeout": config.timeout}  # fmt: skip


def _worked(
    worker: Worker, job: Job, kind: str, asked: list[Expr], timeout: float
) -> tuple[list[str | None], list[float], int]:
    """The method by which each problem was solved (None: it was not), the seconds taken, and how
    many answers were proved."""
    methods: list[str | None] = []
    times, proved = [], 0
    if pairs.task_of(kind) != "integrate":
        job = (DsolveJob(job.f, model=job.model, rules=job.rules, beam=job.beam, sympy=False)
               if isinstance(job, IntegrateJob) else DsolveJob(job.f, rules=False))  # fmt: skip
    for f in asked:
        started = time.perf_counter()
        message, before = worker.ask(replace(job, f=f, timeout=timeout), timeout)
        last = message or (before[-1] if before else {})
        good = last.get("status") in PROOFS
        proved += last.get("status") == "verified"
        methods.append(str(last.get("method", "")) if good else None)
        times.append(time.perf_counter() - started)
    return methods, times, proved


def _asked(
    worker: Worker, system: str, asked: list[Expr], timeout: float
) -> tuple[list[str | None], list[float], int]:
    """The same of another computer algebra system, without the time of its start."""
    methods: list[str | None] = []
    times, proved = [], 0
    for f in asked:
        started = time.perf_counter()
        answer = systems.SYSTEMS[system](f, timeout, timeout)
        times.append(max(time.perf_counter() - started - systems.START, 1e-3))
        good = False
        if answer is not None and times[-1] <= timeout:
            message, _ = worker.ask(VerifyJob(f, answer=answer), timeout)
            good = message is not None and message["status"] in PROOFS
            proved += message is not None and message["status"] == "verified"
        methods.append(system if good else None)
    return methods, times, proved


def report(
    config: Config, out: Path, losses: dict[str, list[float]], measured: dict[str, Any],
    learned: list[int],
) -> None:  # fmt: skip
    """Write report.html."""
    import matplotlib.pyplot as plt

    best = max(measured["table"], key=lambda row: row["all"])
    page = Page(
        "Symbolic mathematics",
        lead=f"{best['solver']} solved {best['all']} of {best['of']} unseen problems; every "
        "answer was proved, or agrees in ball arithmetic at every point tried.",
    )
    if config.start:
        page.text(f"Started from: {literal(str(start_of(config) or config.start))}.")
    page.heading("What each solver solved")
    page.table(measured["table"], caption=f"The same problems, {config.timeout:g} s each. As "
               "written: without solving for coefficients of what the network wrote.")  # fmt: skip
    page.heading("What the network adds to the rules")
    page.table(measured["added"], caption="Problems that the rules left open.")
    if learned:
        page.text(f"Self-training added {sum(learned)} verified answers to "
                  f"{config.self_training * len(learned)} problems without answers.")  # fmt: skip
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    for name, values in losses.items():
        axes[0].plot(values, label=name)
    axes[0].set(xlabel="logged step", ylabel="cross-entropy [nats a token]")
    if losses:
        axes[0].legend(fontsize=7)
    for name, times in measured["curve"].items():
        if times:
            axes[1].step(times, np.arange(1, len(times) + 1), where="post", label=name)
    axes[1].set(xscale="log", xlabel="time a problem [s]", ylabel="problems solved")
    if any(measured["curve"].values()):
        axes[1].legend(fontsize=7)
    figure.tight_layout()
    page.figure(figure, "Left: losses. Right: problems solved within a time.")
    plt.close(figure)
    page.heading("Gallery")
    # The table cuts long problems off: those are shown there alone.
    solved = [(row["set"], row["problem"]) for row in measured["gallery"]
              if row["hybrid"] == "yes" and len(row["problem"]) < LONGEST_SHOWN]  # fmt: skip
    page.figure(
        formulas(solved[:8], config.timeout),
        "Some that were solved. Sampled: agrees at every point tried, not proved.",
    )
    page.table(measured["gallery"], caption="The first problems of each set and who solved them.")
    page.heading("Again")
    page.command(f"sciml run symbolic_math --config {settings_file(out)} --out {out}-again")
    page.command("sciml symbolic integrate 'x*exp(x)'")
    page.write(out / "report.html")


def formulas(problems: list[tuple[str, str]], timeout: float) -> Any:
    """A figure of problems (set, text) and their solutions, set as mathematics."""
    from matplotlib.figure import Figure
    from matplotlib.mathtext import MathTextParser

    lines = []
    for kind, text in problems:
        if pairs.task_of(kind) == "integrate":
            found = integrate(text, "x", timeout=timeout)
            line = rf"$\int {latex(parse(text))}\,dx = {found.latex()}$"
        else:
            found = dsolve(text, timeout=timeout)
            equation = latex(parse(text, unknown=pairs.UNKNOWN))
            line = rf"${equation} = 0:\quad {found.latex()}$"
        try:
            MathTextParser("path").parse(line)
        except ValueError:  # a command that matplotlib does not set
            line = f"{text}  ->  {found.expr}"
        if found.expression is None:
            line = f"{text}: no answer within {timeout:g} s this time"
        elif found.status == "sampled":
            line += "  (sampled)"
        lines.append(line[:400])
    figure = Figure(figsize=(9, 0.5 * max(1, len(lines))))
    for i, line in enumerate(lines):
        figure.text(0.01, 1 - (i + 0.7) / max(1, len(lines)), line, fontsize=11)
    return figure


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
