"""Registry, saving, freezing, heads: what is the same for every trunk."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import yaml

from sciml import testing, trunks
from sciml.errors import InputError
from sciml.trunks import base
from sciml.trunks.base import Encoded, NodeHead, Trunk, TrunkConfig
from sciml.trunks.pair_transformer import PairTransformer, PairTransformerConfig

SMALL: dict[str, Any] = dict(dim=8, heads=2, depth=2, pair_dim=3)


def small(**settings):
    return trunks.build("pair_transformer", **{**SMALL, **settings})


def test_names_are_sorted_and_all_importable():
    assert trunks.names() == sorted(trunks.names()) and "pair_transformer" in trunks.names()
    for name in trunks.names():
        kind = trunks.find(name)
        assert issubclass(kind, Trunk) and issubclass(kind.Config, TrunkConfig)
        assert trunks.name_of(kind) == name and kind.Config.trunk() is kind
        assert kind.__doc__ and kind.Config.__doc__


def test_name_mapping_config_and_overrides_build_the_same():
    config = PairTransformerConfig(**SMALL)
    for spec, overrides in (
        ("pair_transformer", SMALL),
        ({"name": "pair_transformer", **SMALL}, {}),
        ({"name": "pair_transformer", "dim": 8, "heads": 2, "depth": 2}, {"pair_dim": 3}),
        (config, {}),
        (PairTransformerConfig(), SMALL),
    ):
        trunk = trunks.build(spec, **overrides)
        assert type(trunk) is PairTransformer and trunk.config == config


@pytest.mark.parametrize(
    "spec, overrides, message",
    [
        ("pair_transfomer", {}, "unknown trunk 'pair_transfomer'. Did you mean 'pair_transformer'"),
        ("pair_transformer", {"heds": 2}, "did you mean `heads`"),
        ("pair_transformer", {"dim": 10, "heads": 4}, "`dim` must be a multiple of `heads` (4)"),
        ("pair_transformer", {"depth": 0}, "`depth` must be >= 1, got 0"),
        ("pair_transformer", {"drop_path": 1.5}, "`drop_path` must be"),
        ("pair_transformer", {"pair_update": "outer"}, "`pair_update` needs `pair_dim` >= 2"),
        ("pair_transformer", {"backend": "sdp"}, "did you mean 'sdpa'"),
        ({"dim": 3}, {}, "need a `name`"),
        (3, {}, "a trunk is a name"),
        ("os.path:join", {}, "is not a trunk"),
        ("no.such.module:Trunk", {}, "cannot import the trunk"),
        ("no_such_file.py:Trunk", {}, "cannot import the trunk"),
    ],
)
def test_mistakes_name_the_setting(spec, overrides, message):
    with pytest.raises(InputError) as error:
        trunks.build(spec, **overrides)
    assert message in str(error.value)


def test_a_subclass_with_the_same_config_is_built_as_itself(tmp_path, monkeypatch):
    (tmp_path / "twin.py").write_text(
        "from sciml.trunks.pair_transformer import PairTransformer\n"
        "class Twin(PairTransformer):\n    pass\n"
    )
    trunk = trunks.build(f"{tmp_path}/twin.py:Twin", **SMALL)
    assert type(trunk).__name__ == "Twin"
    assert type(trunks.build("pair_transformer", **SMALL)) is PairTransformer


def test_trunk_without_config_or_encode_says_what_to_define():
    @dataclass(frozen=True)
    class Lonely(TrunkConfig):
        """Nobody's."""

    with pytest.raises(InputError, match="no trunk has the settings Lonely"):
        Lonely.trunk()

    class Empty(Trunk):
        pass

    with pytest.raises(TypeError, match="Empty must define encode"):
        Empty(TrunkConfig(dim=16))(testing.random_batch())
    with pytest.raises(InputError, match="needs a PairTransformerConfig, got a TrunkConfig"):
        PairTransformer(TrunkConfig())  # type: ignore[arg-type]


def test_wrong_widths_are_named():
    trunk = small()
    with pytest.raises(InputError, match="`x` must have width 8, got 16"):
        trunk(testing.random_batch())
    with pytest.raises(InputError, match="`pair` must have width 3, got 2"):
        trunk(testing.random_batch(dim=8, pair_dim=2))
    with pytest.raises(InputError, match="`edge_attr` must have width 3, got 2"):
        trunk(testing.random_batch(dim=8, pair_dim=2, layout="ragged"))


