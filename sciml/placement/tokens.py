"""Fast reading of text: a compiled tokeniser, exact numbers, and tables of names.

All three netlist formats are words separated by blanks. A file is held once as bytes; a token is
a pair of positions in it, so that 10^6 cells fit in bounded memory and Python strings are made only
on access. Numbers follow Clinger's fast path (PLDI 1990, "How to read
floating point numbers accurately"): up to 19 digits below 2^53 and powers of ten up to 22 are
exact in double precision; everything else goes through Python's own `float`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numba import njit

from sciml.errors import InputError
from sciml.files import unpack

WORD, SPACE, SINGLE, COMMENT, QUOTE, LONG_QUOTE = 0, 1, 2, 3, 4, 5
LARGEST = 2.0**31
"""Largest coordinate of LEF/DEF [database units, 32-bit integers]; no format needs more."""


def too_large(what: str, value: object, where: object) -> InputError:
    """An `InputError` for a coordinate beyond `LARGEST`."""
    return InputError(
        f"{what} {str(value)[:40]} is beyond what LEF/DEF can say (32-bit database units)",
        where=where,
    )


def character_table(
    singles: str = "", comment: str = "#", quote: str = "", long_quote: str = ""
) -> np.ndarray:
    """Classes of the 256 byte values: control characters and blanks separate words.

    Text between two marks of `quote` is one word and ends with its line, of `long_quote` it may
    span lines.
    """
    table = np.zeros(256, np.uint8)
    table[:33] = SPACE
    marks = ((singles, SINGLE), (comment, COMMENT), (quote, QUOTE), (long_quote, LONG_QUOTE))
    for text, cls in marks:
        for character in text:
            table[ord(character)] = cls
    return table


def read_bytes(path: str | os.PathLike[str]) -> np.ndarray:
    """The bytes of a file, unpacked if it is gzip, xz or bzip2 (by its first bytes).

    Raises:
        InputError: see `sciml.files.unpack.open_binary`.
    """
    return np.frombuffer(unpack.read_bytes(path), np.uint8)


@njit(cache=True)
def _tokenise(buffer: Any, table: Any, starts: Any, ends: Any) -> int:
    """Fill `starts`, `ends` (if they have room) and return how many tokens there are."""
    n = 0
    i = 0
    size = buffer.shape[0]
    room = starts.shape[0] > 0
    while i < size:
        cls = table[buffer[i]]
        if cls == SPACE:
            i += 1
            continue
        if cls == COMMENT:
            while i < size and buffer[i] != 10:
                i += 1
            continue
        a = i
        if cls == SINGLE:
            i += 1
        elif cls == QUOTE:
            mark = buffer[i]
            i += 1
            while i < size and buffer[i] != mark and buffer[i] != 10:
                i += 2 if buffer[i] == 92 and i + 1 < size else 1
            i = min(i + 1, size)
        elif cls == LONG_QUOTE:
            mark = buffer[i]
            i += 1
            if i + 1 < size and buffer[i] == 92 and buffer[i + 1] == mark:
                if i + 2 == size or table[buffer[i + 2]] == SPACE:
                    i += 1  # a lone backslash, as in DIVIDERCHAR "\\"
            while i < size and buffer[i] != mark:
                i += 2 if buffer[i] == 92 and i + 1 < size else 1
            i = min(i + 1, size)
        else:
            while i < size:
                c = table[buffer[i]]
                if c == SPACE or c == SINGLE or c == QUOTE or c == LONG_QUOTE:
                    break
                i += 1
        if room:
            starts[n] = a
            ends[n] = i
        n += 1
    return n


@njit(cache=True)
def _parse(buffer: Any, a: int, b: int) -> tuple[float, int]:
    """(value, state): state 0 exact, 1 to be parsed by Python's float, 2 not a number."""
    i = a
    sign = 1.0
    if i < b and (buffer[i] == 45 or buffer[i] == 43):
        if buffer[i] == 45:
            sign = -1.0
        i += 1
    mantissa = 0
    digits = 0
    exponent = 0
    seen = False
    point = False
    while i < b:
        c = buffer[i]
        if 48 <= c <= 57:
            seen = True
            if digits >= 18:
                return 0.0, 1
            if mantissa > 0 or c > 48:
                digits += 1
            mantissa = mantissa * 10 + (c - 48)
            if point:
                exponent -= 1
        elif c == 46 and not point:
            point = True
        else:
            break
        i += 1
    if not seen:
        return 0.0, 1 if b - a <= 9 else 2  # "nan", "inf": Python decides
    if i < b:
        if buffer[i] != 101 and buffer[i] != 69:
            return 0.0, 2
        i += 1
        negative = False
        if i < b and (buffer[i] == 45 or buffer[i] == 43):
            negative = buffer[i] == 45
            i += 1
        if i >= b or b - i > 4:
            return 0.0, 2
        e = 0
        while i < b:
            if not 48 <= buffer[i] <= 57:
                return 0.0, 2
            e = e * 10 + (buffer[i] - 48)
            i += 1
        exponent += -e if negative else e
    if mantissa > 9007199254740992 or exponent > 22 or exponent < -22:
        return 0.0, 1
    value = float(mantissa)
    power = 1.0
    for _ in range(abs(exponent)):
        power *= 10.0  # exact up to 1e22
    return sign * (value / power if exponent < 0 else value * power), 0


