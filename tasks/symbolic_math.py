"""Symbolic mathematics: pretrain on unlabelled expressions, fine-tune to integrate, measure.

1. A sequence model learns from expressions without answers: whole subtrees are hidden in the source
   and the model writes the whole expression (`pretrain.steps`; off by default).
2. It is fine-tuned on (function, antiderivative) pairs, some of them shown in equivalent forms.
3. Expert iteration (`self_training`): answers to integrals that came without answers join the
   training set once they are verified, and training goes on with them.
4. The network alone, the rules alone, both together, SymPy and those of Maxima, Giac and FriCAS
   that are installed solve the same unseen problems, generator by generator; every answer is
   verified in the same way. The report shows accuracy, time, what was not solved, and how many of
   the problems that the rules leave open the network solves. A network on a pretrained trunk
   (`--start FOLDER`) stands beside the same one with random weights, trained in the same way.

Writes model.safetensors (`sciml symbolic integrate ... --model OUT`), results.json, metrics.jsonl
and report.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import numpy as np
import torch

from sciml.config import Range
from sciml.errors import InputError
from sciml.files import kept
from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.renamed import Formerly
from sciml.symbolic import cas
from sciml.symbolic.comparison import Attempt, attempts
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.generate.problem_files import UNKNOWN, read_problems, structural_keys
from sciml.symbolic.jobs import IntegrateJob, Job, SymPyIntegrateJob
from sciml.symbolic.neural import pairs
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.model import ModelConfig, Seq2Seq, collate
from sciml.symbolic.neural.pairs import Pairs
from sciml.symbolic.neural.pretraining import TokenEmbedder
from sciml.symbolic.report import MAX_SHOWN, write_report
from sciml.symbolic.verification.checking import check
from sciml.symbolic.worker import Worker
from sciml.train import TrainConfig, fit
from sciml.trunks.sequence import SequenceConfig
from sciml.trunks.start import Start, holds_trunk

KINDS = ("bwd", "ibp", "fwd", "ode1", "ode2", "plain")
NETWORK, SCRATCH = "neural only", "neural from scratch"
"""Solvers by a network alone: the trained one, and the one without its pretrained weights."""


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
    max_tokens: Annotated[tuple[int, int], Formerly("longest")] = (64, 32)
    """Longest problem and longest answer to train on [tokens]."""
    exclude: tuple[str, ...] = ()
    """Files whose problems must not be trained on (JSON lines or the published format)."""
    equivalent: Annotated[float, Range(min=0, max=1)] = 0.1
    """Share of the training problems that are rewritten in an equivalent form."""
    start: str = ""
    """A trained model to go on from instead of a new one; with no steps it is only measured. Or the
    folder that `sciml run pretrain` wrote: its trunk encodes, the decoder is new."""
    compare: bool = True
    """Also train from scratch where `start` is a folder."""
    pretrain: TrainConfig = field(default_factory=lambda: TrainConfig(
        steps=0, batch_size=64, lr=1e-3))  # fmt: skip
    """Training without answers; 0 steps leave it out."""
    finetune: TrainConfig = field(default_factory=lambda: TrainConfig(
        steps=40_000, batch_size=64, lr=1e-3, ema=0.999))  # fmt: skip
    """Training on pairs; 0 steps leave it out."""
    self_training: Annotated[int, Range(min=0)] = 2_000
    """Random functions without answers that the model tries to integrate; its verified answers join
    the training set."""
    rounds: Annotated[int, Range(min=1)] = 1
    """Rounds of self-training."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
    test: Annotated[int, Range(min=1)] = 200
    """Test problems per set."""
    sets: tuple[str, ...] = ("bwd", "ibp")
    """Test sets: generators, or NAME=FILE of problems."""
    beams: tuple[int, ...] = (1, 10)
    """Beam widths to measure; the rules and network together use the widest."""
    timeout: Annotated[float, Range(min=0, exclusive=True)] = 10.0
    """Wall-clock time per problem and solver [s]."""
    others: tuple[Literal["SymPy", "Maxima", "Giac", "FriCAS"], ...] = (
        "SymPy", "Maxima", "Giac", "FriCAS")  # fmt: skip
    """Computer algebra systems to compare with, where they are installed; only SymPy is measured on
    differential equations."""


