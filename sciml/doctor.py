"""`sciml doctor`: what is installed, which device, what is missing for which feature."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sciml import __version__

# package -> (extra that brings it, what needs it)
OPTIONAL = {
    "pythia8mc": ("generate", "generating jets"),
    "fastjet": ("generate", "clustering generated jets"),
    "pyhmmer": ("protein", "searching a sequence data base"),
    "tmtools": ("protein", "TM-scores of structures"),
    "mtkahypar": ("placement", "clustering a flat netlist"),
    "uproot": ("jets", "ROOT files"),
    "h5py": ("jets", "HDF5 files"),
    "onnx": ("onnx", "exporting models to ONNX"),
    "onnxruntime": ("onnx", "checking exported models"),
    "tensorboard": ("tensorboard", "TensorBoard files beside metrics.jsonl"),
    "mlflow-skinny": ("mlflow", "logging to MLflow"),
    "wandb": ("wandb", "logging to Weights & Biases"),
    "ray": ("ray", "sweeps, and runs and predictions on a Ray cluster"),
    "optuna": ("bayes", "`sciml sweep --search bayes`"),
    "stable-baselines3": ("rl", "agents on the placement environment"),
    "sb3-contrib": ("rl", "agents on the placement environment"),
    "dask-awkward": ("hep", "delayed arrays of jets"),
    "hist": ("hep", "histograms of scores"),
    "mplhep": ("hep", "plots in the style of an experiment"),
}
OF_RAY = ("pandas", "pyarrow", "fsspec", "tensorboardX")
"""What Ray Tune and Train need beside Ray."""
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
    "jinja2",
    "latex2mathml",
)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu() -> str:
    """Which GPUs torch sees, or why it sees none."""
    import torch

    if torch.cuda.is_available():
        facts = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        kinds = Counter(f"{f.name} ({f.total_memory / 2**30:.0f} GiB)" for f in facts)
        return (
            f"{', '.join(f'{n} x {kind}' for kind, n in kinds.items())}; CUDA {torch.version.cuda}"
        )
    if torch.backends.mps.is_available():
        return "Apple's, for --train.device mps"
    if torch.version.cuda is None:
        return (
            f"none; torch {torch.__version__} is built without CUDA: for NVIDIA's GPUs install "
            "another build (pytorch.org/get-started)"
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = f"; CUDA_VISIBLE_DEVICES={visible!r}" if visible is not None else ""
    return f"none is visible, torch is built for CUDA {torch.version.cuda}: see nvidia-smi{hidden}"


def _backends() -> str:
    """By what processes of a run talk to each other."""
    from torch import distributed

    if not distributed.is_available():
        return "no backend: this torch is built without torch.distributed"
    names = {"gloo": distributed.is_gloo_available(), "NCCL": distributed.is_nccl_available()}
    here = [name for name, is_there in names.items() if is_there]
    return f"{', '.join(here)}{'' if names['NCCL'] else ' (GPUs need NCCL, which is missing)'}"


def _cache() -> str:
    """The cache folder and the space in it."""
    from sciml.paths import cache_dir

    folder = cache_dir()
    above = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if not os.access(above, os.W_OK):
        return f"{folder}, which cannot be written: name another by SCIML_CACHE"
    free = shutil.disk_usage(above).free / 1e9
    return f"{folder} ({free:,.0f} GB free; SCIML_CACHE names another)"


def _ray() -> str:
    """Whether sweeps and runs on Ray can begin, and on which cluster."""
    mend = "for sciml sweep and --launcher ray: pip install 'sciml[ray]'"
    if _version("ray") is None:
        return f"missing; {mend}"
    absent = [name for name in OF_RAY if importlib.util.find_spec(name) is None]
    if absent:
        return f"{', '.join(absent)} missing beside it; {mend}"
    address = os.environ.get("RAY_ADDRESS")
    return f"the cluster {address} (RAY_ADDRESS)" if address else (
        "a cluster on this machine for each command; RAY_ADDRESS names another"
    )  # fmt: skip


def _slurm() -> str:
    """Whether jobs can be submitted from here."""
    from sciml.launch import slurm

    if absent := slurm.missing():
        return (
            f"{', '.join(absent)} missing; sciml run --submit slurm writes the script all the same"
        )
    job = os.environ.get("SLURM_JOB_ID")
    return f"here, for sciml run --submit slurm{f'; this is job {job}' if job else ''}"


def _compiled() -> str:
    """Where compiled code is kept."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return f"{named} (NUMBA_CACHE_DIR); sciml doctor --warm compiles it all"
    beside = os.access(Path(__file__).parent, os.W_OK)
    where = "beside the package" if beside else "in the user's cache"
    return f"{where}; sciml doctor --warm compiles it all"


def _licences() -> None:
    """The licence of every installed package that sciml needs or can use, as it states it."""
    for package in (*REQUIRED, *OPTIONAL):
        if _version(package) is not None:
            print(f"{package} {_version(package)}: {_licence(package)}")


def _licence(package: str) -> str:
    """The licence that a package states: SPDX expression, classifier, or first line of text."""
    about: Any = importlib.metadata.metadata(package)
    kinds = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or ()
             if c.startswith("License ::")]  # fmt: skip
    text = (about.get("License") or "").strip().splitlines()
    return (
        about.get("License-Expression") or ", ".join(kinds) or (text[0] if text else "not stated")
    )


def doctor(warm: bool = False, licences: bool = False) -> int:
    """Show what is installed, which device is used, and what is missing for which feature.

    Exits with 1 if a required package is missing.

    Args:
        warm: Instead, compile what is compiled at first use, one process per core.
        licences: Instead, list the licences of the packages that are used.
    """
    if warm:
        from sciml.warm import warm as compile_all

        return 1 if compile_all() else 0
    if licences:
        _licences()
        return 0
    from sciml import device, weights

    print(f"sciml {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"device: {device.choose()}; {os.cpu_count()} processors")
    print(f"models here: {', '.join(weights.names()) or 'none'}")
    print(f"GPU: {_gpu()}")
    print(f"downloads and generated data: {_cache()}")
    print(f"compiled code: {_compiled()}")
    missing = [package for package in REQUIRED if _version(package) is None]
    installed = ", ".join(f"{p} {_version(p)}" for p in REQUIRED if p not in missing)
    print(f"installed: {installed}")
    for package in missing:
        print(f"MISSING: {package}; mend it with: {sys.executable} -m pip install sciml")
    for package, (extra, purpose) in OPTIONAL.items():
        version = _version(package)
        mend = f"missing; for {purpose}: pip install 'sciml[{extra}]'"
        print(f"optional {package}: {version or mend}")
    print(f"several processes: torchrun with {_backends()}")
    print(f"Ray: {_ray()}")
    print(f"SLURM: {_slurm()}")
    return 1 if missing else 0
