"""Skeletons of formulas from points: a set encoder and an autoregressive decoder (Biggio et al.,
Neural symbolic regression that scales, 2021, arXiv:2106.06427).

The points (x_1, ..., y), y standardised, go through a transformer without positional encoding, so
that their order does not matter; the decoder of the `Sequence` trunk writes formulas in prefix
tokens with one placeholder token for every constant. Offset and slope need not be written: the
search solves for them (see `regression.formula`). Trained on random trees; its skeletons seed the
first population of the search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range, from_dict, to_dict
from sciml.errors import InputError
from sciml.graph import Light
from sciml.nn.decoding import PrefixGrammar
from sciml.symbolic.regression.formula import Tree, evaluate
from sciml.trunks import build
from sciml.trunks.sequence import Memory, Sequence, SequenceConfig
from sciml.weights import loading
from sciml.weights.pretrained import Pretrained

COLUMNS = 3
"""Most columns of X that the model reads."""
_ARITY = {"add": 2, "sub": 2, "mul": 2, "div": 2,
          "sin": 1, "cos": 1, "exp": 1, "log": 1, "sqrt": 1, "square": 1}  # fmt: skip
WORDS = ("<pad>", "<start>", "<end>", "c", *(f"x{i}" for i in range(COLUMNS)), *_ARITY)
INDEX = {word: i for i, word in enumerate(WORDS)}
_WEIGHTS = {"add": 10, "mul": 10, "sub": 5, "div": 5}
_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)
"""Of the sines and cosines of each coordinate that the encoder is given [1/unit of x]."""


@dataclass(frozen=True)
class SkeletonConfig:
    """Sizes and training distribution."""

    dim: Annotated[int, Range(min=8)] = 96
    """Width of encoder and decoder."""
    depth: Annotated[int, Range(min=1)] = 3
    """Blocks of the set encoder."""
    decoder_layers: Annotated[int, Range(min=1)] = 2
    """Blocks of the decoder."""
    heads: Annotated[int, Range(min=1)] = 4
    """Attention heads."""
    points: Annotated[int, Range(min=4, max=4096)] = 48
    """Points that the encoder reads; of more, as many evenly spaced ones."""
    operators: Annotated[int, Range(min=1, max=256)] = 6
    """Largest number of operators of a training formula."""
    longest: Annotated[int, Range(min=2, max=4096)] = 24
    """Longest skeleton [tokens]."""
    trunk: SequenceConfig = field(default_factory=SequenceConfig)
    """Further settings of the decoder; its sizes come from the fields above."""


class Batch(NamedTuple):
    """Standardised points [B, N, COLUMNS + 1], columns in use [B, COLUMNS], target ids [B, T]."""

    points: Tensor
    used: Tensor
    target: Tensor

    def to(self, device: Any) -> Batch:
        return Batch(*(part.to(device) for part in self))


def random_tree(rng: np.random.Generator, operators: int, columns: int) -> Tree:
    """A random tree with that many operators; leaves are columns (75 %) or constants."""
    if operators == 0:
        if rng.random() < 0.75:
            return ("x", int(rng.integers(columns)))
        return ("c", float(np.round(rng.normal(0, 2), 2)))
    names = list(_ARITY)
    weights = np.array([_WEIGHTS.get(name, 4) for name in names], float)
    name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    if _ARITY[name] == 1:
        return (name, random_tree(rng, operators - 1, columns))
    left = int(rng.integers(operators))
    return (
        name,
        random_tree(rng, left, columns),
        random_tree(rng, operators - 1 - left, columns),
    )


def ids(tree: Tree) -> list[int]:
    """Token ids of a tree's skeleton in canonical order: shorter terms and factors first."""
    if tree[0] == "x":
        return [INDEX[f"x{tree[1]}"]]
    if tree[0] == "c":
        return [INDEX["c"]]
    parts = [ids(child) for child in tree[1:]]
    if tree[0] in ("add", "mul"):
        parts.sort(key=lambda part: (len(part), part))
    return [INDEX[tree[0]], *(i for part in parts for i in part)]


