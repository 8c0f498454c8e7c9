"""The command line as a user meets it."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from sciml import recipes
from sciml.cli import main
from sciml.launch import slurm

ROOT = Path(__file__).resolve().parents[1]


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rn"], "unknown command 'rn'. Did you mean 'run'?"),
        (["run", "jet_taging"], "Did you mean 'jet_tagging'"),
        (["run", "nothing.py"], "no such recipe"),
        (["recipes", "coppy"], "Did you mean 'copy'?"),
        (["recipes", "copy", "jet_tagging"], "PATH"),
        (["recipes", "list", "--foo"], "Unrecognized options: --foo"),
        (["data", "show", "jetclas"], "Did you mean 'jetclass'"),
        (["models", "show", "nothing-like-it"], "unknown model"),
        (
            ["run", "jet_tagging", "--pretrain.lrr", "1", "--sed", "3"],
            "did you mean --pretrain.lr?",
        ),
        (
            ["run", "jet_tagging", "--finetune.lr", "-1", "--finetune.batch-size", "many"],
            "2 problems",
        ),
        (["run", "jet_tagging", "--config", "no.yaml"], "no such YAML file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, arguments, message):
    code, out, err = call(capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1 and err.startswith("sciml: error: ")
    assert out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["run"],
        ["recipes"],
        ["data"],
        ["models"],
        ["data", "make"],
        ["recipes", "list"],
        ["data", "list"],
        ["run", "jet_tagging", "--help"],
        ["doctor"],
        ["recipes", "copy", "--help"],
        ["models", "list"],
    ],
)
def test_help_and_lists_succeed(capsys, arguments):
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert len(out) > 20


def test_help_shows_every_setting_with_meaning_and_default(capsys):
    recipe = recipes.load("jet_tagging")
    main(["run", "jet_tagging", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    for name in recipes._dotted(type(recipe.config())):
        assert f"--{name.replace('_', '-')}" in out or "." not in name
    assert "Peak learning rate" in out and "default:" in out
    assert "--tiny" in out and "--out DIR" in out


def test_a_copied_recipe_is_the_recipe(tmp_path, capsys):
    code, out, _ = call(capsys, "recipes", "copy", "jet_tagging", str(tmp_path / "mine.py"))
    assert code == 0 and "mine.py" in out
    copied = recipes.load(str(tmp_path / "mine.py"))
    from sciml.config import to_dict

    assert to_dict(copied.config()) == to_dict(recipes.load("jet_tagging").config())
    code, _, err = call(capsys, "recipes", "copy", "jet_tagging", str(tmp_path / "mine.py"))
    assert code == 2 and "exists already" in err


def test_a_recipe_without_main_is_refused(tmp_path, capsys):
    (tmp_path / "half.py").write_text("class Config: pass\n")
    code, _, err = call(capsys, "run", str(tmp_path / "half.py"))
    assert code == 2 and "it lacks main, TINY" in err


SCRIPT = '''
"""A recipe of a user's own."""
from dataclasses import dataclass
from sciml.train.loop import Interrupted

@dataclass(frozen=True)
class Config:
    text: str = "a"
    """What to write."""
    numbers: tuple[int, ...] = (1,)
    """Numbers."""
    deep: bool = True
    """A switch."""

TINY = {"text": "tiny"}

def main(config, out):
    if config.text == "refused":
        from sciml.errors import InputError

        raise InputError("this text is refused")
    if config.text == "stop":
        raise Interrupted(15, 7)
    (out / "said.txt").write_text(f"{config.text} {config.numbers} {config.deep}")
'''


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(SCRIPT)
    return path


def test_flags_yaml_and_tiny_meet_in_order(script, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text("text: yaml\nnumbers: [4]\n")
    out = tmp_path / "run"
    assert main(["run", str(script), "--out", str(out)]) == 0
    assert (out / "said.txt").read_text() == "yaml (4,) True"
    flags = ["--tiny", "--numbers", "2", "3", "--no-deep", "--out", str(tmp_path / "b")]
    assert main(["run", str(script), *flags]) == 0
    assert (tmp_path / "b" / "said.txt").read_text() == "tiny (2, 3) False"
    assert "text: tiny" in (tmp_path / "b" / "config.yaml").read_text()
    assert (tmp_path / "b" / "config.yaml").read_text().startswith("# sciml run own")


@pytest.mark.parametrize("name", recipes.names())
def test_no_setting_of_a_recipe_is_hidden_by_an_option_of_run(name, monkeypatch):
    recipe = recipes.load(name)
    flags = [
        f"--{field.name.replace('_', '-')}"
        for field in dataclasses.fields(recipe.config(None, False))
    ]
    arguments = [word for flag in flags for word in (flag, "1")]
    assert slurm.parse(arguments)[1] == arguments
    reached: list[str] = []

    def parse_flags(cls: type, words: list[str]) -> dict:
        reached.extend(words)
        return {}

    monkeypatch.setattr(recipes, "parse_flags", parse_flags)
    recipes.parse(recipe, arguments, check_devices=False)
    assert reached == arguments


def test_a_folder_with_another_run_is_refused(script, tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["run", str(script), "--out", out]) == 0
    assert main(["run", str(script), "--out", out]) == 0
    code, _, err = call(capsys, "run", str(script), "--out", out, "--text", "b")
    assert code == 2 and "text was 'a', is 'b'" in err


def test_a_run_refused_before_it_began_leaves_no_claim(script, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", str(script), "--out", str(out), "--text", "refused"]) == 2
    assert not out.exists()
    assert main(["run", str(script), "--out", str(out)]) == 0


def test_an_interrupted_run_says_how_to_go_on(script, tmp_path, capsys):
    code, _, err = call(capsys, "run", str(script), "--out", str(tmp_path / "r"), "--text", "stop")
    assert code == 143 and "step 7; the same command goes on" in err


def test_import_is_light():
    program = (
        "import sys, time; t = time.perf_counter(); import sciml; "
        "print(time.perf_counter() - t, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    _, torch_loaded, numpy_loaded = done.stdout.split()
    assert (torch_loaded, numpy_loaded) == ("False", "False")


def test_the_program_and_the_module_are_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "sciml", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("sciml ")
