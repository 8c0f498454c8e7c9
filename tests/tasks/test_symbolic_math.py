"""Expert iteration of the recipe: verified answers are learned, and none to held-out problems."""

from __future__ import annotations

import dataclasses

import pytest

from sciml import recipes
from sciml.errors import InputError
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.generate import uncompiled
from sciml.symbolic.generate.problem_files import structural_keys
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.verification.checking import check


class Oracle:
    """A model that knows half of the answers and writes a wrong one first, or alone."""

    def __init__(self, seed: int) -> None:
        rows = uncompiled.bwd(seed, 0, 16, 3)
        self.known = {parse(p): parse(a) for _, p, a in rows[::2]}
        self.problems: list = []

    def propose(self, problems, beam):
        self.problems += problems
        wrong = parse("x^9 + 1/7")
        return [[wrong, self.known[f]] if f in self.known else [wrong] for f in problems]


def settings(**changes):
    recipe = recipes.load("symbolic_math")
    return recipe, dataclasses.replace(recipe.config(tiny=True), self_training=8, **changes)


def test_only_verified_answers_are_learned(tmp_path) -> None:
    recipe, config = settings(seed=4)
    module = recipe.module
    oracle = Oracle(config.seed + 3000)
    excluded = sorted(structural_keys(list(oracle.known)[:1], compiled=False))
    learned = module.self_trained(config, oracle, 0, set(excluded), tmp_path / "v.npz")
    assert 0 < len(learned) < len(oracle.problems) == 8
    assert not learned.keys & set(excluded)
    for i in range(len(learned)):
        source, target = learned[i]
        assert len(target) <= config.max_tokens[1] and target[-1] == vb.END
        assert check(vb.expression(source), vb.expression(target), "x").agrees
    oracle.problems.clear()
    again = module.self_trained(config, oracle, 0, set(excluded), tmp_path / "v.npz")
    assert again.digest() == learned.digest() and not oracle.problems  # an interrupted run goes on


def test_sets_and_their_mistakes(tmp_path) -> None:
    recipe, config = settings()
    module = recipe.module
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(f'{{"integrand": "cos({n}*x)"}}\n' for n in range(1, 20)))
    listed, keys = module.problems(f"mine={file}", config)
    assert len(listed) == config.test and listed[0] is parse("cos(x)") and not keys
    equations, keys = module.problems("ode1", config)
    assert len(equations) == len(keys) == config.test
    assert all("y'" in residual.free for residual in equations)
    with pytest.raises(InputError, match="NAME=FILE"):
        module.problems("nothing", config)
