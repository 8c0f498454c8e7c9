"""Modules by the paths that they had in version 0.1.

`sciml.protein.dca` is now `sciml.protein.contacts.dca`: the old path still imports the same module,
with a DeprecationWarning, until version 0.3.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from sciml.paths import PACKAGE

RENAMED = {
    "jets": {
        "data.given": "data.sources",
        "given": "data.sources",
        "onnx": "deployment.onnx",
        "tally": "scores",
        "events": "simulation.events",
        "part": "networks.particle_transformer",
        "part_pairs": "networks.particle_transformer_pairs",
        "question": "downstream",
        "weaver.expressions": "data.expressions",
        "weaver_config": "weaver.config",
        "weaver_weights": "weaver.event_weights",
    },
    "objectives": {"question": "downstream"},
    "placement": {
        "kernels": "cost.proxy_kernels",
        "lefdef": "formats.def_reader",
        "question": "downstream",
        "search": "learning.macro_search",
        "stretches": "classical.segments",
    },
    "protein": {
        "alignment_io": "io.alignment_files",
        "alphafold.official_sizes": "alphafold.weights.sizes",
        "alphafold.official_weights": "alphafold.weights.official",
        "alphafold.openfold_weights": "alphafold.weights.openfold",
        "alphafold_weights": "alphafold.weights.official",
        "contact_features": "contacts.features",
        "features": "alphafold.features",
        "folding": "contacts.coarse_model",
        "folding_run": "batch",
        "folds": "contacts.topologies",
        "generate": "contacts.synthetic_families",
        "io.search": "io.homology_search",
        "official_sizes": "alphafold.weights.sizes",
        "openfold_weights": "alphafold.weights.openfold",
        "prediction": "alphafold.prediction",
        "predictor": "alphafold.predictor",
        "question": "downstream",
        "search": "io.homology_search",
        "training": "alphafold.training",
    },
    "symbolic": {
        "ansatz": "integration.ansatz",
        "ansatz.columns": "integration.ansatz.logarithmic_terms",
        "ansatz.field": "algebra.field",
        "ansatz.kernels": "algebra.tower",
        "ansatz.linear": "integration.ansatz.linear_system",
        "ansatz.parameters": "integration.ansatz.rational_reconstruction",
        "ansatz.prepare": "algebra.prepare",
        "ansatz.radicals": "algebra.radicals",
        "ansatz.rootsums": "integration.root_sums",
        "ansatz.special": "integration.ansatz.special_functions",
        "ansatz.support": "integration.ansatz.support",
        "ansatz.torsion": "integration.ansatz.torsion",
        "breaks": "definite.discontinuities",
        "case_roots": "verification.principal_values",
        "case_signs": "verification.sign_conditions",
        "cases": "verification.normal_form",
        "checking": "verification.checking",
        "confirm": "definite.confirmation",
        "definite.breaks": "definite.discontinuities",
        "definite.confirm": "definite.confirmation",
        "definite.leading": "definite.leading_terms",
        "definite.onesided": "definite.limits",
        "definite.pieces": "definite.newton_leibniz",
        "definite.probe": "definite.numerical_limits",
        "definite.zeros": "definite.closed_form_zeros",
        "integration.ansatz.columns": "integration.ansatz.logarithmic_terms",
        "integration.ansatz.linear": "integration.ansatz.linear_system",
        "integration.ansatz.parameters": "integration.ansatz.rational_reconstruction",
        "integration.ansatz.rootsums": "integration.root_sums",
        "integration.ansatz.special": "integration.ansatz.special_functions",
        "leading": "definite.leading_terms",
        "ode.branches": "ode.singular_solutions",
        "ode.exponential": "ode.liouvillian",
        "ode.linear": "ode.constant_coefficients",
        "ode.outside": "ode.fallbacks",
        "ode.pieces": "ode.absolute_values",
        "ode.substitution": "ode.point_transformations",
        "ode.variable": "ode.change_of_variable",
        "generate.sampling": "generate.integrals",
        "sampling": "generate.integrals",
        "neural.refit": "neural.coefficients",
        "refit": "neural.coefficients",
        "ode_api": "ode.api",
        "ode_branches": "ode.singular_solutions",
        "ode_check": "ode.checking",
        "ode_exponential": "ode.liouvillian",
        "ode_first": "ode.first_order",
        "ode_linear": "ode.constant_coefficients",
        "ode_outside": "ode.fallbacks",
        "ode_pieces": "ode.absolute_values",
        "ode_second": "ode.second_order",
        "ode_substitution": "ode.point_transformations",
        "ode_tools": "ode.tools",
        "ode_variable": "ode.change_of_variable",
        "onesided": "definite.limits",
        "pieces": "definite.newton_leibniz",
        "points": "verification.sample_points",
        "probe": "definite.numerical_limits",
        "question": "downstream",
        "solve": "integration.api",
        "systems": "cas",
        "verification.case_roots": "verification.principal_values",
        "verification.case_signs": "verification.sign_conditions",
        "verification.cases": "verification.normal_form",
        "verification.points": "verification.sample_points",
        "zeros": "definite.closed_form_zeros",
    },
}
"""Of each package: modules with a new name; all others kept theirs."""


def present_path(path: str) -> str | None:
    """The present path of a module by an old one; None for any other path."""
    if path.count(".") < 2 or not path.startswith("sciml."):
        return None
    _, domain, old = path.split(".", 2)
    if domain not in RENAMED:
        return None
    if new := RENAMED[domain].get(old):
        return f"sciml.{domain}.{new}"
    if not old.replace(".", "_").isidentifier():
        return None
    file = old.replace(".", "/")
    if (PACKAGE / domain / f"{file}.py").exists() or (PACKAGE / domain / file).is_dir():
        return None  # a path of today
    root = PACKAGE / domain
    candidates = [*root.rglob(f"{file}.py"), *root.rglob(f"{file}/__init__.py")]
    if len(candidates) != 1:
        return None
    parts = candidates[0].relative_to(PACKAGE).with_suffix("").parts
    return ".".join(("sciml", *parts)).removesuffix(".__init__")


class Finder(MetaPathFinder, Loader):
    """Imports modules by their old paths, where nothing else has that name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        new = present_path(fullname)
        return None if new is None else ModuleSpec(fullname, self, origin=new)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, not a copy."""
        warnings.warn(f"{spec.name} is now {spec.origin}", DeprecationWarning, stacklevel=2)
        return importlib.import_module(str(spec.origin))

    def exec_module(self, module: ModuleType) -> None:
        """It ran when it was imported; it stays known by its own name."""
        name = module.__spec__.origin if module.__spec__ else None
        module.__spec__ = importlib.util.spec_from_file_location(str(name), module.__file__)


def install() -> None:
    """Let old paths be imported from now on."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())  # before the search along a moved package's folder


def former(package: str, module: str) -> Callable[[str], Any]:
    """`__getattr__` of a package that was a module: its names are those of `module` in it."""

    def get(name: str) -> Any:
        # Python asks the package for its own modules while they are being imported, and `module`
        # may be one of those that import them.
        if not name.startswith("__") and importlib.util.find_spec(f"{package}.{name}") is None:
            implementation = importlib.import_module(f"{package}.{module}")
            if hasattr(implementation, name):
                return getattr(implementation, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
