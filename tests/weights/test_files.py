"""Models in one file: what is written comes back, and anything else is named in one line."""

import json

import pytest
import torch
from safetensors.torch import save_file

from sciml.errors import InputError
from sciml.weights import files


@pytest.fixture
def state():
    torch.manual_seed(0)
    shared = torch.randn(3, 4)
    return {"a": shared, "tied": shared, "turned": torch.randn(5, 2).T, "count": torch.tensor([7])}


def test_what_is_written_comes_back(state, tmp_path):
    path = files.write(tmp_path / "m", state, "kind_of_model", {"dim": 3}, notes={"seed": "1"})
    assert path == tmp_path / "m.safetensors"
    described, tensors, where = files.read(path, "kind_of_model", "model")
    assert described == {"dim": 3} and where == path
    for name, value in state.items():
        torch.testing.assert_close(tensors[name], value, rtol=0, atol=0)


def test_half_is_half_the_size_and_comes_back_as_single(state, tmp_path):
    big = state | {"a": torch.randn(100, 100)}
    full = files.write(tmp_path / "whole", big, "k", {})
    half = files.write(tmp_path / "half", big, "k", {}, half=True)
    assert half.stat().st_size < 0.55 * full.stat().st_size
    _, tensors, _ = files.read(half, "k", "model")
    assert tensors["a"].dtype == torch.float32 and tensors["count"].dtype == torch.int64
    torch.testing.assert_close(tensors["a"], big["a"], rtol=1 / 128, atol=0)


def test_other_files_are_named(state, tmp_path):
    other = files.write(tmp_path / "other", state, "jet_tagger", {})
    with pytest.raises(InputError, match=r"holds no placer.*jet_tagger"):
        files.read(other, "placer", "placer")
    bare = tmp_path / "bare.safetensors"
    save_file({"a": state["a"]}, bare)
    with pytest.raises(InputError, match="holds no placer"):
        files.read(bare, "placer", "placer")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(other.read_bytes()[:50])
    with pytest.raises(InputError, match="not a readable"):
        files.read(bad, "jet_tagger", "tagger")
    broken = tmp_path / "broken.safetensors"
    save_file({"a": state["a"]}, broken, metadata={"placer": "{not json"})
    with pytest.raises(InputError, match="not a readable"):
        files.read(broken, "placer", "placer")
    odd = tmp_path / "odd.safetensors"
    save_file({"a": state["a"]}, odd, metadata={"placer": "[1, 2]"})
    with pytest.raises(InputError, match="does not describe its placer"):
        files.read(odd, "placer", "placer")


def test_a_failed_write_leaves_what_was_there(state, tmp_path):
    path = files.write(tmp_path / "m", state, "k", {"dim": 3})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        files.write(path, state, "k", {"dim": object()})
    assert path.read_bytes() == before and json.loads(json.dumps(files.read(path, "k", "m")[0]))
