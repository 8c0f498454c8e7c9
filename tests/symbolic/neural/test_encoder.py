"""Seq2Seq on a trunk that was pretrained elsewhere: what it attends to, files, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sciml import trunks
from sciml.errors import InputError
from sciml.files import tensors
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.model import ModelConfig, Seq2Seq, collate
from sciml.symbolic.neural.pretraining import TokenEmbedder
from sciml.trunks.sequence import SequenceConfig

DECODER = SequenceConfig(
    dim=32, vocabulary=len(vb.WORDS), heads=4, groups=2, encoder_layers=3, decoder_layers=1,
    pad=vb.PAD, start=vb.START, end=vb.END,
)  # fmt: skip
CONFIG = ModelConfig(trunk=DECODER, max_answer=12)
TRUNKS: dict[str, dict[str, Any]] = {
    "pair_transformer": {"dim": 16, "pair_dim": 4, "depth": 2, "heads": 2},
    "message_passing": {"dim": 16, "pair_dim": 4, "depth": 1, "heads": 2},
    "sequence": {"dim": 16, "heads": 2, "groups": 1, "encoder_layers": 1, "kind": "encoder",
                 "tree_reach": 3},
}  # fmt: skip


def model_on(name: str) -> Seq2Seq:
    torch.manual_seed(0)
    trunk = trunks.build(name, **TRUNKS[name])
    return Seq2Seq.on(trunk, TokenEmbedder(trunk.dim, trunk.pair_dim), CONFIG).eval()


def pairs(model: Seq2Seq) -> list[tuple[list[int], list[int]]]:
    """A long and a short problem with some answers."""
    texts = (("x*exp(x) + sin(x)", "x"), ("x", "x^2"))
    return [(model.source_ids(parse(f)), [*vb.ids(parse(a)), vb.END]) for f, a in texts]


@pytest.mark.parametrize("name", sorted(TRUNKS))
def test_a_model_on_any_trunk_decodes_trains_and_is_saved(name: str, tmp_path: Path) -> None:
    model = model_on(name)
    assert model.config.trunk.encoder_layers == 0  # the trunk's own encoder has gone
    batch = collate(pairs(model))
    memory = model.encode(batch.source)
    alone = model.encode(batch.source[1:, :2])
    assert memory.nodes.shape[-1] == DECODER.dim
    assert torch.allclose(memory.nodes[1:, :2], alone.nodes, atol=1e-5)  # padding adds nothing
    loss = model(batch)["loss"]
    loss.backward()
    assert model.encoder is not None
    for part in (model.encoder.embedder, model.encoder.trunk, model.trunk.decoder):
        assert part is not None and any(p.grad is not None for p in part.parameters())

    again = Seq2Seq.from_pretrained(model.save(tmp_path / "model.safetensors"), device="cpu")
    assert again.config == model.config
    assert torch.equal(again.logits(batch), model.logits(batch))
    problems = [parse("x*exp(x)"), parse("x")]
    assert again.propose(problems, 2) == model.propose(problems, 2)


def test_the_decoder_attends_to_the_trunk() -> None:
    """Logits change with the trunk's weights."""
    model = model_on("pair_transformer")
    batch = collate(pairs(model))
    before = model.logits(batch)
    assert model.encoder is not None
    with torch.no_grad():
        for parameter in model.encoder.trunk.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    assert not torch.allclose(before, model.logits(batch))


def test_files_without_an_encoder_of_their_own_are_as_before(tmp_path: Path) -> None:
    """Their description has no `encoder`."""
    model = Seq2Seq(CONFIG).eval()
    description = model.describe()
    assert description["config"].pop("encoder") == {}
    path = tmp_path / "old.safetensors"
    tensors.write(path, model.state_dict(), {"sciml": json.dumps(description)})
    again = Seq2Seq.from_pretrained(path, device="cpu")
    assert again.encoder is None and again.config == model.config


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"dim": 8}, "must have the `name` of a trunk"),
        ({"name": "pair_transfomer"}, "pair_transformer"),
        ({"name": "my_trunk:Mine"}, "not run from a settings file"),
        ({"name": "message_passing", "dpeth": 1}, "did you mean `depth`"),
    ],
)
def test_settings_that_name_no_trunk_are_refused(encoder: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Seq2Seq(ModelConfig(trunk=DECODER, encoder=encoder))
