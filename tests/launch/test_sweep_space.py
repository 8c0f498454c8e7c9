"""What a sweep varies and compares: parsing, drawing, options of a run, the page. Without Ray."""

import json
import math
import socket
from pathlib import Path

import numpy as np
import pytest

from sciml import recipes
from sciml.cli import main
from sciml.errors import InputError
from sciml.launch import ray_cluster
from sciml.launch.ray_metric import Metric
from sciml.launch.ray_page import positions, write_page
from sciml.launch.ray_space import Dimension, draws, flags, parse

RECIPE = Path(__file__).with_name("small_recipe.py")


@pytest.fixture(scope="module")
def config():
    return recipes.load(str(RECIPE)).config()


def test_choices_and_ranges_have_the_types_of_their_settings(config):
    lr, width, name = parse(
        ["train.lr=1e-4:1e-2:log", "width=2:8", "name=yes,1"], config
    )  # a text stays a text, whatever YAML makes of it
    assert lr == Dimension("train.lr", (), 1e-4, 1e-2, log=True)
    assert width == Dimension("width", (), 2, 8, integer=True)
    assert name.choices == ("yes", "1")
    (rate,) = parse(["train.lr=1e-4,1"], config)
    assert rate.choices == (1e-4, 1.0)
    (ema,) = parse(["train.ema=0:1"], config)  # a range of a number, not of 0 and 1
    assert not ema.integer


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("train.lrr=1,2", "Did you mean 'train.lr'"),
        ("width", "must be NAME=VALUE,VALUE"),
        ("width=8:2", "must ascend"),
        ("train.ema=0:1:log", "must be > 0"),
        ("width=0,4", "must be >= 1, got 0"),
        ("width=0:4", "must be >= 1, got 0"),
        ("width=wide,4", "`width` must be int"),
    ],
)
def test_what_a_setting_cannot_take_is_refused_at_once(config, over, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        parse([over], config)


def test_every_combination_once_where_these_are_few(config):
    dimensions = parse(["train.lr=1e-4,1e-3", "width=2,4,8"], config)
    rows = draws(dimensions, 6, seed=0)
    assert len({json.dumps(row) for row in rows}) == 6
    assert len(draws(dimensions, 5, seed=0)) == 5


def test_random_values_follow_seed_and_number_alone(config):
    dimensions = parse(["train.lr=1e-4:1e-2:log", "width=2:5"], config)
    rows = draws(dimensions, 300, seed=1)
    assert draws(dimensions, 7, seed=1) == rows[:7] and draws(dimensions, 7, seed=2) != rows[:7]
    assert {row["width"] for row in rows} == {2, 3, 4, 5}
    rates = np.array([row["train.lr"] for row in rows])
    assert rates.min() >= 1e-4 and rates.max() <= 1e-2
    # uniform in the logarithm: half of them below the geometric mean
    assert 0.4 < (rates < 1e-3).mean() < 0.6


def test_values_come_back_from_their_options(config):
    recipe = recipes.load(str(RECIPE))
    values = {"train.lr": 1.2345678901234567e-05, "width": 3, "name": "true", "refuse": False}
    parsed = recipes.parse(recipe, flags(values, config)).config
    assert (parsed.train.lr, parsed.width, parsed.name, parsed.refuse) == tuple(values.values())


def test_a_metric_is_found_in_the_part_and_split_it_names(tmp_path):
    records = [
        {"step": 1, "split": "train", "loss": 3.0},
        {"step": 1, "split": "valid", "loss": 2.0},
        {"step": 2, "split": "valid", "auc": 0.5},
    ]
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "metrics.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert Metric.parse("tune/loss").records(tmp_path) == [records[1]]
    assert Metric.parse("tune/train.loss").records(tmp_path) == [records[0]]
    assert Metric.parse("loss").records(tmp_path) == []
    assert Metric.choices(tmp_path) == ["tune/train.loss", "tune/valid.loss", "tune/valid.auc"]
    assert str(Metric.parse("loss")) == "valid.loss"
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "valid", "loss": null}\n')
    (record,) = Metric.parse("loss").records(tmp_path)  # NaN is kept as null
    assert math.isnan(record["loss"])
    with pytest.raises(InputError):
        Metric.parse("../loss")


def test_positions_on_an_axis():
    heights, ticks = positions([1.0, 10.0, 100.0], log=True)
    assert heights == pytest.approx([0, 0.5, 1]) and sorted(ticks) == [(0.0, "1"), (1.0, "100")]
    heights, _ = positions(["a", "b", "a"])
    assert heights.tolist() == [0, 1, 0]
    assert positions([3, 3])[0].tolist() == [0.5, 0.5]


