"""Names of packages that load when they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sciml.jets
import sciml.placement
import sciml.protein
import sciml.symbolic

PACKAGES = [sciml.jets, sciml.protein, sciml.symbolic, sciml.placement]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_every_exported_name_loads(package):
    assert package.__all__ == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is getattr(package, name)
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_unknown_name_has_a_proposal(package):
    name = package.__all__[0]
    with pytest.raises(AttributeError, match=f"did you mean '{name}'"):
        getattr(package, name + "s")


def test_importing_a_science_loads_no_torch():
    names = ", ".join(package.__name__ for package in PACKAGES)
    code = f"import sys, {names}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_type_checkers_see_the_same_names(package):
    tree = ast.parse(Path(package.__file__).read_text())
    for_checkers = [node for node in tree.body if isinstance(node, ast.If)]
    lines = [line for node in for_checkers for line in node.body]
    names = [a.name for line in lines if isinstance(line, ast.ImportFrom) for a in line.names]
    assert sorted(names) == package.__all__
