"""Nothing of the user's is removed or written over, and a refused command leaves no trace."""

import json
from pathlib import Path

import pytest
import yaml

from sciml import recipes
from sciml.cli import main
from sciml.config import read_yaml, to_dict
from sciml.files import claims
from sciml.train.state import checkpoints

RECIPE = '''
"""A recipe of a user's own."""
from dataclasses import dataclass
from pathlib import Path

import torch

from sciml.errors import InputError
from sciml.train import TrainConfig, fit


@dataclass(frozen=True)
class Config:
    data: str = ""
    """A file."""
    size: int = 3
    """A number."""
    stop: str = ""
    """Where it is refused."""
    fit: TrainConfig = TrainConfig(steps=2, batch_size=2, checkpoint_every=1)
    """Training."""


TINY = {"size": 1}


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, batch):
        return {"loss": (self.weight * batch).mean()}


def main(config, out):
    if config.data and not Path(config.data).exists():
        raise InputError("no such file", where=config.data)
    with open(out / "log.jsonl", "a"):
        pass
    (out / "deep" / "er").mkdir(parents=True, exist_ok=True)
    if config.stop == "early":
        raise InputError("is refused")
    fit(Line(), torch.ones(4, 1), config.fit, out=out / "fit", quiet=True)
    if config.stop == "late":
        raise InputError("is refused")
    (out / "report.html").write_text("done")
'''


@pytest.fixture
def recipe(tmp_path) -> str:
    path = tmp_path / "own.py"
    path.write_text(RECIPE)
    return str(path)


