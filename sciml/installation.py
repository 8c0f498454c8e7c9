"""Faults of the installation and of the machine, explained in one line each.

What a package raises when something is missing is a traceback for its developers; a user of the
command line needs to know what is wrong and the next step. Anything that is not recognised here
keeps its traceback.
"""

from __future__ import annotations

import errno
import sys

from sciml.errors import InputError

REQUIRED = {
    "torch": "torch", "torch_geometric": "torch-geometric", "numpy": "numpy", "scipy": "scipy",
    "numba": "numba", "safetensors": "safetensors", "yaml": "pyyaml", "tyro": "tyro",
    "rich": "rich", "matplotlib": "matplotlib", "jaxtyping": "jaxtyping",
    "sklearn": "scikit-learn", "e3nn": "e3nn", "awkward": "awkward", "pyarrow": "pyarrow",
    "gemmi": "gemmi", "Bio": "biopython", "sympy": "sympy", "flint": "python-flint",
    "gymnasium": "gymnasium",
}  # fmt: skip
"""Module -> the package that brings it, of those that sciml always needs."""
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""Error numbers of a file or folder that may not be read or written."""


def explained(error: BaseException) -> InputError | None:
    """An error of the installation or the machine as one line; None for any other error."""
    if isinstance(error, ImportError):
        return _of_import(error)
    if isinstance(error, OSError) and error.errno in DENIED:
        return InputError(
            f"is not allowed ({error.strerror})", where=error.filename or None,
            hint="Choose a folder of your own, or ask for its permissions",
        )  # fmt: skip
    text = " ".join(str(error).split())
    if isinstance(error, RuntimeError) and "no locator available" in text:
        return InputError(
            "compiled code cannot be kept: neither the package's folder nor the user's cache can "
            "be written",
            hint="Name a folder that can: export NUMBA_CACHE_DIR=/tmp/numba",
        )
    if type(error).__name__ == "OutOfMemoryError" or "out of memory" in text and "CUDA" in text:
        return InputError(
            "the GPU has too little memory for this",
            hint="Use smaller batches (--train.batch-size), or --device cpu",
        )
    if isinstance(error, RuntimeError) and "CUDA" in text and _of_driver(text):
        return InputError(
            f"torch and the GPU's driver do not fit ({text.split('.')[0][:160]})",
            hint="Install the torch build for your driver (pytorch.org/get-started), or use "
            "--device cpu; `sciml doctor` says which build this is",
        )
    if isinstance(error, MemoryError):
        return InputError("the memory is full", hint="Use smaller files or batches")
    return None


def _of_import(error: ImportError) -> InputError | None:
    """A required package that is missing, or a library that does not load."""
    name = (error.name or "").partition(".")[0]
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        if name not in REQUIRED:
            return None
        first = "; torch comes first, see the README" if name == "torch" else ""
        return InputError(
            f"the package {REQUIRED[name]!r} is not installed in {sys.prefix}",
            hint=f"Install it: {sys.executable} -m pip install {REQUIRED[name]}{first}",
        )
    if ".so" in text or "dylib" in text or "DLL" in text:
        return InputError(
            f"a library of an installed package does not load ({text[:200]})",
            hint="A build for another CUDA or another system: install that package again, torch "
            "as the README says",
        )
    return None


def _of_driver(text: str) -> bool:
    """Whether a message of CUDA is about a driver or a build, not about a program."""
    signs = ("driver", "no kernel image", "not compiled with CUDA", "no CUDA-capable device",
             "PTX was compiled", "forward compatibility")  # fmt: skip
    return any(sign in text for sign in signs)
