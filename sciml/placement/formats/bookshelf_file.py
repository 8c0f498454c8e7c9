"""The words of a Bookshelf file, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from sciml.errors import InputError
from sciml.placement.tokens import Text, character_table, read_bytes

_TABLE = character_table(singles="\n")


@njit(cache=True)
def _lines(buffer: Any, starts: Any, ends: Any, first: Any, count: Any) -> int:
    """Split tokens into lines (first token, number of tokens). Returns the number of lines."""
    n = 0
    begin = -1
    for i in range(starts.shape[0]):
        if buffer[starts[i]] == 10:
            if begin >= 0:
                first[n] = begin
                count[n] = i - begin
                n += 1
                begin = -1
        elif begin < 0:
            begin = i
    if begin >= 0:
        first[n] = begin
        count[n] = starts.shape[0] - begin
        n += 1
    return n


class BookshelfFile:
    """The words of a Bookshelf file, line by line, without lone colons."""

    def __init__(self, path: Path) -> None:
        self.path = path
        buffer = read_bytes(path)
        text = Text(buffer, _TABLE, path)
        keep = np.ones(len(text), bool)
        starts, ends = text.starts, text.ends
        # "x:" and ":x" lose their colon, ":" is dropped.
        colon = ord(":")
        head = buffer[starts] == colon if len(text) else keep
        tail = buffer[ends - 1] == colon if len(text) else keep
        length = ends - starts
        keep &= ~(head & (length == 1))
        starts = np.where(head & (length > 1), starts + 1, starts)
        ends = np.where(tail & (length > 1), ends - 1, ends)
        text.starts, text.ends = starts[keep], ends[keep]
        self.text = text
        n = len(text)
        first, count = np.empty(n, np.int64), np.empty(n, np.int64)
        lines = _lines(buffer, text.starts, text.ends, first, count) if n else 0
        self.first, self.count = first[:lines].copy(), count[:lines].copy()
        if lines and self.text[int(self.first[0])].upper() == "UCLA":
            self.first, self.count = self.first[1:], self.count[1:]

    def words(self, line: int) -> list[str]:
        a = int(self.first[line])
        return [self.text[i] for i in range(a, a + int(self.count[line]))]

    def header(self, *keys: str) -> dict[str, int]:
        """Remove leading `Key value` lines with these keys; returns their integers."""
        counts: dict[str, int] = {}
        lower = {key.lower(): key for key in keys}
        while len(self.first):
            words = " ".join(self.words(0)).replace(":", " ").split()  # "NumNodes:5", too
            if not words or words[0].lower() not in lower:
                break
            try:
                counts[lower[words[0].lower()]] = int(float(words[1]))
            except (IndexError, ValueError, OverflowError):
                raise self.text.error(
                    f"{words[0]} needs a whole number", int(self.first[0])
                ) from None
            self.first, self.count = self.first[1:], self.count[1:]
        return counts

    def error(self, what: str, line: int, hint: str | None = None) -> InputError:
        return self.text.error(what, int(self.first[line]), hint)

    def at_least(self, words: int, what: str) -> None:
        bad = np.flatnonzero(self.count < words)
        if len(bad):
            raise self.error(f"expected {what}, got {' '.join(self.words(int(bad[0])))[:60]!r}",
                             int(bad[0]))  # fmt: skip
