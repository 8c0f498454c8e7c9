"""The training set of the network: problems and answers as token ids in flat arrays.

Pairs are drawn from the generators in given shares, up to a maximal length, without the problems of
a held-out set (compared by structural key). A million of them take some 70 MB in their file, where
they stay: those that were loaded are read from it one by one.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml.data.on_disk import OnDisk, stored
from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.symbolic.expr.expression import Expr, TooLarge, Undefined
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.generate.problem_files import UNKNOWN
from sciml.symbolic.generate.problems import Row, stream
from sciml.symbolic.neural import vocabulary as vb

Ids = list[int]
_CHARACTERS = 3
"""Characters per token of the limit above which a text is not even parsed."""


def task_of(kind: str) -> str:
    """The task of a generator's problems."""
    return kind if kind in vb.TASKS else "integrate"


def encode(
    problem: str, answer: str, max_tokens: tuple[int, int], task: str = "integrate"
) -> tuple[Ids, Ids] | None:
    """Ids of a pair (task token first, end token last); None where it is longer than `max_tokens`
    (of problem, of answer), or has a function that the vocabulary lacks."""
    if len(problem) > _CHARACTERS * max_tokens[0] or len(answer) > _CHARACTERS * max_tokens[1]:
        return None
    try:
        unknown = None if task == "integrate" else UNKNOWN
        source = [vb.INDEX[f"<{task}>"], *vb.ids(parse(problem, unknown=unknown))]
        if len(source) > max_tokens[0]:
            return None
        target = [*vb.ids(parse(answer)), vb.END]
    except (InputError, TooLarge, Undefined):
        return None
    return (source, target) if len(target) <= max_tokens[1] else None


