"""Training pairs: what was asked for, nothing held out, there and back; problems from files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.generate.problem_files import read_problems, structural_keys
from sciml.symbolic.neural import pairs
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.pairs import Pairs
from sciml.symbolic.verification.checking import check


@pytest.fixture(scope="module")
def drawn() -> Pairs:
    return Pairs.draw({"plain": 1.0}, 40, seed=3, max_tokens=(40, 16))


def test_answers_are_answers(drawn: Pairs) -> None:
    assert len(drawn) == 40 and len(drawn.keys) == 40
    for i in range(0, 40, 8):
        source, target = drawn[i]
        assert len(source) <= 40 and len(target) <= 16 and target[-1] == vb.END
        assert drawn.lengths[i] == len(source) + len(target)
        assert check(vb.expression(source), vb.expression(target), "x").agrees


def test_held_out_problems_stay_out(drawn: Pairs) -> None:
    problems = [vb.expression(drawn.pair(i)[0]) for i in range(10)]
    held = structural_keys(problems, compiled=False)
    assert held < drawn.keys
    again = Pairs.draw({"plain": 1.0}, 30, seed=3, max_tokens=(40, 16), exclude=held)
    assert not again.keys & held


def test_disk_and_join(drawn: Pairs, tmp_path: Path) -> None:
    drawn.save(tmp_path / "p.npz")
    again = Pairs.load(tmp_path / "p.npz")
    assert again.digest() == drawn.digest()
    both = Pairs.join([drawn, again])
    assert len(both) == 80 and both.pair(57) == drawn.pair(17)
    assert np.array_equal(np.asarray(both.lengths)[40:], drawn.lengths)
    assert np.array_equal(again.lengths[[3, 39, 3]], np.asarray(drawn.lengths)[[3, 39, 3]])
    assert [again[i] for i in range(40)] == [drawn[i] for i in range(40)]


def test_other_forms_mean_the_same(drawn: Pairs) -> None:
    drawn.equivalent = 1.0
    torch.manual_seed(0)
    changed = 0
    try:
        for i in range(20):
            before, after = drawn.pair(i)[0], drawn[i][0]
            changed += before != after
            f, g = vb.expression(before), vb.expression(after)
            if f is not g:
                at = np.linspace(0.31, 2.7, 9)
                from sciml.symbolic.expr.evaluate import Program

                values = Program(f, g).complex({"x": at})
                a, b = (np.broadcast_to(v, at.shape) for v in values)
                known = np.isfinite(a) & np.isfinite(b)
                assert np.allclose(a[known], b[known], rtol=1e-8)
    finally:
        drawn.equivalent = 0.0
    assert changed


def test_hidden_subtrees_ask_for_the_whole(drawn: Pairs) -> None:
    drawn.hidden = True
    try:
        source, target = drawn[1]
    finally:
        drawn.hidden = False
    assert vb.MASK in source and target[:-1] == drawn.pair(1)[0][1:]


def test_problems_of_files(tmp_path: Path) -> None:
    file = tmp_path / "some.gz"
    file.write_bytes(gzip.compress(b"7|sub Y' mul INT+ 2 x\tpow x INT+ 2\n3|sub Y' oops x\tx\n"))
    assert read_problems(file) == [parse("2*x")]
    lines = tmp_path / "some.jsonl"
    rows = ('{"integrand": "cos(x)"}', "", '{"problem": "x*exp(x)"}', '{"ode": "y\'(x) = y"}')
    lines.write_text("\n".join(rows) + "\n")
    slope = parse("y' - y", unknown=pairs.UNKNOWN)
    assert read_problems(lines) == [parse("cos(x)"), parse("x*exp(x)"), slope]
    lines.write_text("nothing here\n")
    with pytest.raises(InputError, match="no problem"):
        read_problems(lines)
    with pytest.raises(InputError, match="shares"):
        Pairs.draw({"plain": 0.0}, 5, 0, (40, 16))


def test_functions_without_answers() -> None:
    stream = pairs.unsolved(5, 30, set(), plain=True)
    first = [next(stream) for _ in range(5)]
    assert len({key for key, _ in first}) == 5
    assert all(len(vb.ids(f)) < 30 and f.free == {"x"} for _, f in first)


@pytest.mark.parametrize("kind", ["ode1", "ode2"])
def test_differential_equations_carry_their_task_and_solutions(kind: str) -> None:
    from sciml.symbolic.ode.checking import check_explicit

    order = int(kind[-1])
    data = Pairs.draw({kind: 1.0}, 12, seed=3, max_tokens=(40, 24))
    checked = 0
    for i in range(len(data)):
        source, target = data[i]
        assert source[0] == vb.INDEX[f"<{kind}>"]
        verdict = check_explicit(vb.expression(source), vb.expression(target), "x", "y", order)
        assert verdict.status != "unverified" or not verdict.points, i
        checked += verdict.agrees
    assert checked >= 10
    data.hidden = True
    assert data[0][0][0] == vb.INDEX[f"<{kind}>"]