def tree(sequence: list[int]) -> Tree:
    """The tree of a prefix sequence of ids; constants are 1."""
    stack: list[Tree] = []
    for i in reversed(sequence):
        word = WORDS[i]
        if word in _ARITY:
            children = [stack.pop() for _ in range(_ARITY[word])]
            stack.append((word, *children))
        else:
            stack.append(("c", 1.0) if word == "c" else ("x", int(word[1:])))
    return stack[0]


def example(seed: int, config: SkeletonConfig) -> tuple[np.ndarray, int, list[int]]:
    """A training example: points [N, columns + 1] of a random formula (y in the last column), the
    number of columns of X, the ids of its skeleton."""
    rng = np.random.default_rng(seed)
    while True:
        columns = int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
        formula = random_tree(rng, int(rng.integers(1, config.operators + 1)), columns)
        target = ids(formula)
        if len(target) >= config.longest or not all(
            INDEX[f"x{i}"] in target for i in range(columns)
        ):
            continue
        low = rng.choice([-2.0, -1.0, 0.0, 0.5, 1.0])
        X = rng.uniform(low, low + rng.uniform(1, 4), (config.points, columns))
        with np.errstate(all="ignore"):
            y = evaluate(formula, X)
        if np.isfinite(y).all() and 1e-3 < np.std(y) < 1e4 and np.abs(y).max() < 1e5:
            return np.column_stack([X, y]), columns, target


def standardised(X: np.ndarray, y: np.ndarray, points: int) -> np.ndarray:
    """[points, COLUMNS + 1] float32: the columns as they are, y with mean 0 and deviation 1."""
    chosen = np.linspace(0, len(y) - 1, points).round().astype(int)
    out = np.zeros((points, COLUMNS + 1), np.float32)
    out[:, : X.shape[1]] = X[chosen]
    out[:, -1] = (y[chosen] - y.mean()) / max(float(np.std(y)), 1e-12)
    return out


class Examples:
    """Random formulas with their points; example k depends on the seed and k alone."""

    def __init__(self, config: SkeletonConfig, count: int, seed: int) -> None:
        self.config, self.count, self.seed = config, count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, list[int]]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        values, columns, target = example(self.seed * 10_000_000 + index, self.config)
        points = standardised(values[:, :-1], values[:, -1], self.config.points)
        return points, columns, [*target, INDEX["<end>"]]


def collate(items: list[tuple[np.ndarray, int, list[int]]]) -> Batch:
    """Examples -> batch."""
    longest = max(len(item[2]) for item in items)
    target = torch.zeros(len(items), longest, dtype=torch.int64)
    used = torch.zeros(len(items), COLUMNS)
    for i, (_, columns, ids_) in enumerate(items):
        target[i, : len(ids_)] = torch.tensor(ids_)
        used[i, :columns] = 1
    return Batch(torch.tensor(np.stack([item[0] for item in items])), used, target)


