"""Where a network of jets starts from: a fresh trunk, any other one, or a pretrained one.

A recipe's `start` is empty (the trunk of its own settings), the name or import path of another
trunk, or the folder that `sciml run pretrain --out FOLDER` wrote. A folder brings no code: where
its trunk is one of your own, `own_trunk` names that again.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sciml import trunks
from sciml.errors import InputError
from sciml.files import tensors
from sciml.jets.networks.embedder import FeatureSet, JetEmbedder
from sciml.trunks.base import load_state
from sciml.trunks.pair_transformer import PairTransformerConfig


def usual() -> PairTransformerConfig:
    """The trunk that recipes of jets take where nothing else is said: 0.2M parameters."""
    return PairTransformerConfig(
        dim=64, pair_dim=4, depth=3, heads=4, bias_hidden=32, symmetric_pairs=True,
        class_depth=1, dropout=0.1,
    )  # fmt: skip


def saved(start: str) -> Path | None:
    """The folder of an earlier `sciml run pretrain`, if `start` is one."""
    folder = Path(start)
    return folder if start and (folder / "embedder.safetensors").exists() else None


def fresh(
    config: Any, start: str, features: FeatureSet, own_trunk: str = ""
) -> tuple[Any, JetEmbedder]:
    """A trunk and its embedder without training.

    Args:
        config: settings of the trunk; another trunk takes its `dim` and `pair_dim`.
        start: see the module; of a pretrained trunk the kind and the sizes are taken.
        features: what the embedder reads.
        own_trunk: the trunk of your own in the folder `start`.
    """
    if own_trunk and not saved(start):
        raise InputError("`own_trunk` belongs to a folder in `start`: name a fresh one by `start`")
    if not start:
        trunk = trunks.build(config)
    elif folder := saved(start):
        known = trunks.load(folder / "trunk", own_trunk or None)
        trunk = type(known)(known.config)
    else:
        trunk = trunks.build({"name": start, "dim": config.dim, "pair_dim": config.pair_dim})
    return trunk, JetEmbedder(trunk.dim, trunk.pair_dim, features)


def load(folder: Path, features: FeatureSet, own_trunk: str = "") -> SimpleNamespace:
    """`trunk` and `embedder` that `sciml run pretrain` left in `folder`; see `fresh`.

    Raises:
        InputError: its embedder is not one of jets with these features.
    """
    trunk = trunks.load(folder / "trunk", own_trunk or None)
    embedder = JetEmbedder(trunk.dim, trunk.pair_dim, features)
    path = folder / "embedder.safetensors"
    state, _ = tensors.read(path)
    try:
        load_state(embedder, state)
    except InputError as error:
        raise InputError(
            f"does not hold an embedder of jets with `features: {features}` ({error})", where=path,
            hint="Pretrain on jets, with the same features",
        ) from error  # fmt: skip
    return SimpleNamespace(trunk=trunk, embedder=embedder)
