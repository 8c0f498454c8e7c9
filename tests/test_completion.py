"""The Tab key knows the commands, their second words and their options."""

import contextlib
import io
import subprocess

import pytest

from sciml.cli import completion, main


@pytest.fixture(scope="module")
def bash() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        completion()
    return out.getvalue()


def complete(script: str, *words: str) -> list[str]:
    """What bash offers for the last of `words`."""
    line = " ".join(f'"{word}"' for word in ("sciml", *words))
    code = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _sciml; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("arguments", [[], ["bash"], ["zsh"]])
def test_as_the_readme_writes_it(bash, arguments, capsys):
    assert main(["completion", *arguments]) == 0
    output = capsys.readouterr().out
    assert output.endswith(bash) and (output == bash) == (arguments != ["zsh"])


def test_commands(bash):
    assert {"run", "jets", "doctor", "completion"} <= set(complete(bash, ""))
    assert complete(bash, "jet") == ["jets"]


def test_second_words(bash):
    assert complete(bash, "run", "jet") == ["jet_mass", "jet_tagging"]
    assert set(complete(bash, "jets", "")) == {
        "tag", "evaluate", "explain", "attack", "export", "standardise", "working-points"
    }  # fmt: skip
    assert "copy" in complete(bash, "recipes", "")


def test_options(bash):
    assert complete(bash, "run", "jet_tagging", "--finetune.st") == [
        "--finetune.steps", "--finetune.strategy"
    ]  # fmt: skip
    for option in ("--out", "--config", "--tiny", "--restart", "--launcher", "--partition"):
        assert complete(bash, "run", "symbolic_math", option) == [option]
    assert complete(bash, "placement", "place", "--cpu") == ["--cpu-seconds"]
    assert complete(bash, "nothing", "here", "--") == []
