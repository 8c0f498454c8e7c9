"""Symbolic mathematics: pretrain on unlabelled expressions, fine-tune to integrate, measure.

1. A sequence model learns from expressions without answers: next tokens of the expression itself,
   and whole subtrees that are hidden in the source.
2. It is fine-tuned on (function, antiderivative) pairs, with equivalent forms of the functions.
3. Self-training: verified answers to problems that came without answers join the training set.
4. Neural only, rules only, both together and SymPy integrate the same unseen problems, every
   answer verified alike; the report shows accuracy, time and what was and was not solved.

Writes model.safetensors (`sciml symbolic integrate ... --model OUT`), results.json, metrics.jsonl
and report.html.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch

from sciml.config import Range
from sciml.paths import atomic_write
from sciml.report import Page
from sciml.symbolic import generate
from sciml.symbolic import vocabulary as vb
from sciml.symbolic.augment import equivalent, hidden_subtrees
from sciml.symbolic.checking import check
from sciml.symbolic.model import ModelConfig, Seq2Seq, collate
from sciml.symbolic.parser import parse
from sciml.symbolic.worker import Worker, dump
from sciml.train import TrainConfig, fit
from sciml.trunks.sequence import SequenceConfig


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    seed: int = 0
    """Seed of data and training; the test problems use seed + 1000."""
    expressions: Annotated[int, Range(min=1)] = 200_000
    """Unlabelled expressions to pretrain on."""
    pairs: Annotated[int, Range(min=1)] = 200_000
    """Pairs (function, antiderivative) to fine-tune on."""
    operators: Annotated[int, Range(min=3, max=15)] = 8
    """Most operators of an expression that the pairs start from."""
    pretrain: TrainConfig = field(default_factory=lambda: TrainConfig(
        steps=20_000, batch_size=64, lr=3e-4))  # fmt: skip
    """Training without answers; 0 steps leave it out."""
    finetune: TrainConfig = field(default_factory=lambda: TrainConfig(
        steps=40_000, batch_size=64, lr=3e-4))  # fmt: skip
    """Training on pairs."""
    self_training: Annotated[int, Range(min=0)] = 2_000
    """Problems without answers that the fine-tuned model tries; verified answers are learned."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
    test: Annotated[int, Range(min=1)] = 200
    """Unseen problems to measure on."""
    beams: tuple[int, ...] = (1, 10)
    """Beam widths to measure; the widest is the hybrid's."""
    timeout: Annotated[float, Range(min=0, exclusive=True)] = 10.0
    """Time a problem for each solver [s]."""
    sympy: bool = True
    """Whether SymPy's integrate is measured beside."""


TINY: dict[str, Any] = {
    "expressions": 100,
    "pairs": 300,
    "operators": 3,
    "pretrain.steps": 6,
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
}


class Pairs(Sequence[tuple[list[int], list[int]]]):
    """Rows of text as id pairs; the task decides what the source is."""

    def __init__(self, rows: list[generate.Row], model: ModelConfig, mode: str) -> None:
        self.mode = mode
        self.rows: list[tuple[tuple[list[int], list[int]], str]] = []
        for _, problem, answer in rows:
            pair = _ids(problem, answer, model)
            if pair is not None:
                self.rows.append((pair, problem))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        (source, target), problem = self.rows[index]
        if self.mode == "hidden":  # the expression back from one with hidden subtrees
            return [vb.INDEX["<integrate>"], *hidden_subtrees(source[1:])], [*source[1:], vb.END]
        if torch.rand(()) < 0.3:  # an equivalent form of the same problem
            other = equivalent(parse(problem))
            try:
                source = [vb.INDEX["<integrate>"], *vb.ids(other)]
            except ValueError:
                pass
        return source, target


def _ids(problem: str, answer: str, model: ModelConfig) -> tuple[list[int], list[int]] | None:
    try:
        source = [vb.INDEX["<integrate>"], *vb.ids(parse(problem))]
        target = [*vb.ids(parse(answer)), vb.END]
    except ValueError:
        return None
    fits = len(source) <= model.max_source and len(target) <= model.max_answer
    return (source, target) if fits else None


