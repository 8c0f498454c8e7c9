"""The network: an encoder-decoder on the Sequence trunk that writes answers as prefix tokens.

The source is a task token and the problem's tokens with their places in the tree; the answer is
decoded by beam search under the grammar of expressions, so that every hypothesis parses. What it
proposes is verified like everything else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range, from_dict, to_dict
from sciml.errors import InputError
from sciml.nn.tree import prefix_paths
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr, TooLarge, Undefined
from sciml.symbolic.neural import vocabulary as vb
from sciml.trunks.sequence import Sequence, SequenceConfig
from sciml.weights import files, loading


def _trunk() -> SequenceConfig:
    return SequenceConfig(
        dim=384, vocabulary=len(vb.WORDS), heads=8, groups=4, encoder_layers=8, decoder_layers=2,
        tree_reach=6, pad=vb.PAD, start=vb.START, end=vb.END,
    )  # fmt: skip


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the model."""

    trunk: SequenceConfig = field(default_factory=_trunk)
    """The encoder-decoder."""
    depth: Annotated[int, Range(min=1, max=256)] = 12
    """Levels of the tree that positions tell apart."""
    max_source: Annotated[int, Range(min=8, max=8192)] = 256
    """Longest problem [tokens]."""
    max_answer: Annotated[int, Range(min=8, max=8192)] = 128
    """Longest answer [tokens]."""
    smoothing: Annotated[float, Range(min=0, max=1)] = 0.0
    """Label smoothing."""


class Batch(NamedTuple):
    """Padded pairs: source [B, N] and target [B, T] ids; the target ends with the end token."""

    source: Tensor
    target: Tensor

    def to(self, device: Any) -> Batch:
        return Batch(self.source.to(device), self.target.to(device))


def collate(pairs: Items[tuple[Items[int], Items[int]]]) -> Batch:
    """Pad pairs of id lists to one batch."""

    def padded(rows: list[Items[int]]) -> Tensor:
        out = torch.full((len(rows), max(len(r) for r in rows)), vb.PAD)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor(row)
        return out

    return Batch(padded([p[0] for p in pairs]), padded([p[1] for p in pairs]))


