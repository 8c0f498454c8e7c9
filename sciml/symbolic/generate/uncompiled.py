"""BWD by the plain rules of `expr.expression`: slower than `integrals`, for tests and first steps.

Only the trees are compiled.
"""

from __future__ import annotations

import numpy as np

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.tokens import parse_prefix
from sciml.symbolic.generate import trees
from sciml.symbolic.generate.arena_text import TOKENS
from sciml.symbolic.generate.problems import Row


def bwd(seed: int, start: int, count: int, max_operators: int = 8) -> list[Row]:
    """Samples number start .. start + count - 1."""
    tokens = np.empty(1024, np.int64)
    rows: list[Row] = []
    for k in range(start, start + count):
        rng = trees.seeded(seed, k)
        while True:
            n = trees.tree(rng, trees.operator_count(rng, max_operators), tokens)
            try:
                answer = parse_prefix([TOKENS[t] for t in tokens[:n]])
                if answer.op == "add":
                    answer = ex.add([t for t in answer.args if "x" in t.free])
                f = answer.diff("x")
            except (ex.TooLarge, ex.Undefined, InputError):
                continue
            if "x" in answer.free and f is not ex.ZERO and "I" not in str(answer):
                break
        rows.append((f.key, str(f), str(answer)))
    return rows
