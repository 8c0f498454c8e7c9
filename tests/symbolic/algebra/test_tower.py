"""The tower of kernels: what an argument holds once it is multiplied out."""

from __future__ import annotations

import pytest

from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr.evaluate import evaluate
from sciml.symbolic.expr.parser import parse


@pytest.mark.parametrize("name", ["sin", "cosh", "exp", "tan"])
def test_an_argument_multiplied_out_may_hold_other_exponentials(name: str) -> None:
    """exp(x) (exp(x) + x) is exp(2x) + x exp(x): an exponential that the text does not hold."""
    e = parse(f"x*{name}(exp(x)*(exp(x) + x))")
    tower = Tower("x")
    q = tower.convert(e)
    back = tower.poly_expr(q.n) / tower.poly_expr(q.d)
    for x in (0.3, 0.7):
        value, expected = (complex(evaluate(f, {"x": x})) for f in (back, e))
        assert value == pytest.approx(expected, rel=1e-9)
