"""Sweeps, runs and tasks on a local Ray cluster: what comes out is what the plain run gives."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from sciml.cli import main
from sciml.errors import InputError
from sciml.launch import ray_cluster, ray_files

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)]  # fmt: skip
RECIPE = str(Path(__file__).with_name("small_recipe.py"))


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One small cluster for all tests of this module."""
    for name, value in ray_cluster.SETTINGS.items():
        os.environ.setdefault(name, value)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False,
                 logging_level="ERROR")  # fmt: skip
    yield
    ray.shutdown()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Weights of `sciml run` for a width, computed in this process."""

    def weights(width: int) -> bytes:
        out = tmp_path_factory.mktemp("plain") / "run"
        assert main(["run", RECIPE, f"--width={width}", "--out", str(out)]) == 0
        return (out / "model.safetensors").read_bytes()

    return weights


def results(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())


def test_each_trial_is_the_plain_run_and_a_repetition_starts_none(tmp_path, plain):
    command = ["sweep", RECIPE, "--over", "width=4,8", "--cpus=1", "--parallel=2"]
    command += ["--out", str(tmp_path / "sweep")]
    assert main(command) == 0
    rows = results(tmp_path / "sweep")["trials"]
    assert [row["values"]["width"] for row in rows] == [4, 8]
    assert all(row["status"] == "finished" and row["reports"] == 6 for row in rows)
    for row in rows:
        weights = tmp_path / "sweep" / row["folder"] / "model.safetensors"
        assert weights.read_bytes() == plain(row["values"]["width"])
    logs = [path.stat().st_mtime_ns for path in (tmp_path / "sweep" / "trials").glob("*.log")]
    page = (tmp_path / "sweep" / "report.html").read_bytes()
    assert main(command) == 0
    assert results(tmp_path / "sweep")["trials"] == rows
    assert (tmp_path / "sweep" / "report.html").read_bytes() == page
    again = [path.stat().st_mtime_ns for path in (tmp_path / "sweep" / "trials").glob("*.log")]
    assert again == logs
    # another sweep does not go into this folder
    assert main([*command, "--mode=max"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("search", ["asha", "bayes"])
def test_a_trial_without_a_number_is_the_worst_and_ends_no_sweep(tmp_path, search):
    command = ["sweep", RECIPE, "--over", "nan=true,false", "--search", search, "--trials=4"]
    command += ["--cpus=1", "--out", str(tmp_path / "sweep")]
    assert main(command) == 0
    rows = results(tmp_path / "sweep")["trials"]
    assert {row["values"]["nan"] for row in rows} == {True, False}
    for row in rows:
        assert (row["last"] is None) == row["values"]["nan"]
        assert row["status"] in ("finished", "stopped")


@pytest.mark.slow
def test_what_bayes_proposed_is_proposed_again(tmp_path):
    command = ["sweep", RECIPE, "--over", "train.lr=1e-4:1e-1:log", "--over", "width=2:8"]
    command += ["--search=bayes", "--trials=4", "--cpus=1", "--out", str(tmp_path / "sweep")]
    assert main(command) == 0
    rows, page = results(tmp_path / "sweep"), (tmp_path / "sweep" / "report.html").read_bytes()
    drawn = [tuple(row["values"].values()) for row in rows["trials"]]
    assert len(set(drawn)) == 4 and all(1e-4 <= lr <= 1e-1 and 2 <= w <= 8 for lr, w in drawn)
    assert main(command) == 0
    assert results(tmp_path / "sweep") == rows
    assert (tmp_path / "sweep" / "report.html").read_bytes() == page
    assert main([*command, "--trials=6"]) == 0  # goes on
    assert results(tmp_path / "sweep")["trials"][:4] == rows["trials"]


def test_what_can_never_start_is_refused_instead_of_waited_for(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["sweep", RECIPE, "--over", "width=2,4", "--gpus=1", "--cpus=1", "--out", str(out)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "a trial needs 1 x (1 processors, 1 GPUs)" in error and "no place for that" in error


def test_a_run_on_a_worker_has_the_weights_of_the_plain_run(tmp_path, plain):
    out = tmp_path / "run"
    assert main(["run", RECIPE, "--width=4", "--launcher=ray", "--out", str(out)]) == 0
    assert (out / "model.safetensors").read_bytes() == plain(4)
    assert not list(tmp_path.glob(".*"))  # Ray's own notes are gone


def work(item: tuple[str, str]) -> str:
    """A task that refuses, dies once, always fails, or answers."""
    name, folder = item
    if name == "refused":
        raise InputError("is not a file of jets", where=name)
    if name == "broken":
        raise OSError("the disk is away")
    if name == "dies" and not (Path(folder) / "died").exists():
        (Path(folder) / "died").touch()
        os._exit(1)
    return f"{name} in {Path.cwd()}"


def test_tasks_keep_their_order_and_are_tried_again(tmp_path, capsys):
    names = ["dies", "a", "refused", "b"]
    found = ray_files.run(work, [(name, str(tmp_path)) for name in names], workers=2)
    here = Path.cwd()
    assert found[0] == f"dies in {here}" and (tmp_path / "died").exists()
    assert [found[1], found[3]] == [f"a in {here}", f"b in {here}"]
    assert found[2] == ray_files.Failure("refused: is not a file of jets")
    with pytest.raises(InputError, match=r"1 of 4 files failed.*refused \(refused: is not"):
        ray_files.refuse([("refused", found[2])], 4, "files")


@pytest.mark.slow
def test_jets_of_a_folder_are_tagged_as_by_the_plain_command(tmp_path, capsys):
    from sciml.jets.data.sample import shipped

    (tmp_path / "jets").mkdir()
    (tmp_path / "jets" / "b.parquet").write_bytes(Path(shipped("test")).read_bytes())
    (tmp_path / "jets" / "a.parquet").write_bytes(b"PAR1 and no more")
    ran = main(["jets", "tag", str(tmp_path / "jets"), "-o", str(tmp_path / "out"),
                "--launcher", "ray", "--workers", "2"])  # fmt: skip
    assert ran == 2
    error = capsys.readouterr().err
    assert "1 of 2 files failed" in error and "a.parquet" in error
    source, goal = str(tmp_path / "jets" / "b.parquet"), str(tmp_path / "plain.parquet")
    assert main(["jets", "tag", source, "-o", goal]) == 0
    assert (tmp_path / "out" / "b.parquet").read_bytes() == Path(goal).read_bytes()
    assert not (tmp_path / "out" / "a.parquet").exists()