def tree(folder: Path) -> dict[str, object]:
    """Everything below a folder: content and time of files, names of folders."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        if path.is_file() else None
        for path in folder.rglob("*")
    }  # fmt: skip


def refused(capsys, folder: Path, *arguments: object) -> str:
    """The line of a command that must be refused and leave `folder` as it was."""
    before = tree(folder)
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert errors[-1].startswith("sciml: error: ") and "Traceback" not in "".join(errors)
    assert tree(folder) == before
    return errors[-1]


def test_the_settings_file_of_the_user_stays(recipe, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    text = "# my own\nsize: 5\nstop: ''\n"
    (mine / "config.yaml").write_text(text)
    (mine / "jets.parquet").write_bytes(b"mine")
    command = ["run", recipe, "--config", mine / "config.yaml", "--out", mine]
    refused(capsys, mine, *command, "--data", mine / "no-such")
    assert main([*map(str, command), "--size", "6"]) == 0
    assert (mine / "config.yaml").read_text() == text
    assert claims.settings_file(mine) == mine / "settings.yaml"
    assert read_yaml(mine / "settings.yaml")["size"] == 6
    assert "all settings of this run" in capsys.readouterr().err
    assert main([*map(str, command), "--size", "6"]) == 0
    assert "size was 6, is 5" in refused(capsys, mine, *command)
    assert (mine / "jets.parquet").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "text",
    ["", "size: 5", "other: {program: 1}", "- a\n- b", "{ not yaml", "# sciml run own\nsize: 9\n"],
)
def test_any_config_in_the_folder_is_no_claim(recipe, tmp_path, text):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.yaml").write_text(text)
    assert main(["run", recipe, "--out", str(out)]) == 0
    assert (out / "config.yaml").read_text() == text
    assert main(["run", recipe, "--out", str(out)]) == 0
    assert main(["run", recipe, "--out", str(out), "--size", "4"]) == 2


def test_settings_copied_from_another_run_are_used_as_they_are(recipe, tmp_path, capsys):
    assert main(["run", recipe, "--out", str(tmp_path / "a"), "--size", "4"]) == 0
    (tmp_path / "b").mkdir()
    copied = tmp_path / "b" / "config.yaml"
    copied.write_bytes((tmp_path / "a" / "config.yaml").read_bytes())
    command = ["run", recipe, "--config", str(copied), "--out", str(tmp_path / "b")]
    assert main(command) == 0
    assert claims.settings_file(tmp_path / "b") == copied


def test_a_run_of_version_0_1_is_gone_on_with(recipe, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", recipe, "--out", str(out)]) == 0
    (out / claims.NAME).unlink()
    assert main(["run", recipe, "--out", str(out)]) == 0
    assert "size was 3, is 4" in refused(capsys, out, "run", recipe, "--out", out, "--size", "4")


def test_a_damaged_claim_is_one_line(recipe, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", recipe, "--out", str(out)]) == 0
    path = out / claims.NAME
    content = path.read_bytes()
    for text in (
        b"",
        b"{",
        b"[]",
        content.replace(b'"size": 3', b'"size": 4'),
        b'{"recipe": "own"}',
    ):
        path.write_bytes(text)
        assert "is damaged" in refused(capsys, out, "run", recipe, "--out", out)
    path.unlink()
    assert main(["run", recipe, "--out", str(out)]) == 0


def test_a_changed_settings_file_is_said_and_left(recipe, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", recipe, "--out", str(out)]) == 0
    (out / "config.yaml").write_text("size: 7\n")
    assert main(["run", recipe, "--out", str(out)]) == 0
    assert "was changed after the run began" in capsys.readouterr().err.replace("\n", " ")
    assert (out / "config.yaml").read_text() == "size: 7\n"
    (out / "config.yaml").unlink()
    assert main(["run", recipe, "--out", str(out)]) == 0
    assert read_yaml(out / "config.yaml") == to_dict(recipes.load(recipe).config())


@pytest.mark.parametrize("name", ["report.html", "model.safetensors", "metrics.jsonl", "runs/x"])
def test_results_of_another_hand_are_not_written_over(recipe, tmp_path, capsys, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert "Choose another --out" in refused(
        capsys, tmp_path, "run", recipe, "--out", tmp_path / "out"
    )


def test_a_run_refused_before_it_began_takes_what_it_made(recipe, tmp_path, capsys):
    refused(capsys, tmp_path, "run", recipe, "--out", tmp_path / "a" / "b", "--stop", "early")
    refused(capsys, tmp_path, "run", recipe, "--out", tmp_path / "c", "--size", "many")
    refused(capsys, tmp_path, "run", recipe, "--out", tmp_path / "c", "--fit.device", "cuda:77")
    refused(capsys, tmp_path, "run", recipe, "--out", tmp_path / "c", "--size", "[1")
    refused(capsys, tmp_path, "run", recipe, "--out", tmp_path / "own.py" / "x")
    assert not (tmp_path / "a").exists()


def test_a_run_stopped_after_it_began_keeps_what_it_has(recipe, tmp_path):
    out = tmp_path / "run"
    assert main(["run", recipe, "--out", str(out), "--stop", "late"]) == 2
    assert checkpoints(out / "fit" / "checkpoints") and (out / "config.yaml").exists()
    assert main(["run", recipe, "--out", str(out), "--stop", "late"]) == 2


def test_restart_on_the_command_line(recipe, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", recipe, "--out", str(out)]) == 0
    for _, path in checkpoints(out / "fit" / "checkpoints"):
        path.write_bytes(b"")
    assert "--restart" in refused(capsys, out, "run", recipe, "--out", out)
    assert main(["run", recipe, "--out", str(out), "--restart"]) == 0
    assert main(["run", recipe, "--out", str(out)]) == 0


def test_copies_of_a_recipe_are_whole_or_none(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("mine")
    assert "exists already" in refused(
        capsys, tmp_path, "recipes", "copy", "jet_tagging", tmp_path / "mine.py"
    )


NO = "no-such-file"
REFUSED = {
    "jet_tagging": [["--data", NO], ["--test", NO], ["--unlabelled", NO], ["--start", NO],
                    ["--objective", "maskd"], ["--background", "QDC"], ["--trunk.heads", "3"],
                    ["--finetune.device", "cuda:9"], ["--classes", "QCD"]],
    "flavour_tagging": [["--data", NO], ["--start", NO], ["--quantiles", "0.9", "0.1"]],
    "jet_mass": [["--data", NO], ["--start", NO], ["--target", "jet_wrong"],
                 ["--trunk.heads", "3"]],
    "pretrain": [["--data", NO], ["--trunk-settings", "{heads: 3}"], ["--objective", NO],
                 ["--train.monitor", "nonsense"], ["--start", NO],
                 ["--embedder-settings", "{jet: {features: kin}}"]],
    "protein_structure": [["--data", NO], ["--model", NO], ["--structures", NO],
                          ["--net.trunk.heads", "3"], ["--start", NO]],
    "alphafold_training": [["--structures", NO], ["--unlabelled", NO],
                           ["--network.outer-dim", "0"]],
    "symbolic_math": [["--sets", f"mine={NO}"], ["--sets", "other"], ["--exclude", NO],
                      ["--start", NO], ["--model.trunk.heads", "7"]],
    "circuit_placement": [["--design", NO], ["--objective", NO], ["--policy.trunk.heads", "3"],
                          ["--start", NO]],
    "placement_agents": [["--agents", "dqm"], ["--agents", ","], ["--policy.trunk.heads", "3"]],
    "transfer": [["--sciences", "symbolic"], ["--sciences", "symbolic", "jet"],
                 ["--objective", NO], ["--trunk", NO]],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_recipe_refuses_without_a_trace(name, tmp_path, capsys):
    assert set(REFUSED) == set(recipes.names())
    mine = tmp_path / "mine"
    mine.mkdir()
    settings = to_dict(recipes.load(name).config(tiny=True))
    (mine / "config.yaml").write_text("# mine\n" + yaml.safe_dump(settings))
    for k, flags in enumerate(REFUSED[name]):
        new = ["--tiny", "--out", tmp_path / "new" / "run"]
        own = ["--config", mine / "config.yaml", "--out", mine]
        refused(capsys, tmp_path, "run", name, *(own if k % 2 else new), *flags)


def test_two_processes_do_not_share_a_folder(recipe, tmp_path, capsys, monkeypatch):
    from dataclasses import asdict, replace

    from sciml.files import locks

    out = tmp_path / "run"
    out.mkdir()
    other = replace(locks.Owner.here(), host="elsewhere")
    (out / locks.NAME).write_text(json.dumps(asdict(other)))
    assert f"process {other.pid} on elsewhere" in refused(
        capsys, tmp_path, "run", recipe, "--out", out
    )
    assert "elsewhere" in refused(capsys, tmp_path, "demo", "--out", out)


def test_writing_commands_refuse_without_a_trace(tmp_path, capsys):
    (tmp_path / "a.a3m").write_text(">q\nACDEFGHIKL\n>r\nACDEFGHIKV\n")
    (tmp_path / "p.jsonl").write_text('{"integrand": "x"}\n')
    (tmp_path / "foreign.pdb").write_text("mine")
    (tmp_path / "jets.parquet.chunks").mkdir()
    (tmp_path / "jets.parquet.chunks" / "mine").write_text("mine")
    (tmp_path / "q.fasta").write_text(">foreign\nACDEFGHIKL\n")
    a, new = tmp_path / "a.a3m", tmp_path / "new" / "deep"
    for command in (
        ["jets", "tag", NO, "-o", new / "x.parquet"],
        ["jets", "tag", a, "-o", new / "x.parquet", "--model", NO],
        ["jets", "evaluate", NO, "-o", new / "x.json"],
        ["jets", "export", "-o", new / "x.onnx", "--model", NO],
        ["protein", "fold", NO, "-o", new],
        ["protein", "fold", a, "-o", new, "--model", NO],
        ["protein", "fold", a, "-o", new, "--params", NO],
        ["protein", "fold", tmp_path / "q.fasta", "-o", new, "--db", NO],
        ["protein", "fold", tmp_path / "q.fasta", "-o", tmp_path],
        ["protein", "contacts", a, "-o", new / "x.tsv", "--model", NO],
        ["protein", "search", a, "-o", a, "--db", a],
        ["protein", "score", a, a, "--out", a],
        ["symbolic", "solve-file", NO, "-o", new / "x.jsonl"],
        ["symbolic", "solve-file", tmp_path / "p.jsonl", "-o", tmp_path / "p.jsonl"],
        ["symbolic", "solve-file", tmp_path / "p.jsonl", "-o", new / "x.jsonl", "--model", NO],
        ["placement", "place", NO, "-o", new / "x.plc"],
        ["placement", "convert", NO, new / "x.def"],
        ["placement", "draw", NO, "-o", new / "x.png"],
        ["data", "make", "jets", "-o", tmp_path / "jets.parquet", "--jets", "2"],
        ["data", "make", "jets", "-o", new / "x.txt"],
        ["recipes", "copy", NO, new / "x.py"],
        ["demo", "--only", NO, "--out", new],
    ):  # fmt: skip
        refused(capsys, tmp_path, *command)


def test_an_interrupted_placement_is_not_lost_by_a_refusal(tmp_path, capsys):
    from sciml.placement.formats.io import write_design
    from sciml.placement.generate import NetlistConfig, netlist

    write_design(netlist(NetlistConfig(macros=4, clusters=6), 1), tmp_path / "d.pb.txt")
    (tmp_path / ".out.plc.search.npz").write_bytes(b"a search that was stopped")
    command = ["placement", "place", tmp_path / "d.pb.txt", "-o", tmp_path / "out.plc"]
    refused(capsys, tmp_path, *command, "--method", "policy", "--policy", NO)
    refused(capsys, tmp_path, *command, "--resume", "--budget", "1s")
