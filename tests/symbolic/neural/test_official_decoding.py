"""Beam search of the published architecture: what it scores is what teacher forcing says."""

from __future__ import annotations

import itertools

import torch

from sciml.symbolic.neural.official import SymbolicMathematics
from sciml.symbolic.neural.official_decoding import beam_search

WORDS = 6


def model() -> SymbolicMathematics:
    torch.manual_seed(2)
    out = SymbolicMathematics(WORDS, 32, 4, 2, 2, positions=32).double().eval()
    for p in out.parameters():
        p.data += 0.2 * torch.randn_like(p)
    return out


def score(net: SymbolicMathematics, source, length, ids: list[int], allowed: torch.Tensor) -> float:
    """Mean log-probability of a hypothesis, by teacher forcing from the end's id."""
    target = torch.tensor([[0, *ids[:-1]]])
    logits = net(source, length, target, torch.tensor([len(ids)]))[0]
    logits = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
    return float(logits.detach()[range(len(ids)), ids].sum()) / len(ids)


def test_a_wide_beam_finds_the_best_of_all_sequences() -> None:
    net = model()
    source = torch.tensor([[0, 3, 4, 0, 1, 1], [0, 5, 2, 5, 5, 0]])
    lengths = torch.tensor([4, 6])
    allowed = torch.arange(WORDS) != 1  # padding is never written
    hypotheses = beam_search(net, source, lengths, beam=40, max_length=3)
    inner = [t for t in range(WORDS) if t not in (0, 1)]
    for s in range(2):
        every = [[*rest, 0] for n in range(3) for rest in itertools.product(inner, repeat=n)]
        scores = {
            tuple(ids): score(net, source[s : s + 1], lengths[s : s + 1], ids, allowed)
            for ids in every
        }
        best = max(scores, key=lambda ids: scores[ids])
        assert hypotheses.lists(s)[0] == list(best[:-1])
        assert abs(float(hypotheses.scores[s, 0]) - scores[best]) < 1e-5


def test_padding_and_company_change_nothing() -> None:
    net = model()
    source = torch.tensor([[0, 3, 4, 0, 1, 1], [0, 5, 2, 5, 5, 0]])
    together = beam_search(net, source, torch.tensor([4, 6]), beam=4, max_length=8)
    alone = beam_search(net, source[:1, :4], torch.tensor([4]), beam=4, max_length=8)
    assert torch.equal(together.tokens[:1], alone.tokens)
    assert torch.allclose(together.scores[:1], alone.scores, atol=1e-6)
    target, written = torch.tensor([[0, 3, 2]]), torch.tensor([3])
    short = net(source[:1, :4], torch.tensor([4]), target, written)
    padded = net(source[:1], torch.tensor([4]), torch.tensor([[0, 3, 2, 1, 1]]), written)
    assert torch.allclose(short, padded[:, :3], atol=1e-12)
    later = net(source[:1], torch.tensor([4]), torch.tensor([[0, 3, 5]]), written)
    assert torch.allclose(short[:, :2], later[:, :2], atol=1e-12)
