"""The network: grammar, shapes, learning, saving; the published layout."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from sciml.errors import InputError
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.candidates import antiderivatives
from sciml.symbolic.neural.model import ModelConfig, Seq2Seq, collate
from sciml.symbolic.neural.official import SymbolicMathematics, from_symbolicmathematics
from sciml.trunks.sequence import SequenceConfig


def tiny() -> Seq2Seq:
    torch.manual_seed(0)
    trunk = SequenceConfig(
        dim=32, vocabulary=len(vb.WORDS), heads=4, groups=2, encoder_layers=1, decoder_layers=1,
        tree_reach=4,
    )  # fmt: skip
    return Seq2Seq(ModelConfig(trunk, max_answer=24))


def test_every_hypothesis_parses() -> None:
    model = tiny()
    hypotheses = model.trunk.beam_search(
        model.encode(torch.tensor([model.source_ids(parse("x*exp(x)"))])), 6, 20,
        vb.ExpressionGrammar(),
    )  # fmt: skip
    for sequence in hypotheses.lists(0):
        vb.expression(sequence)
    assert model.propose([parse("x")], 4)[0]


def test_it_learns_and_survives_the_disk(tmp_path: Path) -> None:
    model = tiny()
    pairs = [
        ([vb.INDEX["<integrate>"], *vb.ids(parse(f))], [*vb.ids(parse(g)), vb.END])
        for f, g in (("x", "x^2/2"), ("cos(x)", "sin(x)"), ("exp(x)", "exp(x)"))
    ]
    batch = collate(pairs)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss = model(batch)["loss"]
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    assert parse("sin(x)") in model.propose([parse("cos(x)")], 2)[0]
    file = model.save(tmp_path / "m")
    again = Seq2Seq.from_pretrained(file)
    assert torch.equal(again.logits(batch), model.eval().logits(batch))
    answer, method = next(iter(antiderivatives(str(file), 2)(parse("cos(t)"), "t")))
    assert answer is parse("sin(t)") and "neural" in method
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError):
        Seq2Seq.from_pretrained(tmp_path / "bad.safetensors")


def test_default_size_and_a_step() -> None:
    torch.manual_seed(0)
    model = Seq2Seq()
    assert 15e6 <= sum(p.numel() for p in model.parameters()) <= 20e6
    pair = ([vb.INDEX["<integrate>"], *vb.ids(parse("cos(x)"))], [*vb.ids(parse("sin(x)")), vb.END])
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(3):
        loss = model(collate([pair]))["loss"]
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0]


def _plain_logits(state: dict, heads: int, layers: int, source, target) -> torch.Tensor:
    """The published architecture once more, written out with explicit softmax attention."""
    import torch.nn.functional as F

    def norm(x, s, name):
        return F.layer_norm(x, x.shape[-1:], s[name + ".weight"], s[name + ".bias"], 1e-12)

    def attend(x, y, s, name, causal):
        q, k, v = (
            F.linear(z, s[f"{name}.{p}_lin.weight"], s[f"{name}.{p}_lin.bias"])
            for z, p in ((x, "q"), (y, "k"), (y, "v"))
        )
        width = q.shape[-1] // heads
        outs = []
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = q[:, part] @ k[:, part].T / math.sqrt(width)
            if causal:
                later = torch.ones_like(scores).triu(1).bool()
                scores = scores.masked_fill(later, -math.inf)
            outs.append(scores.softmax(-1) @ v[:, part])
        return F.linear(torch.cat(outs, -1), s[f"{name}.out_lin.weight"], s[f"{name}.out_lin.bias"])

    def side(ids, s, memory=None):
        x = s["embeddings.weight"][ids] + s["position_embeddings.weight"][: len(ids)]
        x = norm(x, s, "layer_norm_emb")
        for i in range(layers):
            own = attend(x, x, s, f"attentions.{i}", memory is not None)
            x = norm(x + own, s, f"layer_norm1.{i}")
            if memory is not None:
                attended = attend(x, memory, s, f"encoder_attn.{i}", False)
                x = norm(x + attended, s, f"layer_norm15.{i}")
            h = F.relu(F.linear(x, s[f"ffns.{i}.lin1.weight"], s[f"ffns.{i}.lin1.bias"]))
            x = norm(x + F.linear(h, s[f"ffns.{i}.lin2.weight"], s[f"ffns.{i}.lin2.bias"]), s,
                     f"layer_norm2.{i}")  # fmt: skip
        return x

    memory = side(source, state["encoder"])
    out = side(target, state["decoder"], memory)
    return F.linear(out, state["decoder"]["proj.weight"], state["decoder"]["proj.bias"])


def test_published_layout(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = SymbolicMathematics(40, 32, 4, 2, 2, positions=64)
    state = {side: {f"module.{k}": v for k, v in getattr(model, side).state_dict().items()}
             for side in ("encoder", "decoder")}  # fmt: skip
    path = tmp_path / "official.pth"
    torch.save(state, path)
    loaded = from_symbolicmathematics(path, heads=4)
    source, target = torch.randint(2, 40, (11,)), torch.randint(2, 40, (7,))
    padded = torch.cat([source, torch.zeros(5, dtype=torch.int64)])[None]
    logits = loaded(padded, torch.tensor([11]), target[None], torch.tensor([7]))[0]
    plain = {side: {k.removeprefix("module."): v for k, v in state[side].items()} for side in state}
    expected = _plain_logits(plain, 4, 2, source, target)
    assert torch.allclose(logits, expected, atol=1e-5)


def test_unsafe_checkpoints_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"encoder": Evil(), "decoder": {}}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="more than tensors"):
        from_symbolicmathematics(tmp_path / "evil.pth")
    torch.save({"model": 1}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="lacks"):
        from_symbolicmathematics(tmp_path / "other.pth")


def test_reader_of_unlabelled_expressions(tmp_path: Path) -> None:
    from sciml.symbolic.neural import pretraining as pt

    path = tmp_path / "some.expr"
    path.write_text('x*exp(x)\n{"problem": "sin(x)^2"}\n\ny\' + x*y\n')
    corpus = pt.READERS[".expr"](path)
    assert len(corpus.dataset) == 3
    batch = corpus.collate([corpus.dataset[i] for i in range(3)])
    embedded = corpus.embedder(16, 0)(batch)
    assert embedded.x.shape[:2] == batch.node_token.shape and embedded.x.shape[2] == 16
    hidden = pt.subtree_mask(batch.node_token)
    assert hidden.any(1).all() and not (hidden & ~batch.mask).any()
    path.write_text("x +* 2\n")
    with pytest.raises(InputError, match="expression 1"):
        pt.read(path)
