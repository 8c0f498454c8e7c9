"""Modules keep answering to the paths that they had in version 0.1."""

import importlib.util
import sys
from pathlib import Path

import pytest

import sciml.moved as moved


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sciml.protein.dca", "sciml.protein.contacts.dca"),
        ("sciml.protein.alignment_io", "sciml.protein.io.alignment_files"),
        ("sciml.protein.predictor", "sciml.protein.alphafold.predictor"),
        ("sciml.symbolic.checking", "sciml.symbolic.verification.checking"),
        ("sciml.symbolic.expression", "sciml.symbolic.expr.expression"),
        ("sciml.symbolic.ansatz.field", "sciml.symbolic.algebra.field"),
        ("sciml.symbolic.ode_api", "sciml.symbolic.ode.api"),
        ("sciml.jets.io", "sciml.jets.data.io"),
        ("sciml.placement.lefdef", "sciml.placement.formats.def_reader"),
        ("sciml.placement.search", "sciml.placement.learning.macro_search"),
        ("sciml.jets.readers.root", "sciml.jets.data.readers.root"),
        ("sciml.jets.weaver_config", "sciml.jets.weaver.config"),
    ],
)
def test_an_old_path_is_the_same_module(old: str, new: str) -> None:
    for part in (old, old.rpartition(".")[0]):
        if moved.present_path(part):
            sys.modules.pop(part, None)
    with pytest.warns(DeprecationWarning) as caught:
        module = importlib.import_module(old)
    assert str(caught[-1].message) == f"{old} is now {new}"
    assert module is importlib.import_module(new)
    assert module.__name__ == new and module.__spec__ is not None and module.__spec__.name == new


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("sciml.protein.contacts", "ContactNet"),
        ("sciml.symbolic.ode", "order_of"),
        ("sciml.symbolic.regression", "SymbolicRegressor"),
        ("sciml.symbolic.generate", "make"),
        ("sciml.placement.cost", "proxy_cost"),
        ("sciml.jets.weaver", "read_state"),
        ("sciml.jets.networks", "TrunkNetwork"),
    ],
)
def test_a_package_that_was_a_module_keeps_its_names(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    assert value.__module__.startswith(package + ".")


def test_every_renamed_module_is_there() -> None:
    for domain, names in moved.RENAMED.items():
        for old in names:
            present = moved.present_path(f"sciml.{domain}.{old}")
            assert present is not None and importlib.util.find_spec(present) is not None, old


def test_nonsense_stays_unknown() -> None:
    for path in ("sciml.protein.nonsense", "sciml.symbolic.expr.nonsense", "sciml.nonsense"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(path)
    with pytest.raises(ImportError):
        exec("from sciml.protein.contacts import nonsense", {})


@pytest.mark.parametrize(
    "package",
    ["protein.contacts", "symbolic.algebra", "symbolic.definite", "symbolic.generate",
     "symbolic.ode", "symbolic.regression"],
)  # fmt: skip
def test_modules_of_a_package_are_importable_first(package: str, monkeypatch) -> None:
    """Asked for one of its own modules, a package imports no other, which may need that one."""
    package_module = importlib.import_module(f"sciml.{package}")
    own = [
        path.stem
        for path in Path(package_module.__path__[0]).glob("*.py")
        if path.stem != "__init__"
    ]

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is imported")

    monkeypatch.setattr(moved.importlib, "import_module", refuse)
    for name in own:
        with pytest.raises(AttributeError):
            package_module.__getattr__(name)