@pytest.mark.parametrize("where", ["folder", "folder/weights.safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saved_and_loaded_is_the_same(tmp_path, where, dtype):
    trunk = small(pair_update="outer", class_depth=1).to(dtype)
    path = trunks.save(trunk, tmp_path / where)
    assert path.is_file() and path.with_suffix(".yaml").is_file()
    batch = testing.batch_for(trunk)
    for location in (tmp_path / where, path, path.with_suffix(".yaml"), str(path)):
        again = trunks.load(location)
        assert again.config == trunk.config and not again.training or again.training
        assert torch.equal(again.eval()(batch).nodes, trunk.eval()(batch).nodes)
    settings = yaml.safe_load(path.with_suffix(".yaml").read_text())
    assert settings["trunk"] == "pair_transformer" and settings["config"]["dim"] == 8
    assert sorted(p.name for p in path.parent.iterdir()) == sorted(
        [path.name, path.with_suffix(".yaml").name]
    )


def test_every_trunk_is_saved_and_loaded(tmp_path):
    for name in trunks.names():
        trunk = trunks.build(name, dim=16)
        trunks.save(trunk, tmp_path / name)
        again = trunks.load(tmp_path / name)
        assert type(again) is type(trunk) and again.config == trunk.config
        for key, value in trunk.state_dict().items():
            assert torch.equal(again.state_dict()[key], value), (name, key)


def test_damaged_or_foreign_files_are_refused(tmp_path):
    trunk = small()
    path = trunks.save(trunk, tmp_path)
    with pytest.raises(InputError, match="no such"):
        trunks.load(tmp_path / "other")
    settings = path.with_suffix(".yaml")
    good = settings.read_text()
    settings.write_text(good.replace("depth: 2", "depth: 3"))
    with pytest.raises(InputError, match=r"do not fit the settings; missing: blocks\.2"):
        trunks.load(path)
    settings.write_text(good.replace("depth: 2", "depth: 1"))
    with pytest.raises(InputError, match=r"surplus: blocks\.1"):
        trunks.load(path)
    settings.write_text(good.replace("pair_dim: 3", "pair_dim: 4"))
    with pytest.raises(
        InputError, match=r"wrong shape: pair_biases.* \[64, 3\] instead of \[64, 4\]"
    ):
        trunks.load(path)
    settings.write_text(good.replace("depth:", "dept:"))
    with pytest.raises(InputError, match="did you mean `depth`"):
        trunks.load(path)
    settings.write_text("config: {}\n")
    with pytest.raises(InputError, match="must name its `trunk`"):
        trunks.load(path)
    settings.write_text(good)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        trunks.load(path)


def test_freezing_in_part():
    trunk = small()
    total = trunk.count_parameters()
    assert total == sum(p.numel() for p in trunk.parameters())
    trunk.freeze()
    assert trunk.count_parameters(trainable_only=True) == 0
    trunk.unfreeze("blocks.1", "*norm*")
    trained = {n for n, p in trunk.named_parameters() if p.requires_grad}
    assert "blocks.1.attention.linear_qkv.weight" in trained and "norm.weight" in trained
    assert (
        "blocks.0.norm_1.weight" in trained and "blocks.0.feed_forward.linear_1.bias" not in trained
    )
    trunk.unfreeze().freeze("blocks.0")
    batch = testing.batch_for(trunk)
    encoded = trunk(batch)
    (encoded.graph.sum() + encoded.nodes.sum()).backward()
    assert all((p.grad is None) == n.startswith("blocks.0.") for n, p in trunk.named_parameters())
    with pytest.raises(InputError, match="unknown parameter or module 'block.0'"):
        trunk.freeze("block.0")


def test_heads_share_the_trunk():
    trunk = small()
    batch = testing.batch_for(trunk)
    one, two = trunk.with_head(4), trunk.with_head(NodeHead(8, 2))
    assert one(batch).shape == (3, 4) and two(batch).shape == (3, 9, 2)
    assert one.trunk is two.trunk is trunk
    torch.testing.assert_close(one(batch), one.head.linear(trunk(batch).graph))


def test_any_callable_module_is_a_head():
    class Pairs(torch.nn.Module):
        def forward(self, encoded: Encoded):
            assert encoded.pairs is not None
            return encoded.pairs.sum(-1)

    trunk = small()
    assert trunk.with_head(Pairs())(testing.batch_for(trunk)).shape == (3, 9, 9)


def test_shared_parameters_are_saved_once_and_loaded_twice():
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Linear(3, 3, bias=False)
            self.two = self.one

    tied = Tied()
    base.load_state(tied, {"one.weight": torch.eye(3)})
    assert torch.equal(tied.two.weight, torch.eye(3))
    with pytest.raises(InputError, match="missing: one.weight"):
        base.load_state(tied, {})


def test_registry_imports_no_trunk_until_asked():
    code = (
        "import sys, sciml.trunks as t; t.names();"
        "print([m for m in sys.modules if m in ('torch', 'e3nn', 'torch_geometric')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_settings_file_does_not_bring_code(tmp_path):
    trunk = trunks.build("pair_transformer", dim=8, depth=1, heads=2)
    trunks.save(trunk, tmp_path)
    settings = tmp_path / "trunk.yaml"
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n")
    settings.write_text(
        settings.read_text().replace("pair_transformer", f"{tmp_path}/evil.py:Evil")
    )
    with pytest.raises(InputError, match="not run from a settings file"):
        trunks.load(tmp_path)
    assert not (tmp_path / "pwned").exists()