class SkeletonModel(Pretrained, nn.Module):
    """Points to skeletons; `forward(batch)` gives the loss that `sciml.train.fit` minimises."""

    ENTRY: ClassVar[str] = "sciml"
    KIND: ClassVar[str] = "model of skeletons"

    def __init__(self, config: SkeletonConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SkeletonConfig()
        width = (COLUMNS + 1) * (2 + 2 * len(_FREQUENCIES)) + COLUMNS
        self.embed = nn.Sequential(
            nn.Linear(width, config.dim), nn.GELU(), nn.Linear(config.dim, config.dim)
        )
        self.encoder = build({
            "name": "pair_transformer", "dim": config.dim, "depth": config.depth,
            "heads": config.heads, "class_depth": 0,
        })  # fmt: skip
        sizes = {
            **to_dict(config.trunk), "dim": config.dim, "kind": "encoder-decoder",
            "vocabulary": len(WORDS), "heads": config.heads, "groups": config.heads,
            "encoder_layers": 0, "decoder_layers": config.decoder_layers,
        }  # fmt: skip
        self.decoder = Sequence(from_dict(SequenceConfig, sizes))

    def encode(self, points: Tensor, used: Tensor) -> Memory:
        """Points [B, N, COLUMNS + 1] -> memory of the decoder, the same for any order of points."""
        waves = [f(w * points) for w in _FREQUENCIES for f in (torch.sin, torch.cos)]
        features = [points, torch.asinh(10 * points), *waves,
                    used[:, None].expand(-1, points.shape[1], -1)]  # fmt: skip
        x = self.embed(torch.cat(features, -1).to(next(self.parameters()).dtype))
        mask = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device)
        columns: Any = Light(x=x, mask=mask)
        nodes = self.encoder(columns).nodes
        return Memory(nodes, mask)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Mean cross-entropy of the skeletons' tokens [nats]."""
        start = torch.full_like(batch.target[:, :1], INDEX["<start>"])
        shifted = torch.cat([start, batch.target[:, :-1]], 1)
        logits = self.decoder.decode(shifted, self.encode(batch.points, batch.used))
        mask = batch.target != INDEX["<pad>"]
        logits, target = logits[mask], batch.target[mask]
        hits = (logits.argmax(-1) == target).float().mean()
        return {"loss": F.cross_entropy(logits.float(), target), "count": mask.sum(),
                "accuracy": hits.detach()}  # fmt: skip

    @torch.inference_mode()
    def propose(self, X: np.ndarray, y: np.ndarray, beam: int = 20) -> list[Tree]:
        """Skeletons for points, best first, constants 1; none for more than `COLUMNS` columns.

        Args:
            X: [N, columns].
            y: [N].
            beam: hypotheses of the beam search.
        """
        columns = X.shape[1]
        if columns > COLUMNS:
            return []
        self.eval()
        device = next(self.parameters()).device
        used = torch.zeros(1, COLUMNS, device=device)
        used[:, :columns] = 1
        points = torch.tensor(standardised(X, y, self.config.points), device=device)[None]
        arity = torch.full((len(WORDS),), -1)
        for word, i in INDEX.items():
            if word in _ARITY or word == "c" or word in [f"x{k}" for k in range(columns)]:
                arity[i] = _ARITY.get(word, 0)
        hypotheses = self.decoder.beam_search(
            self.encode(points, used), beam, self.config.longest,
            PrefixGrammar(arity, INDEX["<end>"]),
        )  # fmt: skip
        return [tree(sequence) for sequence in hypotheses.lists(0) if sequence]

    def proposals(self, beam: int = 20) -> Callable[[np.ndarray, np.ndarray], list[Tree]]:
        """`propose` with that beam, for `SymbolicRegressor(proposals=...)`."""
        return partial(self.propose, beam=beam)

    # ------------------------------------------------------------------ disk
    def describe(self) -> dict[str, Any]:
        return {"kind": "skeletons", "config": to_dict(self.config)}

    @classmethod
    def restore(
        cls, description: dict[str, Any], tensors: dict[str, Tensor], path: Path, **options: Any
    ) -> SkeletonModel:
        if description.get("kind") != "skeletons":
            held = str(description.get("kind"))[:60]
            raise InputError(f"holds no model of skeletons but {held}", where=path)
        config = from_dict(SkeletonConfig, description.get("config", {}), where=str(path))
        return loading.restore(lambda: cls(config), tensors, where=path)


def train(model: SkeletonModel, steps: int, out: Path, seed: int = 0, batch: int = 64) -> Any:
    """Train on random formulas, no example twice; see `sciml.train.fit` for what it returns."""
    from sciml.train import TrainConfig, fit

    settings = TrainConfig(steps=steps, batch_size=batch, lr=1e-3, ema=0.99, seed=seed)
    return fit(model, cast(Any, Examples(model.config, steps * batch, seed)), settings, out=out,
               collate=collate, title="skeletons")  # fmt: skip