class Lengths:
    """[number of pairs] tokens of problem and answer together: `lengths[indices]`.

    Args:
        ends: of problems and answers, in turn, after a first 0; in memory or on disk.
    """

    def __init__(self, ends: np.ndarray | OnDisk) -> None:
        self.ends = ends

    def __len__(self) -> int:
        return len(self.ends) // 2

    def __getitem__(self, index: Any) -> Any:
        index = np.asarray(index)
        return self.ends[2 * index + 2] - self.ends[2 * index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        ends = np.asarray(self.ends)
        return (ends[2::2] - ends[:-2:2]).astype(dtype or ends.dtype, copy=False)


class Pairs(Sequence[Any]):
    """Pairs of id lists in flat arrays; an item is (source ids, target ids).

    Attributes:
        equivalent: share of the problems that are rewritten in an equivalent form (drawn from
            torch's global random numbers).
        hidden: whether the target is the problem itself and whole subtrees of the source are masked
            (pretraining) instead of the answer.
        keys: structural keys of the problems.
    """

    def __init__(self, rows: Iterable[tuple[int, Ids, Ids]]) -> None:
        ends, flat, keys = [0], bytearray(), []
        for key, source, target in rows:
            keys.append(key)
            for part in (source, target):
                flat += bytes(part)
                ends.append(len(flat))
        self.flat: np.ndarray | OnDisk = np.frombuffer(bytes(flat), np.uint8)
        self.ends: np.ndarray | OnDisk = np.array(ends, np.int64)
        self.problem_keys: np.ndarray | OnDisk = np.array(keys, np.int64)
        self.equivalent, self.hidden = 0.0, False

    @classmethod
    def draw(
        cls, shares: Mapping[str, float], count: int, seed: int, max_tokens: tuple[int, int],
        exclude: Collection[int] = (),
    ) -> Pairs:  # fmt: skip
        """`count` pairs from the generators, kind by kind in proportion to `shares`.

        Raises:
            InputError: no share is positive, or `max_tokens` leaves nothing.
        """
        if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
            raise InputError(f"`shares` must be positive, got {dict(shares)}")
        total = sum(shares.values())

        def rows() -> Iterator[tuple[int, Ids, Ids]]:
            seen = set(exclude)
            for kind, share in shares.items():
                if number := round(count * share / total):
                    yield from _draw(kind, number, seed, max_tokens, seen)

        return cls(rows())

    @classmethod
    def join(cls, parts: Sequence[Pairs]) -> Pairs:
        """The pairs of several sets in memory, with the settings of the first."""
        out = cls(())
        out.flat = np.concatenate([np.asarray(part.flat) for part in parts])
        out.problem_keys = np.concatenate([np.asarray(part.problem_keys) for part in parts])
        sizes = np.concatenate([np.diff(np.asarray(part.ends)) for part in parts])
        out.ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        out.equivalent, out.hidden = parts[0].equivalent, parts[0].hidden
        return out

    def save(self, path: Path) -> None:
        """Write the arrays (.npz)."""
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez(file, flat=self.flat, ends=self.ends, keys=self.problem_keys)

    @classmethod
    def load(cls, path: Path) -> Pairs:
        """What `save` wrote; it stays in the file."""
        out = cls(())
        data = stored(path)
        out.flat, out.ends, out.problem_keys = data["flat"], data["ends"], data["keys"]
        return out

    @property
    def keys(self) -> set[int]:
        """Structural keys of the problems."""
        return set(self.problem_keys.tolist())

    @property
    def lengths(self) -> Lengths:
        """[len] tokens of problem and answer together."""
        return Lengths(self.ends)

    def digest(self) -> str:
        """sha256 of all tokens and where their sequences end."""
        flat, ends = np.asarray(self.flat), np.asarray(self.ends)
        return hashlib.sha256(flat.tobytes() + ends.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.ends) // 2

    def pair(self, index: int) -> tuple[Ids, Ids]:
        """(source, target) as they are stored."""
        a, b, c = self.ends[2 * index : 2 * index + 3]
        return self.flat[a:b].tolist(), self.flat[b:c].tolist()

    def __getitem__(self, index: Any) -> Any:
        from sciml.symbolic.neural.augment import equivalent, masked_subtrees

        source, target = self.pair(int(index))
        if self.hidden:
            return [source[0], *masked_subtrees(source[1:])], [*source[1:], vb.END]
        if self.equivalent and torch.rand(()) < self.equivalent:
            try:
                other = [source[0], *vb.ids(equivalent(vb.expression(source)))]
            except (InputError, TooLarge, Undefined):
                return source, target
            if len(other) <= 2 * len(source):
                source = other
        return source, target


def rows_of(kind: str, seed: int, exclude: Collection[int]) -> Iterator[Row]:
    """Endless rows of a generator; "plain" is BWD of few operators without compilation, for tests
    and first steps."""
    if kind == "plain":
        from sciml.symbolic.generate import uncompiled

        return itertools.chain.from_iterable(
            uncompiled.bwd(seed, start, 16, 3) for start in itertools.count(0, 16)
        )
    return stream(kind, seed, exclude=exclude)  # type: ignore[arg-type]


def _draw(
    kind: str, number: int, seed: int, max_tokens: tuple[int, int], seen: set[int]
) -> Iterator[tuple[int, Ids, Ids]]:
    tried, accepted = 0, 0
    for key, problem, answer in rows_of(kind, seed, seen):
        tried += 1
        pair = None if key in seen else encode(problem, answer, max_tokens, task_of(kind))
        if pair is not None:
            seen.add(key)
            accepted += 1
            yield key, *pair
        if accepted == number:
            return
        if tried >= 5000 and accepted < tried / 1000:
            raise InputError(
                f"of {tried} {kind} pairs only {accepted} are within {max_tokens} tokens"
            )


def unsolved(
    seed: int, max_tokens: int, exclude: Collection[int], plain: bool = False
) -> Iterator[tuple[int, Expr]]:
    """Endless random functions of x, without answers, and their keys (`plain`: see `rows_of`)."""
    seen = set(exclude)
    for key, text, _ in rows_of("plain", seed, ()) if plain else _random_functions(seed):
        f = parse(text)
        if key not in seen and "x" in f.free and len(vb.ids(f)) < max_tokens:
            seen.add(key)
            yield key, f


def _random_functions(seed: int) -> Iterator[Row]:
    from sciml.symbolic.generate import integrals

    for start in itertools.count(0, 256):
        yield from integrals.random_functions(seed, start, 256, 8)
