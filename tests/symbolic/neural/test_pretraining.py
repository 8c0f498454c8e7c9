"""Whole subtrees are hidden, through the objective `masked` with the embedder's own choice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from sciml import objectives, trunks
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.neural import pretraining as pt
from sciml.symbolic.neural import vocabulary as vb

TEXTS = ("x*exp(x) + 12345", "sin(x)^2/(x+1)", "x", "7", "log(x + sqrt(x^2 - 1))*x^3")


def _ends(ids: list[int], at: int) -> int:
    """The end of the subtree that begins at `at`, by recursion."""
    arity = int(vb.arities()[ids[at]])
    end = at + 1
    if vb.WORDS[ids[at]] in ("INT+", "INT-"):
        while end < len(ids) and vb.WORDS[ids[end]].isdigit():
            end += 1
    for _ in range(max(arity, 0)):
        end = _ends(ids, end)
    return end


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(TEXTS), st.floats(0.05, 0.9), st.integers(0, 10**6))
def test_hidden_tokens_are_whole_subtrees(text: str, share: float, seed: int) -> None:
    torch.manual_seed(seed)
    ids = vb.ids(parse(text))
    hidden = pt.subtree_mask(torch.tensor([[*ids, vb.END]]), share)[0].tolist()
    assert any(hidden) and not hidden[-1]
    assert len(ids) == 1 or not all(hidden[:-1])
    starts = [i for i, word in enumerate(ids) if int(vb.arities()[word]) >= 0]
    covered = set()
    for i in starts:
        if all(hidden[i : _ends(ids, i)]):
            covered |= set(range(i, _ends(ids, i)))
    assert {i for i, h in enumerate(hidden) if h} == covered


def test_the_objective_takes_the_embedders_choice(tmp_path: Path) -> None:
    path = tmp_path / "some.expr"
    path.write_text("\n".join(TEXTS) + "\n")
    corpus = pt.READERS[".expr"](path)
    batch = corpus.collate([corpus.dataset[i] for i in range(len(TEXTS))])
    torch.manual_seed(0)
    trunk = trunks.build({"name": "sequence", "dim": 32, "heads": 4, "groups": 2,
                          "encoder_layers": 1, "kind": "encoder", "tree_reach": 4})  # fmt: skip
    embedder = corpus.embedder(32, 0)
    task = objectives.build({"name": "masked", "shape": "own", "fraction": 0.3})(trunk, embedder)
    chosen = embedder.choose(batch, 0.3)
    assert chosen.shape == batch.mask.shape and not (chosen & ~batch.mask).any()
    embedded = embedder(batch, chosen).x
    mask_token = embedder.get_parameter("tokens.weight")[vb.MASK]
    assert torch.equal(embedded[chosen], mask_token.expand(int(chosen.sum()), -1))
    optimiser = torch.optim.Adam(task.parameters(), 6e-3)
    losses = []
    for _ in range(40):
        loss = task(batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


def test_a_choice_of_its_own_is_needed() -> None:
    from sciml.errors import InputError
    from sciml.objectives.base import Embedder

    with pytest.raises(InputError, match="no rule of its own"):
        Embedder().choose(Data(), 0.3)


@pytest.mark.parametrize("pair_dim", [4, 0])
def test_a_trunk_without_positions_reads_the_tree(pair_dim: int) -> None:
    """By pair features it tells apart formulas of the same tokens; without them it cannot."""
    texts = ("sin(x) + cos(x)^2", "cos(x) + sin(x)^2")
    batch = pt.collate([[*vb.ids(parse(text)), vb.END] for text in texts])
    tokens = batch.node_token.sort(1).values
    assert torch.equal(tokens[0], tokens[1])
    trunk = trunks.build({"name": "pair_transformer", "dim": 16, "pair_dim": pair_dim,
                          "depth": 2, "heads": 2, "class_depth": 0}).eval()  # fmt: skip
    first, second = trunk(pt.TokenEmbedder(16, pair_dim)(batch)).graph.detach()
    assert (float((first - second).abs().max()) > 1e-3) == bool(pair_dim)
