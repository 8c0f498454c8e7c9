"""Where a network starts from: names, folders of today and of version 0.1, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from sciml import trunks
from sciml.errors import InputError
from sciml.files import tensors
from sciml.trunks import start
from sciml.trunks.message_passing import MessagePassing
from sciml.trunks.pair_transformer import PairTransformerConfig
from sciml.trunks.start import Start

SMALL = PairTransformerConfig(dim=8, pair_dim=4, depth=1, heads=2)


class Embedder(nn.Module):
    """Linear features, of a width that a setting gives."""

    def __init__(self, dim: int, pair_dim: int, features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(features, dim)


def of(name: object = "", **settings: object) -> Start:
    return Start("jets", Embedder, SMALL, str(name), settings=settings)


def written(folder: Path, science: str = "jets", **settings: object) -> Embedder:
    embedder = Embedder(8, 4, int(str(settings.get("features", 3))))
    start.save(folder, trunks.build(SMALL), {science: (embedder, settings)})
    return embedder


def test_without_a_name_the_usual_trunk_is_fresh() -> None:
    torch.manual_seed(0)
    one = of().begin()
    torch.manual_seed(0)
    assert torch.equal(next(trunks.build(SMALL).parameters()), next(one.trunk.parameters()))
    assert one.trunk.config == SMALL and one.embedder.linear.in_features == 3
    assert str(of()) == "pair_transformer with random weights"


def test_another_trunk_by_name_has_the_usual_widths(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("message_passing").mkdir()  # a folder of that name is no trunk
    trunk = of("message_passing").begin().trunk
    assert isinstance(trunk, MessagePassing) and (trunk.dim, trunk.pair_dim) == (8, 4)
    written(Path("message_passing"))
    assert of("message_passing").folder is not None
    with pytest.raises(InputError, match="Did you mean"):
        of("message_pasing").fresh()


def test_a_folder_gives_its_weights_and_its_settings(tmp_path: Path) -> None:
    embedder = written(tmp_path, features=5)
    loaded = of(tmp_path).begin()
    assert torch.equal(loaded.embedder.linear.weight, embedder.linear.weight)
    fresh = of(tmp_path).fresh()
    assert fresh.embedder.linear.weight.shape == embedder.linear.weight.shape
    assert not torch.equal(fresh.embedder.linear.weight, embedder.linear.weight)
    assert fresh.trunk.config == loaded.trunk.config
    with pytest.raises(InputError, match="with features 5, not 3.*--features 5"):
        of(tmp_path, features=3).load()


def test_several_sciences_have_a_file_each(tmp_path: Path) -> None:
    parts: dict[str, tuple[Embedder, dict[str, object]]] = {
        name: (Embedder(8, 4), {}) for name in ("jets", "protein")
    }
    start.save(tmp_path, trunks.build(SMALL), parts)
    assert not (tmp_path / "embedder.safetensors").exists()
    for name, (embedder, _) in parts.items():
        loaded = Start(name, Embedder, SMALL, str(tmp_path)).load()
        assert torch.equal(loaded.embedder.linear.weight, embedder.linear.weight)
    with pytest.raises(InputError, match="of jets and of protein, none of symbolic"):
        Start("symbolic", Embedder, SMALL, str(tmp_path)).load()


@pytest.mark.parametrize(
    ("reader", "science"),
    [
        ({"domain": "jets", "features": 3}, "jets"),
        ({"domain": "protein", "kind": "alignments"}, "protein"),
        ({"domain": "protein", "kind": "structures"}, "structures"),
        ({"kind": "expressions"}, "symbolic"),
        ({"domain": "placement"}, "placement"),
    ],
)
def test_folders_of_version_0_1_say_their_science_beside(
    tmp_path: Path, reader: dict[str, object], science: str
) -> None:
    """Their embedder's file has no header."""
    written(tmp_path)
    tensors.write(tmp_path / "embedder.safetensors", Embedder(8, 4).state_dict())
    facts = {"corpus": "mine", "reader": reader, "config": {"trunk": "t", "objective": "masked"}}
    (tmp_path / "pretrained.json").write_text(json.dumps(facts))
    Start(science, Embedder, SMALL, str(tmp_path)).load()
    other = "jets" if science != "jets" else "protein"
    with pytest.raises(InputError, match=f"of {science}, none of {other}"):
        Start(other, Embedder, SMALL, str(tmp_path)).load()
    assert str(of(tmp_path)) == f"pair_transformer, pretrained by masked on mine ({tmp_path})"


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 5000, '{"config": 3, "corpora": 4}'])
def test_a_damaged_description_is_no_description(tmp_path: Path, text: str) -> None:
    written(tmp_path)
    tensors.write(tmp_path / "embedder.safetensors", Embedder(8, 4).state_dict())
    (tmp_path / "pretrained.json").write_text(text)
    of(tmp_path).load()
    assert str(tmp_path) in str(of(tmp_path))


def test_a_header_that_asks_for_more_than_it_holds(tmp_path: Path) -> None:
    written(tmp_path)
    state = Embedder(8, 4).state_dict()
    for settings in ({"features": 10**12}, {"features": "x"}, {"os": 1}):
        header = {start.ENTRY: json.dumps({"science": "jets", **settings})}
        tensors.write(tmp_path / "embedder.safetensors", state, header)
        with pytest.raises(InputError, match="does not hold an embedder of jets"):
            of(tmp_path).load()
        with pytest.raises(InputError, match="embedder.safetensors: describes"):
            of(tmp_path).fresh()
