"""Whose parameters a file holds, by its suffix, and the sizes of the network they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciml.config import from_dict
from sciml.protein.alphafold.model import AlphaFoldConfig
from sciml.weights import files

OPENFOLD = (".pt", ".pth", ".ckpt")
"""Suffixes of OpenFold's checkpoints."""
SAVED = ".safetensors"
"""Suffix of files that `StructurePredictor.save` writes; AlphaFold's are .npz."""
ENTRY = "alphafold_config"
"""Entry of the description in the metadata of such a file."""
KIND = "AlphaFold network"


def read_config(path: str | Path) -> AlphaFoldConfig:
    """The sizes of the network in a parameter file: AlphaFold's, OpenFold's or this package's."""
    from sciml.protein.alphafold.weights import official, openfold

    suffix = Path(path).suffix
    if suffix in OPENFOLD:
        return openfold.read_config(path)
    if suffix == SAVED:
        description, _, file = files.read(path, ENTRY, KIND)
        return config_of(description, file)
    return official.read_config(path)


def config_of(description: Mapping[str, Any], where: Path) -> AlphaFoldConfig:
    """The sizes in what `StructurePredictor.describe` gave."""
    sizes = {key: v for key, v in description.items() if key not in ("name", "fused_layout")}
    return from_dict(AlphaFoldConfig, sizes, where=where)
