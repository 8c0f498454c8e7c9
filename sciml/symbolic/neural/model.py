"""The encoder-decoder of Lample & Charton (2020) on the Sequence trunk: problem to answer as prefix
tokens.

The source is a task token and the problem's tokens with their positions in the expression tree; the
answer is decoded by beam search under the grammar of expressions, so that every hypothesis parses.
Nothing it writes is an answer before it has been verified (see `candidates`).
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range, from_dict, to_dict
from sciml.errors import InputError
from sciml.nn.tree import prefix_paths
from sciml.symbolic.expr.expression import Expr, TooLarge, Undefined
from sciml.symbolic.neural import encoder
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.encoder import TrunkEncoder
from sciml.symbolic.neural.pretraining import TokenEmbedder
from sciml.train.buckets import bucket
from sciml.train.sampler import move
from sciml.trunks.base import Trunk
from sciml.trunks.sequence import Sequence, SequenceConfig
from sciml.weights import loading
from sciml.weights.pretrained import Pretrained


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
    """Levels of the tree that the positions encode."""
    max_source: Annotated[int, Range(min=8, max=8192)] = 256
    """Longest problem [tokens]."""
    max_answer: Annotated[int, Range(min=8, max=8192)] = 128
    """Longest answer [tokens]."""
    smoothing: Annotated[float, Range(min=0, max=1)] = 0.0
    """Label smoothing."""
    encoder: dict[str, Any] = field(default_factory=dict)
    """Another trunk to encode with instead of the trunk's own encoder: its `name` and settings, as
    YAML: '{name: pair_transformer, dim: 64, pair_dim: 8}'."""


class Batch(NamedTuple):
    """Padded pairs: source [B, N] and target [B, T] ids; the target ends with the end token."""

    source: Tensor
    target: Tensor

    def to(self, device: Any) -> Batch:
        return Batch(*move(tuple(self), torch.device(device)))

    def padded(self, sizes: Items[int]) -> Batch:
        """Both padded up to one of the lengths `sizes` (`sciml.train.buckets`)."""
        more = [bucket(x.shape[1], sizes) - x.shape[1] for x in self]
        return Batch(*(F.pad(x, (0, n), value=vb.PAD) for x, n in zip(self, more, strict=True)))


def collate(pairs: Items[tuple[Items[int], Items[int]]]) -> Batch:
    """Pad pairs of id lists to one batch."""

    def padded(rows: list[Items[int]]) -> Tensor:
        out = torch.full((len(rows), max(len(r) for r in rows)), vb.PAD)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor(row)
        return out

    return Batch(padded([p[0] for p in pairs]), padded([p[1] for p in pairs]))


class Seq2Seq(Pretrained, nn.Module):
    """Problem to answer; `forward(batch)` gives the loss that `sciml.train.fit` minimises."""

    ENTRY: ClassVar[str] = "sciml"
    KIND: ClassVar[str] = "symbolic model"

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config or ModelConfig()
        if self.config.trunk.vocabulary != len(vb.WORDS):
            raise InputError(f"the trunk's `vocabulary` must be {len(vb.WORDS)}")
        self.encoder: TrunkEncoder | None = None
        if self.config.encoder:
            trunk = replace(self.config.trunk, encoder_layers=0)
            self.config = replace(self.config, trunk=trunk)
            self.trunk = Sequence(trunk)
            self.trunk.encoder = None
            self.encoder = TrunkEncoder(self.config.encoder, trunk.dim)
        else:
            self.trunk = Sequence(self.config.trunk)
        self.register_buffer("arity", vb.arities(), persistent=False)
        self.arity: Tensor

    @classmethod
    def on(cls, trunk: Trunk, embedder: TokenEmbedder, config: ModelConfig) -> Seq2Seq:
        """A model that encodes with a copy of a pretrained trunk; its decoder is new."""
        model = cls(replace(config, encoder=encoder.describe(trunk)))
        assert model.encoder is not None
        model.encoder.trunk.load_state_dict(trunk.state_dict())
        model.encoder.embedder.load_state_dict(embedder.state_dict())
        return model

    def paths(self, ids: Tensor) -> Tensor:
        """[B, N, depth] positions in the tree."""
        return prefix_paths(ids, self.arity, self.config.depth)

    def encode(self, source: Tensor) -> Any:
        """The memory that the decoder attends to."""
        if self.encoder is not None:
            return self.encoder(source)
        return self.trunk.encode(source, None, self.paths(source))

    def logits(self, batch: Batch) -> Tensor:
        """[B, T, V] teacher-forced logits of each target token."""
        start = torch.full_like(batch.target[:, :1], vb.START)
        shifted = torch.cat([start, batch.target[:, :-1]], 1)
        return self.trunk.decode(shifted, self.encode(batch.source))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Mean cross-entropy of the target tokens."""
        mask = batch.target != vb.PAD
        logits = self.logits(batch)
        # Padding is ignored, not cut out: a mask as an index would wait for the device.
        loss = F.cross_entropy(
            logits.float().flatten(0, 1), batch.target.flatten(),
            ignore_index=vb.PAD, label_smoothing=self.config.smoothing,
        )  # fmt: skip
        hits = ((logits.argmax(-1) == batch.target) & mask).sum() / mask.sum()
        return {"loss": loss, "count": mask.sum(), "accuracy": hits.detach()}

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
        """Answers of the beam search for each problem, best first.

        Args:
            problems: integrands in x, or residuals of equations in x, y, y', y''.
            beam: hypotheses per problem.
            task: "integrate", "ode1" or "ode2".

        Raises:
            InputError: see `source_ids`.
        """
        self.eval()
        sources = [self.source_ids(p, task) for p in problems]
        batch = collate([(s, [vb.END]) for s in sources]).to(self.arity.device)
        memory = self.encode(batch.source)
        variables = ("x",) if task == "integrate" else ("x", "c1", "c2")
        hypotheses = self.trunk.beam_search(
            memory, beam, self.config.max_answer, vb.ExpressionGrammar(variables)
        )
        proposals = []
        for i in range(len(problems)):
            answers: dict[Expr, None] = {}
            for sequence in hypotheses.lists(i):
                try:
                    answers[vb.expression(sequence)] = None
                except (InputError, TooLarge, Undefined):
                    continue
            proposals.append(list(answers))
        return proposals

    # ------------------------------------------------------------------ disk
    def describe(self) -> dict[str, Any]:
        return {"kind": "symbolic", "config": to_dict(self.config)}

    @classmethod
    def restore(
        cls, description: dict[str, Any], tensors: dict[str, Tensor], path: Path, **options: Any
    ) -> Seq2Seq:
        if description.get("kind") != "symbolic":
            held = str(description.get("kind"))[:60]
            raise InputError(f"holds no symbolic model but {held}", where=path)
        config = from_dict(ModelConfig, description.get("config", {}), where=str(path))
        return loading.restore(lambda: cls(config), tensors, where=path)
