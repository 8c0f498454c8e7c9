"""Problems and answers as token ids, held compactly: what the network is trained on.

Rows come from the generators in the shares asked for, no longer than asked for, none of them in a
set of held-out problems (compared by structural key). A quarter of a million pairs take some 15 MB.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml.errors import InputError
from sciml.files import unpack
from sciml.paths import atomic_write
from sciml.symbolic.expr.expression import Expr, TooLarge, Undefined
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.generate import problems as generate
from sciml.symbolic.neural import vocabulary as vb

Ids = list[int]
UNKNOWN = Unknown("y", "x")
"""The function that generated differential equations ask for."""
_CHARACTERS = 3
"""A text of more than this many characters a token allowed is not even parsed."""


def task_of(kind: str) -> str:
    """The task that a generator's problems pose."""
    return kind if kind in vb.TASKS else "integrate"


def encode(
    problem: str, answer: str, longest: tuple[int, int], task: str = "integrate"
) -> tuple[Ids, Ids] | None:
    """Ids of a pair (task token first, end token last); None where it is longer than `longest`
    (problem, answer) [tokens], or the vocabulary lacks something."""
    if len(problem) > _CHARACTERS * longest[0] or len(answer) > _CHARACTERS * longest[1]:
        return None
    try:
        unknown = None if task == "integrate" else UNKNOWN
        source = [vb.INDEX[f"<{task}>"], *vb.ids(parse(problem, unknown=unknown))]
        if len(source) > longest[0]:
            return None
        target = [*vb.ids(parse(answer)), vb.END]
    except (InputError, TooLarge, Undefined):
        return None
    return (source, target) if len(target) <= longest[1] else None


class Pairs(Sequence[Any]):
    """Pairs of id lists in flat arrays; an item is (source ids, target ids).

    Attributes:
        equivalent: the share of the problems that are shown in another form with the same meaning
            (drawn from torch's global random numbers).
        hidden: whether the expressions themselves are asked for, from sources in which whole
            subtrees are hidden.
        keys: structural keys of the problems.
    """

    def __init__(self, rows: Iterable[tuple[int, Ids, Ids]]) -> None:
        ends, flat, keys = [0], bytearray(), []
        for key, source, target in rows:
            keys.append(key)
            for part in (source, target):
                flat += bytes(part)
                ends.append(len(flat))
        self.flat = np.frombuffer(bytes(flat), np.uint8)
        self.ends = np.array(ends, np.int64)
        self.problem_keys = np.array(keys, np.int64)
        self.equivalent, self.hidden = 0.0, False

    @classmethod
    def draw(
        cls, shares: Mapping[str, float], count: int, seed: int, longest: tuple[int, int],
        exclude: Collection[int] = (),
    ) -> Pairs:  # fmt: skip
        """`count` pairs from the generators, kind by kind in proportion to `shares`.

        Raises:
            InputError: no share is positive, or `longest` leaves nothing.
        """
        if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
            raise InputError(f"`shares` must be positive, got {dict(shares)}")
        total = sum(shares.values())

        def rows() -> Iterator[tuple[int, Ids, Ids]]:
            seen = set(exclude)
            for kind, share in shares.items():
                wanted = round(count * share / total)
                if wanted:
                    yield from _kind(kind, wanted, seed, longest, seen)

        return cls(rows())

    @classmethod
    def join(cls, parts: Sequence[Pairs]) -> Pairs:
        """All pairs of several sets, with the settings of the first."""
        out = cls(())
        out.flat = np.concatenate([part.flat for part in parts])
        out.problem_keys = np.concatenate([part.problem_keys for part in parts])
        sizes = np.concatenate([np.diff(part.ends) for part in parts])
        out.ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        out.equivalent, out.hidden = parts[0].equivalent, parts[0].hidden
        return out

    def save(self, path: Path) -> None:
        """Write the arrays (.npz)."""
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez(file, flat=self.flat, ends=self.ends, keys=self.problem_keys)

    @classmethod
    def load(cls, path: Path) -> Pairs:
        """Read what `save` wrote."""
        out = cls(())
        with np.load(path, allow_pickle=False) as data:
            out.flat, out.ends, out.problem_keys = data["flat"], data["ends"], data["keys"]
        return out

    @property
    def keys(self) -> set[int]:
        """Structural keys of the problems."""
        return set(self.problem_keys.tolist())

    @property
    def lengths(self) -> np.ndarray:
        """[len] tokens of problem and answer together."""
        return self.ends[2::2] - self.ends[:-1:2]

    def digest(self) -> str:
        """sha256 of all tokens and their places."""
        return hashlib.sha256(self.flat.tobytes() + self.ends.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.ends) // 2

    def pair(self, index: int) -> tuple[Ids, Ids]:
        """The ids as they are stored."""
        a, b, c = self.ends[2 * index : 2 * index + 3]
        return self.flat[a:b].tolist(), self.flat[b:c].tolist()

    def __getitem__(self, index: Any) -> Any:
        from sciml.symbolic.neural.augment import equivalent, hidden_subtrees

        source, target = self.pair(int(index))
        if self.hidden:
            return [source[0], *hidden_subtrees(source[1:])], [*source[1:], vb.END]
        if self.equivalent and torch.rand(()) < self.equivalent:
            try:
                other = [source[0], *vb.ids(equivalent(vb.expression(source)))]
            except (InputError, TooLarge, Undefined):
                return source, target
            if len(other) <= 2 * len(source):
                source = other
        return source, target


