"""Token ids: there and back, an order that no hash decides, a grammar that always parses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.nn import decoding
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.neural import vocabulary as vb


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x^2 + 3*x", "add pow2 x mul +3 x"),
        ("cos(x)/x - 205/2", "add div INT- 2 0 5 +2 mul inv x cos x"),
        ("sqrt(x)*log(x)^(1/3)", "mul sqrt x pow ln x div +1 +3"),
        ("x^x*pi*E", "mul pi mul E pow x x"),
    ],
)
def test_short_notation(text: str, words: str) -> None:
    e = parse(text)
    ids = vb.ids(e)
    assert sorted(vb.WORDS[i] for i in ids) == sorted(words.split())
    assert vb.expression(ids) is e


def test_short_terms_come_first_and_numbers_before_all() -> None:
    words = [vb.WORDS[i] for i in vb.ids(parse("exp(x)*x^2 + x + 100 + sin(x)"))]
    assert words == "add INT+ 1 0 0 add x add sin x mul exp x pow2 x".split() or words == (
        "add INT+ 1 0 0 add x add sin x mul pow2 x exp x".split()
    )
    with pytest.raises(InputError, match="no token"):
        vb.ids(parse("Ei(x)"))


class _RandomSteps:
    """Logits out of nothing, so that any token that the grammar allows may come."""

    def __init__(self, seed: int, sources: int, width: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.shape = (sources, width, len(vb.WORDS))

    def step(self, tokens: torch.Tensor, paths: torch.Tensor | None) -> torch.Tensor:
        return 4 * torch.randn(self.shape, generator=self.random)

    def reorder(self, parents: torch.Tensor) -> None:
        pass

    def keep(self, sources: torch.Tensor) -> None:
        self.shape = (len(sources), *self.shape[1:])


def _is_expression(words: list[str]) -> bool:
    """One prefix expression, by counting open places from the left."""
    slots, number = 1, 0
    arity = dict(zip(vb.WORDS, vb.arities().tolist(), strict=True))
    for word in words:
        if word.isdigit():
            if not number:
                return False
            number = 2
            continue
        if number == 1 or slots == 0:
            return False
        number = 1 if word in ("INT+", "INT-") else 0
        slots += arity[word] - 1
    return slots == 0 and number != 1


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), beam=st.integers(1, 8), length=st.integers(2, 40),
    ode=st.booleans(),
)  # fmt: skip
def test_every_hypothesis_is_an_expression_that_ends_in_time(
    seed: int, beam: int, length: int, ode: bool
) -> None:
    variables = ("x", "c1", "c2") if ode else ("x",)
    hypotheses = decoding.beam_search(
        _RandomSteps(seed, 2, beam), decoding.Vocabulary(len(vb.WORDS), vb.PAD, vb.START, vb.END),
        sources=2, beam=beam, max_length=length, device=torch.device("cpu"),
        grammar=vb.ExpressionGrammar(variables),
    )  # fmt: skip
    real = hypotheses.scores > -torch.inf
    assert real[:, 0].all() and hypotheses.finished[real].all()
    for source in range(2):
        for ids in hypotheses.lists(source)[: int(real[source].sum())]:
            words = [vb.WORDS[i] for i in ids]
            assert _is_expression(words), words
            assert not {"I", "y", *(() if ode else ("c1", "c2"))} & set(words)
            try:
                vb.expression(ids)
            except InputError as error:  # 1/0 and numbers too large are expressions, too
                assert "operand" not in str(error) and "left over" not in str(error)