def test_the_page_shows_every_trial_and_escapes_what_it_shows(tmp_path):
    row = {"status": "finished", "step": 4, "refused": None, "folder": "trials/000"}
    rows = [
        row | {"trial": 0, "values": {"name": "<b>"}, "last": 0.25, "curve": [0.5, 0.25]},
        row | {"trial": 1, "values": {"name": "b"}, "last": math.nan, "curve": [math.nan]},
        row | {"trial": 2, "values": {"name": "c"}, "last": None, "curve": [], "status": "refused"},
    ]
    space = [Dimension("name", ("<b>", "b", "c"))]
    page = write_page(tmp_path, "small", "sciml sweep", space, Metric.parse("loss"), "min", rows)
    text = page.read_text()
    assert "2 finished, 1 refused" in text and "<b>" not in text.replace("<b></b>", "")
    assert text.count('<figure class="plot') == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one --over"),
        (["--over", "width=2,4", "--search", "grid"], "invalid choice"),
        (["--over", "width=2,4", "--trials", "0"], "--trials must be >= 1"),
        (["--over", "width=2,4", "--reduction", "1"], "--reduction must be > 1"),
        (["--over", "width=2,4", "--train.lrr", "1"], "did you mean --train.lr?"),
    ],
)
def test_a_wrong_sweep_is_one_line(capsys, tmp_path, arguments, message):
    out = tmp_path / "out"
    assert main(["sweep", str(RECIPE), *arguments, "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and not out.exists()


def test_without_optuna_bayes_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    arguments = ["--over", "width=2,4", "--search", "bayes", "--out", str(tmp_path / "out")]
    assert main(["sweep", str(RECIPE), *arguments]) == 2
    assert "sciml[bayes]" in capsys.readouterr().err


def test_part_of_ray_alone_is_named_as_missing(capsys, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setitem(__import__("sys").modules, "ray.tune", None)  # as `pip install ray` has it
    arguments = ["--over", "width=2,4", "--out", str(tmp_path / "out")]
    assert main(["sweep", str(RECIPE), *arguments]) == 2
    printed = capsys.readouterr().err
    assert "ray.tune" in printed and "pip install 'sciml[ray]'" in printed


class Nodes:
    """A cluster of machines, as `ray.nodes` shows it."""

    def __init__(self, *machines: tuple[float, float]) -> None:
        self.machines = machines

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}}
                for cpus, gpus in self.machines]  # fmt: skip


@pytest.mark.parametrize(("count", "cpus", "gpus", "fits"), [
    (4, 1, 0, True), (6, 1, 0, True), (7, 1, 0, False), (1, 5, 0, False), (2, 2, 0, True),
    (1, 1, 1, True), (3, 1, 1, False), (1, 0, 3, False), (4, 1, 0.5, True),
])  # fmt: skip
def test_places_for_processes_are_counted_by_machine(
    count, cpus, gpus, fits, monkeypatch, capsys
):  # fmt: skip
    cluster = Nodes((4, 2), (2, 0))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if fits:
        ray_cluster.require(cluster, "it", count, cpus, gpus)
    else:
        with pytest.raises(InputError, match="have no place for that"):
            ray_cluster.require(cluster, "it", count, cpus, gpus)
    monkeypatch.setenv("RAY_ADDRESS", "somewhere")  # may grow
    ray_cluster.require(cluster, "it", count, cpus, gpus)
    assert ("waiting: it needs" in capsys.readouterr().err) == (not fits)


def test_an_address_without_a_cluster_is_refused_at_once(capsys, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        arguments = ["--over", "width=2,4", "--out", str(tmp_path / "out")]
        assert main(["sweep", str(RECIPE), *arguments]) == 2
    error = capsys.readouterr().err
    assert f"no Ray cluster answers at RAY_ADDRESS={address}" in error and error.count("\n") == 1


@pytest.mark.parametrize("address", ["", "auto"])
def test_without_an_address_the_cluster_is_a_new_one(address, monkeypatch):
    """Ray by itself takes one that somebody has started on the machine, and refuses the number of
    processors then."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", address)
    asked = {}
    monkeypatch.setattr(ray_cluster, "_connect", lambda ray, options: asked.update(options))
    with ray_cluster.cluster("it", 10_000):
        pass
    assert asked.get("address") == (None if address else "local")
    assert asked.get("num_cpus", 0) == (0 if address else 10_000)
