"""The tokens of a DEF file, its statements and sections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from sciml.placement.tokens import Text, character_table

_TABLE = character_table(long_quote='"')
WORDS = (
    "-", ";", "(", ")", "+", "PLACED", "FIXED", "COVER", "UNPLACED", "END", "DESIGN", "UNITS",
    "DIEAREA", "ROW", "COMPONENTS", "PINS", "NETS", "PIN", "WEIGHT", "DIRECTION", "NET", "*",
    "SPECIALNETS", "BLOCKAGES", "REGIONS", "GROUPS", "HALO", "REGION", "SOURCE",
    "PROPERTYDEFINITIONS", "BEGINEXT", "ENDEXT",
)  # fmt: skip
CODE = {word: i + 1 for i, word in enumerate(WORDS)}
"""Code of each word; 0 is every other token."""
PLACEMENTS = [CODE[word] for word in ("PLACED", "FIXED", "COVER")]


@njit(cache=True)
def _classify(buffer: Any, starts: Any, ends: Any, words: Any, lengths: Any, out: Any) -> None:
    for i in range(starts.shape[0]):
        out[i] = 0
        n = ends[i] - starts[i]
        if n >= words.shape[1]:
            continue
        for w in range(words.shape[0]):
            if lengths[w] == n:
                same = True
                for k in range(n):
                    if buffer[starts[i] + k] != words[w, k]:
                        same = False
                        break
                if same:
                    out[i] = w + 1
                    break


class DefFile:
    """The tokens of a DEF file with the codes of known words, and its sections."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = Text.open(path, _TABLE)
        words = np.zeros((len(WORDS), 20), np.uint8)
        for i, word in enumerate(WORDS):
            words[i, : len(word)] = list(word.encode())
        lengths = np.array([len(word) for word in WORDS])
        self.code = np.zeros(len(self.text), np.int8)
        _classify(self.text.buffer, self.text.starts, self.text.ends, words, lengths, self.code)
        for opening, closing in (("PROPERTYDEFINITIONS", "END"), ("BEGINEXT", "ENDEXT")):
            for a in np.flatnonzero(self.code == CODE[opening]).tolist():
                if self.code[a - 1] == CODE["END"]:
                    continue
                stops = np.flatnonzero(self.code[a:] == CODE[closing])
                if len(stops):  # the words between are not statements of the design
                    self.code[a + 1 : a + int(stops[0])] = 0
                    self.code[a + max(int(stops[0]) - 1, 0)] = CODE[";"]
        self.ends = np.flatnonzero(self.code == CODE[";"])
        self.sections: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.miscounted: list[str] = []

    def statement(self, word: str) -> np.ndarray:
        """Tokens with which statements of this word begin."""
        tokens = np.flatnonzero(self.code == CODE[word])
        opens = (tokens == 0) | (self.code[np.maximum(tokens - 1, 0)] == CODE[";"])
        before = self.code[np.maximum(tokens - 2, 0)]
        opens |= before == CODE["END"]  # END COMPONENTS has no semicolon
        return tokens[opens]

    def end_of(self, token: int) -> int:
        k = int(np.searchsorted(self.ends, token))
        if k == len(self.ends):
            raise self.text.error("the statement has no end", token, hint="Is the file cut off?")
        return int(self.ends[k])

    def section(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """(first token, end token) of every `- ... ;` in a section; a wrong count is noted."""
        if word not in self.sections:
            self.sections[word] = self._section(word)
        return self.sections[word]

    def _section(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        heads = self.statement(word)
        heads = heads[[self.code[max(t - 1, 0)] != CODE["END"] for t in heads]]
        if not len(heads):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        head = int(heads[0])
        begin = self.end_of(head)
        count = self.text.numbers(np.array([head + 1]), f"number of {word}")[0]
        closing = np.flatnonzero(
            (self.code[begin:-1] == CODE["END"]) & (self.code[begin + 1 :] == CODE[word])
        )
        if not len(closing):
            raise self.text.error(f"no END {word}", len(self.text), hint="Is the file cut off?")
        stop = begin + int(closing[0])
        dash = begin + np.flatnonzero(self.code[begin:stop] == CODE["-"])
        dash = dash[self.code[dash - 1] == CODE[";"]]
        if len(dash) != count:
            self.miscounted.append(f"{word} says {count:g}, but there are {len(dash):,}")
        if not len(dash):
            return dash, dash
        owner = np.searchsorted(self.ends, dash)
        return dash, self.ends[np.minimum(owner, len(self.ends) - 1)]

    def inside(self, codes: Sequence[str], dash: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens with one of these codes and the statement (of `dash`) each belongs to."""
        tokens = np.flatnonzero(np.isin(self.code, [CODE[c] for c in codes]))
        owner = np.searchsorted(dash, tokens, side="right") - 1
        end = self.ends[np.minimum(np.searchsorted(self.ends, dash), len(self.ends) - 1)]
        inside = (
            (owner >= 0) & (tokens < end[np.maximum(owner, 0)]) if len(dash) else np.zeros(0, bool)
        )
        return tokens[inside], owner[inside]
