"""What the README tells a reader to do works."""

import os
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


def shape(line: str) -> str:
    """A line of output without its numbers, which differ by machine and by version."""
    return " ".join(re.sub(r"[\d.,]+(e-?\d+)?", "#", line).split())


def steps() -> list[tuple[str, list[str]]]:
    """From top to bottom: a command, and the output that the README shows below it."""
    found: list[tuple[str, list[str]]] = []
    for language, block in BLOCKS:
        for line in block.splitlines() if language == "console" else ():
            if line.startswith("$ "):
                found.append((line[2:].split("  #")[0].strip(), []))
            else:
                found[-1][1].append(line)
    return found


def test_four_lines_show_their_output():
    shown = [command for command, output in steps() if output and command.startswith("sciml")]
    for science in ("symbolic", "protein", "placement", "jets"):
        assert any(f"sciml {science} " in command for command in shown), science


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_walk_from_top_to_bottom(tmp_path):
    """Every command of the README in one fresh folder, in order, with the output it shows."""
    bin_ = Path(sys.executable).parent
    for command, output in steps():
        if command.startswith(("make ", "pip ")):
            continue  # the next test, and the wheel's
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=1800,
            env={**os.environ, "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr[-2000:])
        lines = {shape(line) for line in (done.stdout + done.stderr).splitlines()}
        for line in output:
            assert line.strip() == "..." or shape(line) in lines, (
                command,
                line,
                done.stdout,
                done.stderr[-2000:],
            )


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
