"""The networks on disk and in memory: file and folder, half precision, copies, pickles."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.symbolic import Seq2Seq, SkeletonModel
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.neural import skeletons as sk
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.model import ModelConfig, collate
from sciml.trunks.sequence import SequenceConfig

KINDS: dict[str, Any] = {
    "Seq2Seq": Seq2Seq,
    "on another trunk": Seq2Seq,
    "SkeletonModel": SkeletonModel,
}


def build(kind: str):
    torch.manual_seed(0)
    if kind == "SkeletonModel":
        return SkeletonModel(sk.SkeletonConfig(dim=32, depth=1, decoder_layers=1, points=16)).eval()
    trunk = SequenceConfig(dim=32, vocabulary=len(vb.WORDS), heads=4, groups=2, encoder_layers=1,
                           decoder_layers=1, tree_reach=4)  # fmt: skip
    encoder = {"name": "pair_transformer", "dim": 16, "pair_dim": 4, "depth": 1, "heads": 2}
    other: dict[str, Any] = {"encoder": encoder} if kind == "on another trunk" else {}
    return Seq2Seq(ModelConfig(trunk, max_answer=24, **other)).eval()


def loss(model) -> torch.Tensor:
    """On the same two examples each time."""
    if isinstance(model, SkeletonModel):
        examples = sk.Examples(model.config, 2, 0)
        return model(sk.collate([examples[0], examples[1]]))["loss"].detach()
    pairs = [([vb.INDEX["<integrate>"], *vb.ids(parse(f))], [*vb.ids(parse(g)), vb.END])
             for f, g in (("x", "x^2/2"), ("cos(x)", "sin(x)"))]  # fmt: skip
    return model(collate(pairs))["loss"].detach()


def propose(model) -> list:
    if isinstance(model, SkeletonModel):
        x = np.linspace(0.1, 3, 40)[:, None]
        return model.propose(x, np.sin(x[:, 0]), beam=3)
    return model.propose([parse("x*exp(x)")], 3)[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["model.safetensors", "folder"])
def test_file_and_folder(kind: str, name: str, tmp_path: Path) -> None:
    model, cls = build(kind), KINDS[kind]
    weights = model.save(tmp_path / name, notes={"seed": "0"})
    again = cls.from_pretrained(tmp_path / name, device="cpu")
    assert again.config == model.config and not again.training
    assert torch.equal(loss(again), loss(model)) and propose(again) == propose(model)
    if name == "folder":
        assert {path.name for path in (tmp_path / name).iterdir()} == {
            "config.json", "model.safetensors", "README.md"}  # fmt: skip
        assert json.loads((tmp_path / name / "config.json").read_text())["model"] == cls.__name__
        assert weights == tmp_path / name / "model.safetensors"


@pytest.mark.parametrize("kind", KINDS)
def test_another_models_file_is_refused(kind: str, tmp_path: Path) -> None:
    file = build(kind).save(tmp_path / "model")
    (other,) = set(KINDS.values()) - {KINDS[kind]}
    with pytest.raises(InputError, match="holds no"):
        other.from_pretrained(file, device="cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_pickles_compute_the_same(kind: str) -> None:
    model = build(kind)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(loss(twin), loss(model)) and propose(twin) == propose(model)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision(kind: str, tmp_path: Path) -> None:
    model, cls = build(kind), KINDS[kind]
    single = loss(model)
    stored = cls.from_pretrained(model.save(tmp_path / "half", half=True), device="cpu")
    assert abs(loss(stored) - single) < 0.05
    for dtype in (torch.bfloat16, torch.float16):
        low = copy.deepcopy(model).to(dtype)
        assert abs(loss(low) - single) < 0.1 and len(propose(low)) == len(propose(model))