TINY: dict[str, Any] = {
    "pairs": 300,
    "shares": {"plain": 1.0},
    "sets": ("plain",),
    "max_tokens": (40, 16),
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
    excluded = [read_problems(Path(file)) for file in config.exclude]
    tests = {name: problems(name, config) for name in config.sets}
    named = {name.partition("=")[0]: listed for name, (listed, _) in tests.items()}
    compiled = bool(set(config.shares) - {"plain"})
    held_out = structural_keys((f for listed, _ in tests.values() for f in listed), compiled)
    held_out = held_out.union(*(keys for _, keys in tests.values()))
    for problems_of_file in excluded:
        held_out |= structural_keys(problems_of_file, compiled)
    trained = train(config, first_model(config), held_out, out, out)
    weights = {NETWORK: str(trained.model.save(out / "model.safetensors"))}
    start, losses = start_of(config), trained.losses
    if start and config.compare and (config.pretrain.steps or config.finetune.steps):
        torch.manual_seed(config.seed)
        fresh = Seq2Seq.on(*start.fresh(), _sized(config.model))
        scratch = train(config, fresh, held_out, out, out / "scratch")
        weights[SCRATCH] = str(scratch.model.save(out / "scratch" / "model.safetensors"))
        losses |= {f"{stage}, from scratch": rows for stage, rows in scratch.losses.items()}

    measured = measure(config, named, weights)
    with atomic_write(out / "results.json") as path:
        path.write_text(dumps({**measured, "self_trained": trained.learned}, indent=1))
    with atomic_write(out / "metrics.jsonl") as path:
        path.write_text("".join(dumps(row) + "\n" for row in measured["table"]))
    attempted = config.self_training * len(trained.learned)
    write_report(
        out, measured, losses, start=str(start or config.start),
        self_trained=(sum(trained.learned), attempted) if trained.learned else None,
    )  # fmt: skip


class Trained(NamedTuple):
    """A trained model, its losses by stage, and how many answers each round verified."""

    model: Seq2Seq
    losses: dict[str, list[float]]
    learned: list[int]


def train(
    config: Config, model: Seq2Seq, held_out: set[int], data_folder: Path, out: Path
) -> Trained:
    """Pretraining, fine-tuning and self-training of a model.

    Args:
        config: all settings.
        model: with the weights to begin with.
        held_out: keys of problems that must not be trained on.
        data_folder: where the pairs are kept.
        out: for the checkpoints of this model.
    """
    losses: dict[str, list[float]] = {}
    learned: list[int] = []
    if not (config.pretrain.steps or config.finetune.steps):
        return Trained(model, losses, learned)
    data = drawn(config, data_folder / "pairs.npz", config.seed, config.pairs, held_out)
    unseen = drawn(config, data_folder / "validation.npz", config.seed + 2000,
                   min(512, config.pairs), held_out, data)  # fmt: skip

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
        verified = self_trained(config, model, turn, held_out, out / f"verified-{turn + 1}.npz")
        learned.append(len(verified))
        data = Pairs.join([data, verified])
        more = replace(config.finetune, steps=max(1, config.finetune.steps // 5),
                       seed=config.seed + 1 + turn)  # fmt: skip
        result = fit(model, data, more, out=out / f"selftrain-{turn + 1}", collate=collate,
                     lengths=data.lengths, validate=validate,
                     title="self-training")  # fmt: skip
        model = cast(Seq2Seq, result.module)
    return Trained(model, losses, learned)


def first_model(config: Config) -> Seq2Seq:
    """A new model, one on a pretrained trunk, or a trained one: `start` says which."""
    if not config.start:
        return Seq2Seq(_sized(config.model))
    if start := start_of(config):
        return Seq2Seq.on(*start.load(), _sized(config.model))
    return Seq2Seq.from_pretrained(config.start)


def start_of(config: Config) -> Start | None:
    """What `sciml run pretrain` wrote, if `start` is its folder."""
    if not (config.start and holds_trunk(Path(config.start))):
        return None
    return Start("symbolic", TokenEmbedder, config.model.trunk, config.start, own_trunk=None)


# --- data ---------------------------------------------------------------------------------------


def _sized(config: ModelConfig) -> ModelConfig:
    """The model's configuration with the vocabulary of expressions."""
    trunk: SequenceConfig = replace(
        config.trunk, vocabulary=len(vb.WORDS), pad=vb.PAD, start=vb.START, end=vb.END
    )
    return replace(config, trunk=trunk)


def problems(name: str, config: Config) -> tuple[list[Expr], set[int]]:
    """Test problems, and the keys by which their generator knows them: evenly spaced ones of a file
    (NAME=FILE), or a generator's with a seed that training does not use."""
    kind, equals, file = name.partition("=")
    if equals:
        listed = read_problems(Path(file))
        return listed[:: max(1, len(listed) // config.test)][: config.test], set()
    if kind not in KINDS:
        raise InputError(f"a set is {', '.join(KINDS)} or NAME=FILE, got {name!r}")
    stream = pairs.rows_of(kind, config.seed + 1000, ())
    rows = [next(stream) for _ in range(config.test)]
    unknown = None if pairs.task_of(kind) == "integrate" else UNKNOWN
    return [parse(text, unknown=unknown) for _, text, _ in rows], {key for key, _, _ in rows}


def drawn(
    config: Config, file: Path, seed: int, count: int, exclude: set[int], *others: Pairs
) -> Pairs:
    """Pairs from the generators without those of `others`, stored in `file` for the run that goes
    on with this one."""

    def make(file: Path) -> None:
        known = exclude.union(*(other.keys for other in others))
        Pairs.draw(config.shares, count, seed, config.max_tokens, known).save(file)

    return kept.once(file, Pairs.load, make)


@torch.no_grad()
def validation_loss(model: Seq2Seq, unseen: Pairs) -> dict[str, float]:
    """Cross-entropy and accuracy of the tokens of unseen pairs."""
    sums, count = {"loss": 0.0, "accuracy": 0.0}, 0.0
    order = np.argsort(unseen.lengths, kind="stable")
    for start in range(0, len(order), 64):
        batch = collate([unseen.pair(int(i)) for i in order[start : start + 64]])
        outputs = model(batch.to(model.arity.device))
        n = float(outputs["count"])
        count += n
        for name in sums:
            sums[name] += float(outputs[name]) * n
    return {name: value / count for name, value in sums.items()}


def _losses(result: Any) -> list[float]:
    return [float(row["loss"]) for row in result.history if row.get("split") == "train"]


def self_trained(config: Config, model: Seq2Seq, turn: int, exclude: set[int], file: Path) -> Pairs:
    """Expert iteration: random functions without answers, with the model's verified answers."""

    def make(file: Path) -> None:
        stream = pairs.unsolved(config.seed + 3000 + turn, config.max_tokens[0], exclude,
                                plain="plain" in config.shares)  # fmt: skip
        integrands = [next(stream) for _ in range(config.self_training)]
        answers = solved(model, [f for _, f in integrands], max(config.beams))
        rows = ((key, [vb.INDEX["<integrate>"], *vb.ids(f)], [*vb.ids(a), vb.END])
                for (key, f), a in zip(integrands, answers, strict=True)
                if a is not None)  # fmt: skip
        Pairs(row for row in rows if len(row[2]) <= config.max_tokens[1]).save(file)

    return kept.once(file, Pairs.load, make)


def solved(model: Seq2Seq, integrands: list[Expr], beam: int) -> list[Expr | None]:
    """The first verified answer of the beam search to each problem; None where there is none."""
    out: list[Expr | None] = []
    for f in integrands:
        try:
            answers = model.propose([f], beam)[0]
        except InputError:  # longer than the model reads
            answers = []
        out.append(next((a for a in answers if check(f, a, "x").agrees), None))
    return out


# --- measuring ----------------------------------------------------------------------------------


def measure(
    config: Config, tests: dict[str, list[Expr]], weights: dict[str, str]
) -> dict[str, Any]:
    """Every solver on the same problems: a table, a gallery and solved-against-time curves.

    `weights`: files of models by the name of their solver, `NETWORK` and perhaps `SCRATCH`.
    """
    beams = sorted(set(config.beams))
    solvers = _solvers(config, tests, weights)
    results: dict[str, dict[str, list[Attempt]]] = {name: {} for name in solvers}
    worker = Worker()
    try:
        for name, solver in solvers.items():
            if isinstance(solver, Job):
                attempts(solver, [parse("x")], worker, config.timeout)  # starts the process
            for kind, unsolved in tests.items():
                equations = pairs.task_of(kind) != "integrate"
                results[name][kind] = attempts(
                    solver, unsolved, worker, config.timeout, equations=equations
                )
    finally:
        worker.close()
    table, curve = [], {}
    for name, by_kind in results.items():
        solved = [a for kind in tests for a in by_kind[kind] if a.solved]
        row: dict[str, Any] = {"solver": name}
        row |= {kind: sum(a.solved for a in by_kind[kind]) for kind in tests}
        row["all"] = len(solved)
        row["of these proved"] = sum(a.proved for a in solved)
        written = sum(bool(a.method) and "solved for" not in str(a.method) for a in solved)
        row["as written"] = written if name.startswith("neural") else None
        row["of"] = " + ".join(str(len(unsolved)) for unsolved in tests.values())
        curve[name] = sorted(round(a.seconds, 4) for a in solved)
        median = float(np.median([a.seconds for a in solved])) if solved else None
        row["median seconds"] = None if median is None else round(median, 4)
        table.append(row)
    network, rules = results[f"{NETWORK}, beam {beams[-1]}"], results["rules only"]
    added = []
    for kind in tests:
        left = [i for i, attempt in enumerate(rules[kind]) if not attempt.solved]
        added.append(
            {
                "set": kind,
                "left open by the rules": len(left),
                "of these by the network": sum(network[kind][i].solved for i in left),
            }
        )
    gallery = [
        {"set": kind, "problem": str(f)[:MAX_SHOWN],
         **{name: "yes" if results[name][kind][i].solved else "no" for name in solvers}}
        for kind, unsolved in tests.items() for i, f in enumerate(unsolved[:20])
    ]  # fmt: skip
    return {"table": table, "added": added, "gallery": gallery, "curve": curve,
            "timeout": config.timeout}  # fmt: skip


def _solvers(
    config: Config, tests: dict[str, list[Expr]], weights: dict[str, str]
) -> dict[str, Job | str]:
    """By name: the network alone, the rules alone, both, and the other systems."""
    x, beams = parse("x"), sorted(set(config.beams))
    solvers: dict[str, Job | str] = {
        f"{name}, beam {beam}": IntegrateJob(x, model=file, beam=beam, rules=False)
        for name, file in weights.items()
        for beam in beams
    }
    solvers["rules only"] = IntegrateJob(x)
    solvers["hybrid"] = IntegrateJob(x, model=weights[NETWORK], beam=beams[-1])
    integrals = all(pairs.task_of(kind) == "integrate" for kind in tests)
    for other in config.others:
        if other == "SymPy":
            solvers[other] = SymPyIntegrateJob(x)
        elif integrals and other in cas.installed():
            solvers[other] = other
    return solvers


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
