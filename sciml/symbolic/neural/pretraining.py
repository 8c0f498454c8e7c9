"""Unlabelled expressions for any trunk and objective: token sequences with their tree.

`READERS` follows `sciml.objectives.corpus`: a file of expressions, one per line (infix text,
or JSON lines with "expression", "problem" or "integrand"), becomes a corpus of dense batches with
`node_token` (ids) and `node_path` (positions in the tree).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sciml.data import shards
from sciml.data.on_disk import Spill, identity, made_once
from sciml.errors import InputError
from sciml.nn.tree import distance_bucket, prefix_paths, tree_bucket
from sciml.objectives.base import Embedder, changed
from sciml.objectives.corpus import Corpus
from sciml.paths import cache_dir
from sciml.symbolic.neural import vocabulary as vb

if TYPE_CHECKING:
    from torch_geometric.data import Data

MAX_TOKENS = 256
DEPTH = 12
BUCKETS, REACH = 16, 3
"""Buckets of the distance between tokens, and longest path up and down the tree, that the pair
features distinguish."""


STRIDE = 32
"""Every so many lines the place of one is kept; the lines between are read over."""


class Expressions:
    """The expressions of a file, read and parsed when they are indexed.

    Where the lines are is found once; for large files it is kept on disk.

    Args:
        path: one expression a line, or Parquet shards (a file or their folder) with the column
            `problem`.
        memory: bytes of places that stay in memory.
    """

    def __init__(self, path: Path, memory: int = 1 << 20) -> None:
        self.path = path
        found = shards.files(path)
        self.text: Any = None
        if found:
            arrays = made_once(
                cache_dir() / "expressions",
                {"text": ("uint8", ()), "places": ("int64", ())},
                {"files": [identity(file) for file in found], "version": 1},
                lambda spill: _fill_from_shards(spill, found),
                memory,
            )
            self.text = arrays["text"]
        else:
            arrays = made_once(
                cache_dir() / "expressions",
                {"places": ("int64", ())},
                {"files": [identity(path)], "stride": STRIDE, "version": 1},
                lambda spill: _fill(spill, path),
                memory,
            )
        self.places = arrays["places"]  # the last one is the number of lines
        self._count = int(self.places[-1])

    def __len__(self) -> int:
        return self._count

    def line(self, index: int) -> str:
        """The text of an expression."""
        block, skipped = divmod(index, STRIDE)
        start = int(self.places[block])
        if self.text is not None:
            lines = np.asarray(self.text[start : int(self.places[block + 1])]).tobytes()
            return lines.split(b"\n")[skipped].decode("utf-8", "replace").strip()
        with self.path.open("rb") as file:
            file.seek(start)
            lines_left = (line for line in file if line.strip())
            raw = next(itertools.islice(lines_left, skipped, None), b"")
        return raw.decode("utf-8", "replace").strip()

    def __getitem__(self, index: int) -> list[int]:
        """Token ids with the end token.

        Raises:
            InputError: names the line that is no expression.
        """
        from sciml.symbolic.expr.parser import Unknown, parse

        if not 0 <= index < self._count:
            raise IndexError(index)
        line = self.line(index)
        where = f"{self.path}, expression {index + 1}"
        try:
            text = _text(line)
            unknown = Unknown("y", "x") if "y" in text else None
            ids = vb.ids(parse(text, unknown=unknown))
        except InputError as error:
            raise InputError(str(error), where=where) from None
        return [*ids[: MAX_TOKENS - 1], vb.END]


def _fill(spill: Spill, path: Path) -> None:
    """Append where every `STRIDE`th line that is not blank begins, then the number of lines."""
    count, begun = 0, 0
    for start, chunk in _whole_lines(path):
        ends = np.flatnonzero(chunk == NEWLINE)
        if not len(ends) or ends[-1] != len(chunk) - 1:
            ends = np.append(ends, len(chunk) - 1)  # the last line of the file
        begins = np.concatenate([[0], ends[:-1] + 1])
        begins = begins[np.add.reduceat(_VISIBLE[chunk], begins) > 0] + start
        spill.append({"places": begins[(-count) % STRIDE :: STRIDE]})
        count, begun = count + len(begins), begun + len(chunk)
    spill.append({"places": np.array([begun, count])})


def _whole_lines(path: Path, size: int = 1 << 22) -> Iterator[tuple[int, np.ndarray]]:
    """(place, bytes) of consecutive parts of a file, each of whole lines."""
    with path.open("rb") as file:
        start = 0
        while part := file.read(size):
            part += file.readline()
            yield start, np.frombuffer(part, np.uint8)
            start += len(part)


NEWLINE = 10
_VISIBLE = np.array([not bytes([i]).isspace() for i in range(256)], np.int64)
"""1 for every byte that is not white space."""


def _fill_from_shards(spill: Spill, found: list[Path]) -> None:
    """Append the problems of shards, a line each, and the places as `_fill` does."""
    count, size = 0, 0
    shards.Rows(found, "problem")  # all files can be read
    for path in found:
        with shards.opened(path) as file:
            for batch in file.iter_batches(8192, columns=["problem"]):
                lines = [" ".join(t.split()).encode() for t in batch.column(0).to_pylist()]
                begins = size + np.cumsum([0, *(len(line) + 1 for line in lines)])
                text = b"".join(line + b"\n" for line in lines)
                spill.append({"text": np.frombuffer(text, np.uint8),
                              "places": begins[:-1][(-count) % STRIDE :: STRIDE]})  # fmt: skip
                count, size = count + len(lines), int(begins[-1])
    spill.append({"places": np.array([size, count])})


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
    """A file of expressions, or a folder of Parquet shards, as a corpus.

    Raises:
        InputError: the file is empty or its first lines are no expressions.
    """
    files = [path] if path.is_file() or shards.files(path) else sorted(path.glob("*.jsonl"))
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
