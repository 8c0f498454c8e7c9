"""The interface that all models share: one file or a folder, read back without network."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sciml.errors import InputError
from sciml.weights import loading
from sciml.weights.pretrained import Pretrained


class Line(Pretrained, nn.Module):
    ENTRY, KIND = "test_line", "straight line"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 1)
        self.twin = self.layer  # shared memory

    def describe(self):
        return {"width": self.layer.in_features}

    @classmethod
    def restore(cls, description, tensors, path):
        model = loading.build(lambda: cls(description["width"]), tensors, where=path)
        loading.load_state(model, tensors, where=path)
        return model.eval()


@pytest.fixture
def line():
    torch.manual_seed(0)
    return Line(3)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_one_file(line, tmp_path):
    path = line.save(tmp_path / "line.safetensors", notes={"seed": "0"})
    assert path == tmp_path / "line.safetensors"
    again = Line.from_pretrained(path, device="cpu")
    assert same(line, again) and not again.training


def test_folder(line, tmp_path):
    path = line.save(tmp_path / "line", notes={"seed": "7"})
    names = {p.name for p in (tmp_path / "line").iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md"}
    assert json.loads((tmp_path / "line/config.json").read_text())["config"] == {"width": 3}
    card = (tmp_path / "line/README.md").read_text()
    assert card.startswith("---\nlibrary_name: sciml\n") and "seed: '7'" in card
    for location in (path, tmp_path / "line"):
        assert same(line, Line.from_pretrained(location))


def test_card_of_the_author_stays(line, tmp_path):
    line.save(tmp_path / "line")
    (tmp_path / "line/README.md").write_text("mine")
    line.save(tmp_path / "line")
    assert (tmp_path / "line/README.md").read_text() == "mine"


def test_header_lost(line, tmp_path):
    """Programs that write the tensors anew drop the header: config.json describes them."""
    path = line.save(tmp_path / "line")
    save_file(load_file(path), path)
    assert same(line, Line.from_pretrained(tmp_path / "line"))
    (tmp_path / "line/config.json").write_text('{"entry": "another", "config": {}}')
    with pytest.raises(InputError, match="holds no straight line"):
        Line.from_pretrained(tmp_path / "line")
    (tmp_path / "line/config.json").write_text("[" * 10**5)
    with pytest.raises(InputError, match="is no readable JSON"):
        Line.from_pretrained(tmp_path / "line")


def test_bad_names(line, tmp_path):
    with pytest.raises(InputError, match="must end in .safetensors"):
        line.save(tmp_path / "line.pt")
    with pytest.raises(InputError, match="device 'cuda:99' is not there"):
        Line.from_pretrained(line.save(tmp_path / "line"), device="cuda:99")
    with pytest.raises(InputError, match="sciml models list"):
        Line.from_pretrained("jets-tony")


def test_a_model_that_cannot_be_restored_is_no_model():
    class Half(Pretrained, nn.Module):
        def describe(self):
            return {}

    with pytest.raises(TypeError, match="restore"):
        Half()  # type: ignore[abstract]
