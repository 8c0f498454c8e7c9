"""Beam and tree search find what brute force finds."""

import itertools

from sciml.rl.search import Node, TreeSearch, beam_search

GAIN: dict[tuple[int, ...], int] = {(): 0}
for n in range(1, 6):
    for path in itertools.product((0, 1, 2), repeat=n):
        GAIN[path] = GAIN[path[:-1]] + (sum(path) * 7 + n * path[-1] * 5) % 11


def test_wide_beam_is_exhaustive_and_narrow_one_greedy():
    def expand(path):
        return [(GAIN[(*path, a)], (*path, a)) for a in range(3)] if len(path) < 5 else []

    best = max(GAIN[p] for p in itertools.product((0, 1, 2), repeat=5))
    assert beam_search((), expand, 1000, 5)[0] == best
    greedy = ()
    for _ in range(5):
        greedy = max(expand(greedy), key=lambda pair: pair[0])[1]
    assert GAIN[beam_search((), expand, 1, 5)[1]] == GAIN[greedy]


def test_tree_search_finds_the_best_first_step():
    def evaluate(path):
        return ([(a, 1 / 3) for a in range(3)] if len(path) < 5 else []), 0.0

    def step(path, action):
        new = (*path, action)
        return float(GAIN[new] - GAIN[path]), new

    search = TreeSearch(evaluate, step, exploration=1.0)
    chosen = search.run(Node(()), 3000)
    value = {a: max(GAIN[(a, *rest)] for rest in itertools.product((0, 1, 2), repeat=4))
             for a in range(3)}  # fmt: skip
    assert chosen is not None and value[chosen] == max(value.values())
