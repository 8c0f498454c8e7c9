"""`sciml doctor`: what is installed, which device, what is missing for which feature."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys

from sciml import __version__

# package -> (extra that brings it, what needs it)
OPTIONAL = {
    "pythia8mc": ("generate", "generating jets"),
    "fastjet": ("generate", "clustering generated jets"),
    "pyhmmer": ("protein", "searching a sequence data base"),
    "tmtools": ("protein", "TM-scores of structures"),
    "uproot": ("jets", "ROOT files"),
    "h5py": ("jets", "HDF5 files"),
    "onnx": ("onnx", "exporting models to ONNX"),
    "onnxruntime": ("onnx", "checking exported models"),
    "tensorboard": ("tensorboard", "TensorBoard files beside metrics.jsonl"),
    "mlflow-skinny": ("mlflow", "logging to MLflow"),
    "wandb": ("wandb", "logging to Weights & Biases"),
    "ray": ("ray", "sweeps, and runs and predictions on a Ray cluster"),
    "optuna": ("bayes", "`sciml sweep --search bayes`"),
}
REQUIRED = (
    "torch",
    "torch-geometric",
    "numpy",
    "scipy",
    "numba",
    "e3nn",
    "safetensors",
    "awkward",
    "pyarrow",
    "gemmi",
    "biopython",
    "sympy",
    "python-flint",
    "gymnasium",
    "matplotlib",
    "scikit-learn",
    "rich",
    "tyro",
)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def doctor() -> int:
    """Show what is installed, which device is used, and what is missing for which feature.

    Exits with 1 if a required package is missing.
    """
    from sciml import device, weights
    from sciml.launch import slurm
    from sciml.paths import cache_dir

    print(f"sciml {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"device: {device.choose()}; {os.cpu_count()} processors")
    print(f"models here: {', '.join(weights.names()) or 'none'}")
    print(f"downloads and generated data: {cache_dir()}")
    missing = [package for package in REQUIRED if _version(package) is None]
    installed = ", ".join(f"{p} {_version(p)}" for p in REQUIRED if p not in missing)
    print(f"installed: {installed}")
    for package in missing:
        print(f"MISSING: {package}; mend it with: {sys.executable} -m pip install sciml")
    for package, (extra, purpose) in OPTIONAL.items():
        version = _version(package)
        mend = f"missing; for {purpose}: pip install 'sciml[{extra}]'"
        print(f"optional {package}: {version or mend}")
    absent = ", ".join(slurm.missing())
    print(f"SLURM: {f'{absent} not here, for sciml run --submit slurm' if absent else 'here'}")
    return 1 if missing else 0
