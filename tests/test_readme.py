"""What the README tells a reader to do works."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sciml import recipes, weights

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.S)


def commands() -> list[str]:
    """The lines after `$` in console blocks."""
    return [
        line[2:].split("  #")[0].strip()
        for language, block in BLOCKS
        if language == "console"
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def test_the_two_commands_stand_there_and_are_targets():
    assert "make demo" in commands() and "make test" in commands()
    for target in ("demo", "test", "test-slow", "wheel"):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_each_sciml_command_names_what_exists():
    for command in commands():
        words = shlex.split(command)
        if words[:2] == ["sciml", "run"]:
            recipe = recipes.load(words[2])
            flags = [w for w in words[3:] if w.startswith("--")]
            known_flags = {
                f"--{n.replace('_', '-')}" for n in recipes._dotted(type(recipe.config()))
            }
            assert set(flags) <= known_flags | {"--tiny", "--out", "--config"}, command
        if "--model" in words:
            weights.find(words[words.index("--model") + 1])


@pytest.mark.parametrize("code", [block for language, block in BLOCKS if language == "python"])
def test_the_import_examples_run(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


def test_every_picture_and_link_inside_the_project_is_there():
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", TEXT):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_demo_in_a_fresh_clone(tmp_path):
    """`make demo` does all its own set-up; the demonstration itself takes a few minutes."""
    clone = tmp_path / "sciml"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    done = subprocess.run(["make", "demo"], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (clone / "runs" / "demo" / "report.html").stat().st_size > 10_000
    shutil.rmtree(clone)