def rows(config: Config, seed: int, count: int, exclude: set[int]) -> list[generate.Row]:
    """Unseen pairs: the compiled generator for many, the plain one for few."""
    if count > 20_000:
        stream = generate.stream("bwd", seed, exclude=exclude)
        return [next(stream) for _ in range(count)]
    out: list[generate.Row] = []
    seen, start = set(exclude), 0
    while len(out) < count:
        for row in generate.reference(seed, start, count, config.operators):
            if row[0] not in seen and len(out) < count:
                seen.add(row[0])
                out.append(row)
        start += count
    return out


def main(config: Config, out: Path) -> None:
    """Run the recipe."""
    torch.manual_seed(config.seed)
    test = rows(config, config.seed + 1000, config.test, set())
    held_out = {row[0] for row in test}
    train = rows(config, config.seed, config.pairs, held_out)
    model = Seq2Seq(_sized(config.model))
    losses: dict[str, list[float]] = {}

    if config.pretrain.steps:
        unlabelled = rows(config, config.seed + 1, config.expressions, held_out)
        data = Pairs(unlabelled, model.config, "hidden")
        result = fit(model, data, replace(config.pretrain, seed=config.seed),
                     out=out / "pretrain", collate=collate, title="pretraining")  # fmt: skip
        losses["pretraining"] = _losses(result)
        model = cast(Seq2Seq, result.module)
    data = Pairs(train, model.config, "pairs")
    result = fit(model, data, replace(config.finetune, seed=config.seed), out=out / "finetune",
                 collate=collate, title="fine-tuning")  # fmt: skip
    losses["fine-tuning"] = _losses(result)
    model = cast(Seq2Seq, result.module)

    learned = 0
    if config.self_training:
        problems = rows(config, config.seed + 2, config.self_training, held_out)
        found = verified_answers(model, [(k, p) for k, p, _ in problems], max(config.beams))
        learned = len(found)
        if found:
            more = replace(config.finetune, steps=max(1, config.finetune.steps // 5),
                           seed=config.seed + 1)  # fmt: skip
            data = Pairs(train + found, model.config, "pairs")
            result = fit(model, data, more, out=out / "selftrain", collate=collate,
                         title="self-training")  # fmt: skip
            model = cast(Seq2Seq, result.module)
    weights = model.save(out / "model")

    table, gallery, curve = measure(config, model, test, str(weights))
    with atomic_write(out / "results.json") as path:
        path.write_text(json.dumps({"table": table, "self_trained": learned}, indent=1))
    with atomic_write(out / "metrics.jsonl") as path:
        path.write_text("".join(json.dumps(row) + "\n" for row in table))
    report(config, out, losses, table, gallery, curve, learned)


def _sized(config: ModelConfig) -> ModelConfig:
    """The model's configuration with the vocabulary of expressions."""
    trunk: SequenceConfig = replace(
        config.trunk, vocabulary=len(vb.WORDS), pad=vb.PAD, start=vb.START, end=vb.END
    )
    return replace(config, trunk=trunk)


def _losses(result: Any) -> list[float]:
    return [float(row["loss"]) for row in result.history if "loss" in row]


def verified_answers(
    model: Seq2Seq, problems: list[tuple[int, str]], beam: int
) -> list[generate.Row]:
    """What the model solves of problems without answers, each answer verified."""
    out: list[generate.Row] = []
    for key, text in problems:
        f = parse(text)
        try:
            answers = model.propose([f], beam)[0]
        except ValueError:
            continue
        for answer in answers:
            if check(f, answer, "x").verified:
                out.append((key, text, str(answer)))
                break
    return out


def measure(
    config: Config, model: Seq2Seq, test: list[generate.Row], weights: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, list[float]]]:
    """Every solver on the same problems: a table, a gallery and solved-against-time curves."""
    table, curve = [], {}
    solved: dict[str, list[bool]] = {}
    for beam in config.beams:
        name = f"neural only, beam {beam}"
        solved[name], curve[name] = _neural(model, test, beam)
    worker = Worker()
    jobs: dict[str, dict[str, Any]] = {
        "rules only": {"kind": "integrate", "model": None},
        "hybrid": {"kind": "integrate", "model": weights, "beam": max(config.beams)},
    }
    if config.sympy:
        jobs["SymPy"] = {"kind": "sympy"}
    try:
        for name, job in jobs.items():
            solved[name], curve[name] = _worked(worker, job, test, config.timeout)
    finally:
        worker.close()
    for name, hits in solved.items():
        times = [t for t, hit in zip(curve[name], hits, strict=True) if hit]
        table.append({
            "solver": name, "solved": sum(hits), "of": len(hits),
            "share": round(float(np.mean(hits)), 4),
            "median seconds": round(float(np.median(times)), 4) if times else None,
        })  # fmt: skip
        curve[name] = sorted(times)
    gallery = [
        {"problem": row[1], **{name: "yes" if hits[i] else "no" for name, hits in solved.items()}}
        for i, row in enumerate(test[:40])
    ]
    return table, gallery, curve