def rows_of(kind: str, seed: int, exclude: Collection[int]) -> Iterator[generate.Row]:
    """Endless rows of a generator; "plain" is BWD of few operators without compilation, for tests
    and first steps."""
    if kind == "plain":
        return itertools.chain.from_iterable(
            generate.reference(seed, start, 16, 3) for start in itertools.count(0, 16)
        )
    return generate.stream(kind, seed, exclude=exclude)  # type: ignore[arg-type]


def _kind(
    kind: str, wanted: int, seed: int, longest: tuple[int, int], seen: set[int]
) -> Iterator[tuple[int, Ids, Ids]]:
    tried, kept = 0, 0
    for key, problem, answer in rows_of(kind, seed, seen):
        tried += 1
        pair = None if key in seen else encode(problem, answer, longest, task_of(kind))
        if pair is not None:
            seen.add(key)
            kept += 1
            yield key, *pair
        if kept == wanted:
            return
        if tried >= 5000 and kept < tried / 1000:
            raise InputError(f"of {tried} {kind} pairs only {kept} are within {longest} tokens")


def unsolved(
    seed: int, longest: int, exclude: Collection[int], plain: bool = False
) -> Iterator[tuple[int, Expr]]:
    """Endless random functions of x, without answers, and their keys (`plain`: see `rows_of`)."""
    seen = set(exclude)
    for key, shown, _ in rows_of("plain", seed, ()) if plain else _functions(seed):
        f = parse(shown)
        if key not in seen and "x" in f.free and len(vb.ids(f)) < longest:
            seen.add(key)
            yield key, f


def _functions(seed: int) -> Iterator[generate.Row]:
    from sciml.symbolic.generate import sampling

    start, count = 0, 256
    while True:
        text = np.empty(count * 2048 + 65536, np.uint8)
        ends, found = np.zeros((count, 2), np.int64), np.zeros(count, np.int64)
        made = sampling.forward(generate._arena(), seed, start, count, 8, text, ends, found)
        yield from generate._rows(text, ends, found, made)
        start += count


def read_problems(path: Path) -> list[Expr]:
    """The problems of a file: JSON lines with "integrand", "ode" or "problem", or the published
    prefix format (see `tokens`); plain or gzip. Lines that this package's notation lacks are left
    out.

    Raises:
        InputError: not one line could be read.
    """
    from sciml.paths import existing_file
    from sciml.symbolic.expr.tokens import parse_prefix

    raw = unpack.read_bytes(existing_file(path, "file of problems"))
    out: list[Expr] = []
    first: Exception | None = None
    for line in raw.decode("utf-8", "replace").splitlines():
        if not line.strip():
            continue
        try:
            if line.lstrip().startswith("{"):
                row = json.loads(line)
                asked = str(row.get("integrand") or row.get("ode") or row.get("problem"))
                out.append(parse(asked, unknown=UNKNOWN if "y" in asked else None))
            else:
                shown = line.split("|", 1)[-1].split("\t")[0].split()
                out.append(parse_prefix(shown[2:] if shown[:2] == ["sub", "Y'"] else shown))
        except (ValueError, TooLarge, Undefined) as error:
            first = first or error
    if not out:
        raise InputError(f"holds no problem that can be read ({first})", where=path)
    return out


def keys(problems: Iterable[Expr], compiled: bool = True) -> set[int]:
    """Structural keys by which the generators leave these problems out; `compiled`: those of the
    compiled generators, too."""
    out = set()
    for e in problems:
        out.add(e.key)
        if compiled:
            out.add(_arena_key(e))
    return out


def _arena_key(e: Expr) -> int:
    from sciml.symbolic.expr.tokens import to_prefix
    from sciml.symbolic.generate import arena, arena_text

    tokens = [arena_text.INDEX.get(t, -1) for t in to_prefix(e)]
    if -1 in tokens:  # nothing that the compiled generators could make
        return e.key
    a = generate._arena()
    arena.begin(a)
    node = arena_text.read(a, np.array(tokens, np.int64), len(tokens))
    return int(a[arena.A_KEY + node])
