"""The pages of the documentation: their code and commands run, and the site builds cleanly."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(p for folder in ("tutorials", "howto") for p in (DOCS / folder).glob("*.md"))
MAIN = "import sys; from sciml.cli import main; sys.exit(main(sys.argv[1:]))"


def steps(page: Path) -> list[list[str]]:
    """Arguments to Python of each code block and each `$ sciml ...` line, in order."""
    found = []
    for language, block in re.findall(r"```(\w+)\n(.*?)```", page.read_text("utf-8"), re.S):
        if language == "python":
            found.append(["-c", block])
        elif language == "console":
            lines = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
            assert all(line.startswith("sciml ") for line in lines), lines
            found += [["-c", MAIN, *shlex.split(line)[1:]] for line in lines]
    return found


@pytest.mark.docs
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_every_block_of_a_page_runs(page, tmp_path):
    for arguments in steps(page):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=1700,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, (arguments, done.stderr[-2000:])


def test_every_page_has_something_to_run():
    without = {page.stem for page in PAGES if not steps(page)}
    # Their commands take the reader's files.
    assert without == {"own-data", "weaver", "openroad"}


def test_commands_that_take_the_readers_files_have_flags_that_exist():
    from sciml import recipes

    for page in [*PAGES, DOCS / "index.md"]:
        for line in re.findall(r"`?(sciml run [^`|\n]*)", page.read_text("utf-8")):
            words = shlex.split(line)
            if words[2:3] and re.fullmatch(r"[a-z_]+", words[2]):
                recipe = recipes.load(words[2])
                names = recipes._dotted(type(recipe.config()))
                known = {f"--{name.replace('_', '-')}" for name in names}
                flags = {word for word in words[3:] if word.startswith("--")}
                assert flags <= known | {"--tiny", "--out", "--config", "--help"}, line


@pytest.mark.docs
@pytest.mark.timeout(900)
def test_the_site_builds_without_a_warning_and_documents_every_public_name(tmp_path):
    pytest.importorskip("sphinx")
    from sphinx.util.inventory import InventoryFile

    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-qWE", "--keep-going", str(DOCS), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=880,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for page in ("index", "tutorials/jets", "reference/core", "cards/models", "cards/data"):
        text = (tmp_path / f"{page}.html").read_text("utf-8")
        loaded = re.findall(r"<(?:script|link)[^>]+(?:src|href)=\"(https?:[^\"]+)", text)
        assert not loaded, loaded  # opens offline
    assert "jets-tiny" in (tmp_path / "cards" / "models.html").read_text("utf-8")

    with (tmp_path / "objects.inv").open("rb") as file:
        inventory: Any = InventoryFile.load(file, "", lambda base, uri: uri)
    inventory = getattr(inventory, "data", inventory)
    documented = {name for kind, names in inventory.items() if kind[:3] == "py:" for name in names}
    assert len(documented) > 2000
    assert public_names() - documented == set()


def public_names() -> set[str]:
    """Every module and what it defines: its `__all__`, or all without an underscore."""
    names = set()
    for path in (ROOT / "sciml").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[-1] == "__main__":
            continue
        names.add(module)
        tree = ast.parse(path.read_text("utf-8"))
        exported = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            if isinstance(node.value, ast.List)
        ]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                if any("custom_op" in ast.unparse(line) for line in node.decorator_list):
                    continue  # an operator of torch, no function for Sphinx
                if node.name in exported[0] if exported else not node.name.startswith("_"):
                    names.add(f"{module}.{node.name}")
    return names


def test_every_public_function_and_class_has_a_docstring():
    missing = []
    for path in sorted((ROOT / "sciml").rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if ast.get_docstring(node) is None:
                    missing.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert missing == []