def _neural(model: Seq2Seq, test: list[generate.Row], beam: int) -> tuple[list[bool], list[float]]:
    hits, times = [], []
    for _, text, _ in test:
        f, started = parse(text), time.perf_counter()
        try:
            answers = model.propose([f], beam)[0]
        except ValueError:  # longer than the model reads
            answers = []
        hits.append(any(check(f, answer, "x").verified for answer in answers))
        times.append(time.perf_counter() - started)
    return hits, times


def _worked(
    worker: Worker, job: dict[str, Any], test: list[generate.Row], timeout: float
) -> tuple[list[bool], list[float]]:
    hits, times = [], []
    for _, text, _ in test:
        started = time.perf_counter()
        full = {**job, "f": dump(parse(text)), "variable": "x", "timeout": timeout}
        message, before = worker.ask(full, timeout)
        last = message or (before[-1] if before else {})
        hits.append(last.get("status") == "verified")
        times.append(time.perf_counter() - started)
    return hits, times


def report(
    config: Config, out: Path, losses: dict[str, list[float]], table: list[dict[str, Any]],
    gallery: list[dict[str, Any]], curve: dict[str, list[float]], learned: int,
) -> None:  # fmt: skip
    """Write report.html."""
    import matplotlib.pyplot as plt

    best = max(table, key=lambda row: row["solved"])
    page = Page(
        "Symbolic mathematics",
        lead=f"{best['solver']} solved {best['solved']} of {best['of']} unseen integrals; every "
        "answer was verified in ball arithmetic. Problems are derivatives of random functions.",
    )
    page.heading("What each solver solved")
    page.table(table, caption=f"The same {config.test} problems, {config.timeout:g} s each.")
    page.text(f"Self-training added {learned} verified answers of {config.self_training} problems.")
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    for name, values in losses.items():
        axes[0].plot(values, label=name)
    axes[0].set(xlabel="logged step", ylabel="cross-entropy [nats a token]")
    axes[0].legend(fontsize=7)
    for name, times in curve.items():
        if times:
            axes[1].step(times, np.arange(1, len(times) + 1), where="post", label=name)
    axes[1].set(xscale="log", xlabel="time a problem [s]", ylabel="problems solved")
    axes[1].legend(fontsize=7)
    figure.tight_layout()
    page.figure(figure, "Left: losses. Right: problems solved within a time.")
    plt.close(figure)
    page.heading("Gallery")
    page.table(gallery, caption="The first problems and who solved them.")
    page.heading("Again")
    page.command(f"sciml run symbolic_math --config {out / 'config.yaml'} --out {out}-again")
    page.command("sciml symbolic integrate 'x*exp(x)'")
    page.write(out / "report.html")


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)