@njit(cache=True)
def _parse_many(buffer: Any, starts: Any, ends: Any, out: Any, state: Any) -> None:
    for i in range(starts.shape[0]):
        out[i], state[i] = _parse(buffer, starts[i], ends[i])


@njit(cache=True)
def _hash(buffer: Any, a: int, b: int) -> Any:
    h = np.uint64(14695981039346656037)  # FNV-1a
    for i in range(a, b):
        h = (h ^ np.uint64(buffer[i])) * np.uint64(1099511628211)
    return h


@njit(cache=True)
def _same(one: Any, a: int, b: int, two: Any, c: int, d: int) -> bool:
    if b - a != d - c:
        return False
    for i in range(b - a):
        if one[a + i] != two[c + i]:
            return False
    return True


@njit(cache=True)
def _build_table(buffer: Any, starts: Any, ends: Any, table: Any) -> int:
    """Open addressing; returns the index of the first repeated name, or -1."""
    mask = np.uint64(table.shape[0] - 1)
    for i in range(starts.shape[0]):
        slot = _hash(buffer, starts[i], ends[i]) & mask
        while table[slot] >= 0:
            j = table[slot]
            if _same(buffer, starts[i], ends[i], buffer, starts[j], ends[j]):
                return i
            slot = (slot + np.uint64(1)) & mask
        table[slot] = i
    return -1


@njit(cache=True)
def _look_up(
    buffer: Any, starts: Any, ends: Any, table: Any, query: Any, qs: Any, qe: Any, out: Any
) -> None:
    mask = np.uint64(table.shape[0] - 1)
    for i in range(qs.shape[0]):
        slot = _hash(query, qs[i], qe[i]) & mask
        out[i] = -1
        while table[slot] >= 0:
            j = table[slot]
            if _same(query, qs[i], qe[i], buffer, starts[j], ends[j]):
                out[i] = j
                break
            slot = (slot + np.uint64(1)) & mask


