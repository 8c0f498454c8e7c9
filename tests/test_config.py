"""Strict settings: round trips and all mistakes at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciml.config import Range, from_dict, load_yaml, replace, save_yaml, to_dict
from sciml.errors import InputError
from sciml.train import TrainConfig


@dataclass(frozen=True)
class Small:
    width: Annotated[int, Range(min=1)] = 8
    kind: Literal["gelu", "relu"] = "gelu"


@dataclass(frozen=True)
class Big:
    width: Annotated[int, Range(min=1)] = 64
    rate: float = 0.5


@dataclass(frozen=True)
class Config:
    lr: Annotated[float, Range(min=0, exclusive=True)] = 1e-3
    name: str = "run"
    seeds: tuple[int, ...] = (0, 1)
    pair: tuple[int, float] = (1, 2.0)
    path: Path | None = None
    trunk: Small | Big = field(default_factory=Small)
    train: TrainConfig = TrainConfig()


def test_all_mistakes_are_reported_at_once_with_the_nearest_name():
    wrong = {"lrr": 1, "lr": -1, "name": 3, "seeds": [0, "x"], "train": {"batchsize": 3, "lr": "a"}}
    with pytest.raises(InputError) as caught:
        from_dict(Config, wrong, where="my.yaml")
    text = str(caught.value)
    assert text.startswith("my.yaml: 6 problems")
    for part in (
        "unknown setting `lrr`, did you mean `lr`?",
        "`lr` must be > 0, got -1",
        "`name` must be str, got 3",
        "`seeds[1]` must be int, got 'x'",
        "unknown setting `train.batchsize`, did you mean `train.batch_size`?",
        "`train.lr` must be float, got 'a'",
    ):
        assert part in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"trunk": {"kind": "gulu"}}, "did you mean 'gelu'"),
        ({"lr": float("nan")}, "must be a number"),
        ({"train": {"compile": 1}}, "`train.compile` must be bool"),
        ({"train": {"steps": True}}, "`train.steps` must be int"),
        ({"train": {"warmup": 1.5}}, ">= 0 and <= 1, got 1.5"),
        ({"pair": [1]}, "must have 2 entries"),
        ({"train": 3}, "must be a mapping"),
        ({"seeds": 3}, "must be a list"),
    ],
)
def test_each_kind_of_mistake(mapping, message):
    with pytest.raises(InputError, match="settings|must|mean") as caught:
        from_dict(Config, mapping)
    assert message in str(caught.value)


def test_a_missing_required_setting_is_named():
    @dataclass(frozen=True)
    class Needs:
        path: str

    with pytest.raises(InputError, match="`path` is missing"):
        from_dict(Needs, {})


def test_a_union_takes_the_member_that_fits():
    assert from_dict(Config, {"trunk": {"rate": 0.1}}).trunk == Big(rate=0.1)
    assert from_dict(Config, {"trunk": {"kind": "relu"}}).trunk == Small(kind="relu")


@given(
    st.builds(
        Config,
        lr=st.floats(1e-9, 1e9),
        name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
        seeds=st.lists(st.integers(-(2**40), 2**40), max_size=4).map(tuple),
        path=st.sampled_from([None, Path("a/b")]),
        trunk=st.builds(Small, width=st.integers(1, 99), kind=st.sampled_from(["gelu", "relu"])),
    )
)
def test_yaml_round_trip(config):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        save_yaml(config, path, comment="sciml run x\nsecond line")
        assert load_yaml(Config, path) == config
        assert path.read_text().startswith("# sciml run x\n# second line\n")


def test_replace_takes_dotted_and_nested_names():
    changed = replace(Config(), {"train.lr": 0.1, "train": {"steps": 5}, "seeds": [7]})
    assert (changed.train.lr, changed.train.steps, changed.seeds) == (0.1, 5, (7,))
    assert replace(Config(), {}) == Config()
    with pytest.raises(InputError, match="train.stepz"):
        replace(Config(), {"train.stepz": 1})


def test_yaml_that_is_none(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [1,\n")
    with pytest.raises(InputError, match="not valid YAML"):
        load_yaml(Config, tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="mapping"):
        load_yaml(Config, tmp_path / "list.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_yaml(Config, tmp_path / "empty.yaml") == Config()
    with pytest.raises(InputError, match="Did you mean"):
        load_yaml(Config, tmp_path / "emty.yaml")


def test_yaml_cannot_make_objects(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text(f"name: !!python/object/apply:os.system ['touch {tmp_path}/pwned']\n")
    with pytest.raises(InputError):
        load_yaml(Config, path)
    assert not (tmp_path / "pwned").exists()


def test_to_dict_is_plain():
    assert to_dict(Config())["trunk"] == {"width": 8, "kind": "gelu"}
    assert to_dict(Config())["seeds"] == [0, 1]


def test_one_text_stands_for_a_list_of_texts():
    @dataclass(frozen=True)
    class Files:
        data: tuple[str, ...] = ()

    globals()["Files"] = Files
    assert from_dict(Files, {"data": "a.root"}).data == ("a.root",)
    assert from_dict(Files, {"data": ["a", "b"]}).data == ("a", "b")