class Seq2Seq(nn.Module):
    """Problem to answer; `forward(batch)` gives the loss that `sciml.train.fit` wants."""

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config or ModelConfig()
        if self.config.trunk.vocabulary != len(vb.WORDS):
            raise InputError(f"the trunk's `vocabulary` must be {len(vb.WORDS)}")
        self.trunk = Sequence(self.config.trunk)
        self.register_buffer("arity", vb.arities(), persistent=False)
        self.arity: Tensor

    def paths(self, ids: Tensor) -> Tensor:
        """[B, N, depth] places in the tree."""
        return prefix_paths(ids, self.arity, self.config.depth)

    def encode(self, source: Tensor) -> Any:
        """The memory that the decoder attends to."""
        return self.trunk.encode(source, None, self.paths(source))

    def logits(self, batch: Batch) -> Tensor:
        """[B, T, V] teacher-forced logits of each target token."""
        start = torch.full_like(batch.target[:, :1], vb.START)
        before = torch.cat([start, batch.target[:, :-1]], 1)
        return self.trunk.decode(before, self.encode(batch.source))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Mean cross-entropy of the target tokens."""
        known = batch.target != vb.PAD
        logits = self.logits(batch)[known]
        target = batch.target[known]
        loss = F.cross_entropy(logits.float(), target, label_smoothing=self.config.smoothing)
        hits = (logits.argmax(-1) == target).float().mean()
        return {"loss": loss, "count": known.sum(), "accuracy": hits.detach()}

    # ------------------------------------------------------------------ use
    def source_ids(self, problem: Expr, task: str = "integrate") -> list[int]:
        """The ids of a problem.

        Raises:
            InputError: too long, or with a function that the vocabulary lacks.
        """
        ids = [vb.INDEX[f"<{task}>"], *vb.ids(problem)]
        if len(ids) > self.config.max_source:
            raise InputError(
                f"the problem has {len(ids)} tokens, the model reads {self.config.max_source}"
            )
        return ids

    @torch.inference_mode()
    def propose(
        self, problems: Items[Expr], beam: int = 10, task: str = "integrate"
    ) -> list[list[Expr]]:
        """The answers of the beam for each problem, best first."""
        self.eval()
        sources = [self.source_ids(p, task) for p in problems]
        batch = collate([(s, [vb.END]) for s in sources]).to(self.arity.device)
        memory = self.encode(batch.source)
        variables = ("x",) if task == "integrate" else ("x", "c1", "c2")
        found = self.trunk.beam_search(
            memory, beam, self.config.max_answer, vb.ExpressionGrammar(variables)
        )
        out = []
        for i in range(len(problems)):
            answers: dict[Expr, None] = {}
            for sequence in found.lists(i):
                try:
                    answers[vb.expression(sequence)] = None
                except (InputError, TooLarge, Undefined):
                    continue
            out.append(list(answers))
        return out

    # ------------------------------------------------------------------ disk
    def save(self, path: str | os.PathLike[str], *, half: bool = False) -> Path:
        """Write `path` (safetensors) with the configuration in its header.

        Args:
            half: store bfloat16, half the size.
        """
        described = {"kind": "symbolic", "config": to_dict(self.config)}
        return files.write(path, self.state_dict(), "sciml", described, half=half)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> Seq2Seq:
        """Read what `save` wrote, or a shipped model by its name.

        Raises:
            InputError: for a file that is not such a model.
        """
        described, state, file = files.read(path, "sciml", "symbolic model")
        if described.get("kind") != "symbolic":
            held = str(described.get("kind"))[:60]
            raise InputError(f"holds no symbolic model but {held}", where=file)
        config = from_dict(ModelConfig, described.get("config", {}), where=str(file))
        model = loading.build(lambda: cls(config), state, where=file)
        loading.load_state(model, state, where=file)
        return model.eval()


@lru_cache(maxsize=2)
def _loaded(path: str) -> Seq2Seq:
    torch.set_num_threads(1)
    return Seq2Seq.from_pretrained(path)


def solutions(path: str, residual: Expr, x: str, y: str, order: int, beam: int = 10) -> list[Expr]:
    """The beam's solutions y(x; c1, c2) of residual = 0, best first; none of an equation that the
    model cannot read."""
    names = {x: "x", **{y + "'" * k: "y" + "'" * k for k in range(order + 1)}}
    there = {ex.symbol(old): ex.symbol(new) for old, new in names.items()}
    try:
        asked = ex.substitute(residual, there)
        found = _loaded(path).propose([asked], beam, f"ode{order}")[0]
    except (InputError, TooLarge, Undefined):
        return []
    return [ex.substitute(answer, {ex.symbol("x"): ex.symbol(x)}) for answer in found]


def proposer(path: str, beam: int = 10) -> Any:
    """A source of guesses for `search.Search`: the model's beam on the problem in `x`, first as it
    is written, then with the coefficients of its terms solved for (`refit`)."""
    from sciml.symbolic.neural.refit import refitted

    def propose(f: Expr, x: str) -> Iterator[tuple[Expr, str]]:
        named = ex.symbol("x")

        def back(answer: Expr) -> Expr:
            return ex.substitute(answer, {named: ex.symbol(x)}) if x != "x" else answer

        try:
            problem = ex.substitute(f, {ex.symbol(x): named}) if x != "x" else f
            answers = _loaded(path).propose([problem], beam)[0]
        except (InputError, TooLarge, Undefined):
            return
        for rank, answer in enumerate(answers, 1):
            yield back(answer), f"neural, hypothesis {rank}"
        for answer, how in refitted(problem, answers, "x"):
            yield back(answer), f"neural, {how}"

    return propose