class Text:
    """A tokenised file: `text[i]` is token i as a string, `text.raw(i)` its bytes."""

    def __init__(self, buffer: np.ndarray, table: np.ndarray, where: object = "text") -> None:
        self.buffer, self.where = buffer, where
        none = np.empty(0, np.int64)
        n = _tokenise(buffer, table, none, none)
        self.starts, self.ends = np.empty(n, np.int64), np.empty(n, np.int64)
        if n:
            _tokenise(buffer, table, self.starts, self.ends)

    @classmethod
    def open(cls, path: str | os.PathLike[str], table: np.ndarray) -> Text:
        return cls(read_bytes(path), table, path)

    def __len__(self) -> int:
        return len(self.starts)

    def raw(self, i: int) -> bytes:
        return self.buffer[self.starts[i] : self.ends[i]].tobytes()

    def __getitem__(self, i: int) -> str:
        return self.raw(i).decode("utf-8", "replace")

    def line(self, i: int) -> int:
        """The line (from 1) of token i; the last line for the end of the file."""
        stop = self.starts[i] if i < len(self) else len(self.buffer)
        return int((self.buffer[:stop] == 10).sum()) + 1

    def error(self, what: str, i: int, hint: str | None = None) -> InputError:
        return InputError(what, where=f"{self.where}, line {self.line(i)}", hint=hint)

    def lengths(self, tokens: np.ndarray, what: str, limit: float = LARGEST) -> np.ndarray:
        """`numbers` that are coordinates or sizes, none beyond `limit`.

        Raises:
            InputError: one of them is not a finite number, or too large.
        """
        values = self.numbers(tokens, what)
        for k in np.flatnonzero(np.abs(values) > limit)[:1].tolist():
            i = int(np.asarray(tokens)[k])
            raise too_large(what, self[i], f"{self.where}, line {self.line(i)}")
        return values

    def numbers(self, tokens: np.ndarray, what: str) -> np.ndarray:
        """The values of the tokens with these indices, all finite.

        Raises:
            InputError: one of them is not a finite number.
        """
        tokens = np.asarray(tokens, np.int64)
        out, state = np.zeros(len(tokens)), np.zeros(len(tokens), np.int8)
        _parse_many(self.buffer, self.starts[tokens], self.ends[tokens], out, state)
        for k in np.nonzero(state)[0]:
            i = int(tokens[k])
            try:
                out[k] = float(self[i]) if state[k] == 1 else np.nan
            except ValueError:
                out[k] = np.nan
            if not np.isfinite(out[k]):
                raise self.error(f"{what} must be a finite number, got {self[i]!r}", i)
        return out

    def names(self, tokens: np.ndarray) -> Names:
        tokens = np.asarray(tokens, np.int64)
        return Names(self.buffer, self.starts[tokens], self.ends[tokens])


class Names(Sequence[str]):
    """An immutable list of names kept as bytes, with a hash table for look-ups."""

    def __init__(self, buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        self.buffer = buffer
        self.starts, self.ends = starts.astype(np.int64), ends.astype(np.int64)
        self._table: np.ndarray | None = None

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        raw = [name.encode() for name in names]
        ends = np.cumsum([len(r) for r in raw], dtype=np.int64) if raw else np.empty(0, np.int64)
        starts = np.concatenate([[0], ends[:-1]]).astype(np.int64) if raw else ends
        return cls(np.frombuffer(b"".join(raw), np.uint8), starts, ends)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, (slice, np.ndarray, list)):
            return Names(self.buffer, self.starts[i], self.ends[i])
        return self.buffer[self.starts[i] : self.ends[i]].tobytes().decode("utf-8", "replace")

    def __iter__(self) -> Iterator[str]:
        data = self.buffer.tobytes()
        for a, b in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield data[a:b].decode("utf-8", "replace")

    @property
    def table(self) -> np.ndarray:
        """The hash table; building it notes the first repeated name."""
        if self._table is None:
            size = 1 << max(4, int(2 * len(self) + 1).bit_length())
            table = np.full(size, -1, np.int64)
            self.repeated = _build_table(self.buffer, self.starts, self.ends, table)
            self._table = table
        return self._table

    def first_repeated(self) -> int:
        """Index of the first name that occurred before, or -1."""
        return self.repeated if self.table is not None else -1

    def find(self, query: Names) -> np.ndarray:
        """Index of each queried name in this list, -1 where it is unknown."""
        out = np.empty(len(query), np.int64)
        table = self.table
        _look_up(
            self.buffer, self.starts, self.ends, table, query.buffer, query.starts, query.ends, out
        )
        return out
