"""Unlabelled expressions for any trunk and objective: token sequences with their tree.

`READERS` follows `sciml.objectives.corpus`: a file of expressions, one per line (infix text,
or JSON lines with "expression", "problem" or "integrand"), becomes a corpus of dense batches with
`node_token` (ids) and `node_path` (positions in the tree).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from sciml.errors import InputError
from sciml.nn.tree import distance_bucket, prefix_paths, tree_bucket
from sciml.objectives.base import Embedder, changed
from sciml.objectives.corpus import Corpus
from sciml.symbolic.neural import vocabulary as vb

if TYPE_CHECKING:
    from torch_geometric.data import Data

MAX_TOKENS = 256
DEPTH = 12
BUCKETS, REACH = 16, 3
"""Buckets of the distance between tokens, and longest path up and down the tree, that the pair
features distinguish."""


class Expressions:
    """The expressions of a file, read and parsed when they are indexed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            starts, at = [], 0
            for line in file:
                if line.strip():
                    starts.append(at)
                at += len(line)
        self.starts = np.array(starts, np.int64)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> list[int]:
        """Token ids with the end token.

        Raises:
            InputError: names the line that is no expression.
        """
        from sciml.symbolic.expr.parser import Unknown, parse

        with self.path.open("rb") as file:
            file.seek(self.starts[index])
            line = file.readline().decode("utf-8", "replace").strip()
        where = f"{self.path}, expression {index + 1}"
        try:
            text = _text(line)
            unknown = Unknown("y", "x") if "y" in text else None
            ids = vb.ids(parse(text, unknown=unknown))
        except InputError as error:
            raise InputError(str(error), where=where) from None
        return [*ids[: MAX_TOKENS - 1], vb.END]


def _text(line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error})") from None
    for key in ("expression", "problem", "integrand", "ode"):
        if isinstance(row.get(key), str):
            return str(row[key])
    raise InputError('needs "expression", "problem" or "integrand" with text')


def collate(items: list[list[int]]) -> Data:
    """Token id lists -> dense batch with ids, paths and relations in the tree."""
    from torch_geometric.data import Data

    n = max(len(item) for item in items)
    tokens = torch.full((len(items), n), vb.PAD)
    for i, item in enumerate(items):
        tokens[i, : len(item)] = torch.tensor(item)
    mask = tokens != vb.PAD
    return Data(
        x=torch.nn.functional.one_hot(tokens, len(vb.WORDS)).float(),
        mask=mask,
        node_token=tokens,
        node_path=prefix_paths(tokens, vb.arities(), DEPTH),
    )


class TokenEmbedder(Embedder):
    """Token ids to features of the trunk's width; hidden tokens become the mask token.

    The pair features encode the distance of two tokens and their relation in the tree, so that a
    trunk without positional encoding does not see a bag of tokens. A hidden token keeps its
    position.
    """

    def __init__(self, dim: int, pair_dim: int = 0) -> None:
        super().__init__()
        self.tokens = nn.Embedding(len(vb.WORDS), dim)
        nn.init.normal_(self.tokens.weight, std=0.5)
        self.distances = nn.Embedding(BUCKETS, pair_dim) if pair_dim else None
        self.relations = nn.Embedding((REACH + 1) ** 2, pair_dim) if pair_dim else None

    def target_sizes(self) -> dict[str, int]:
        return {"token": len(vb.WORDS)}

    def targets(self, batch: Data) -> dict[str, torch.Tensor]:
        """The token of each node; -1 for padding."""
        return {"token": torch.where(batch.mask, batch.node_token, -1)}

    def choose(self, batch: Data, fraction: float) -> torch.Tensor:
        """Whole subtrees of each expression (objective `masked`, shape `own`)."""
        return subtree_mask(batch.node_token, fraction)

    def forward(self, batch: Data, hidden: torch.Tensor | None = None) -> Data:
        tokens = batch.node_token
        if hidden is not None:
            tokens = torch.where(hidden, vb.MASK, tokens)
        values = {"x": self.tokens(tokens)}
        if self.distances is not None and self.relations is not None:
            index = torch.arange(tokens.shape[1], device=tokens.device)
            away = distance_bucket(index - index[:, None], BUCKETS, MAX_TOKENS, causal=False)
            related = tree_bucket(batch.node_path, batch.node_path, REACH)
            values["pair"] = self.distances(away) + self.relations(related)
        return changed(batch, **values)


def subtree_mask(tokens: torch.Tensor, share: float = 0.3) -> torch.Tensor:
    """[B, N] bool: random whole subtrees, about `share` of the tokens; at least one token, and
    never all of an expression of several.

    Drawn from torch's global random numbers.
    """
    arity = vb.arities().tolist()
    out = torch.zeros(tokens.shape, dtype=torch.bool)
    for i, row in enumerate(tokens.tolist()):
        length = sum(t > vb.MASK for t in row)
        if not length:
            continue
        goal = max(1, int(share * length))
        for _ in range(20):
            at = int(torch.randint(length, ()))
            while at and arity[row[at]] < 0:  # a digit: its number starts at the sign
                at -= 1
            end, open_ = at, 1
            while end < length and open_ > 0:
                a = arity[row[end]]
                open_ += a - 1 if a >= 0 else 0
                end += 1
            while end < length and arity[row[end]] < 0:
                end += 1
            if end - at <= max(2, 2 * goal) and (at or end < length or length == 1):
                out[i, at:end] = True
            if int(out[i].sum()) >= goal:
                break
        if not out[i].any():  # no subtree was small enough: the last leaf
            last = length - 1
            while last and arity[row[last]] < 0:
                last -= 1
            out[i, last:length] = True
    return out.to(tokens.device)


def read(path: Path) -> Corpus:
    """A file of expressions as a corpus.

    Raises:
        InputError: the file is empty or its first lines are no expressions.
    """
    files = [path] if path.is_file() else sorted(p for p in path.glob("*.jsonl"))
    if len(files) != 1:
        raise InputError(f"one file of expressions is needed, found {len(files)}", where=path)
    dataset = Expressions(files[0])
    for i in range(min(20, len(dataset))):
        dataset[i]
    return Corpus(
        name=str(path), dataset=dataset, collate=collate, embedder=TokenEmbedder,
        vocabulary=len(vb.WORDS), settings={"domain": "symbolic"},
    )  # fmt: skip


READERS: dict[str, Callable[[Path], Corpus]] = {
    "symbolic": read, "expressions": read, ".expr": read,
}  # fmt: skip
