"""Optional packages are named with the extra that brings them, in one line."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sciml.doctor import OPTIONAL, REQUIRED
from sciml.errors import MissingExtra, load_extra

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def test_missing_package_is_named():
    assert load_extra("json", "jets", "reading") is sys.modules["json"]
    with pytest.raises(MissingExtra, match=r"reading X needs .*'no_such'.*sciml\[jets\]"):
        load_extra("no_such", "jets", "reading X")


def test_doctor_knows_the_packages_of_the_project():
    extras = PROJECT["optional-dependencies"]
    for package, (extra, _) in OPTIONAL.items():
        assert any(line.startswith(package) for line in extras[extra]), package
    for package in REQUIRED:
        assert any(line.startswith(package) for line in PROJECT["dependencies"]), package


@pytest.mark.parametrize("hidden, name, extra", [("uproot", "a.root", "jets"),
                                                 ("h5py", "a.h5", "jets")])  # fmt: skip
def test_reading_without_the_package_is_one_line(hidden, name, extra, tmp_path):
    """As on a machine without it: its import fails."""
    (tmp_path / name).write_bytes(b"root" if name.endswith("root") else b"\x89HDF\r\n\x1a\n")
    code = (
        f"import sys; sys.modules[{hidden!r}] = None\n"
        f"from sciml.cli import main; sys.exit(main(['jets', 'tag', {name!r}, '-o', 'o.parquet']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 2, done.stderr
    assert f"sciml[{extra}]" in done.stderr and done.stderr.count("\n") == 1
