"""Estimates of the memory and time of a prediction, made before it starts.

The terms are the arrays that are alive together at the peaks: inside a triangle multiplication, in
the structure module, in the heads and when their logits become probabilities. Beside measured
peaks on a CPU: benchmarks/protein_memory.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sciml.errors import InputError
from sciml.nn.in_place import factor_groups
from sciml.protein.alphafold.feature_config import DEFAULT_FEATURES, FeatureConfig
from sciml.protein.alphafold.model import AlphaFoldConfig

if TYPE_CHECKING:
    from sciml.device import Placement

RUNTIME = 380 << 20
"""Interpreter, libraries and thread buffers [bytes], measured."""


@dataclass(frozen=True)
class Estimate:
    """Peak memory [bytes] and arithmetic of one pass [floating point operations]."""

    bytes: float
    operations: float

    def __str__(self) -> str:
        return f"{self.bytes / 2**30:.1f} GiB"


def parameters(c: AlphaFoldConfig) -> float:
    """Approximate number of parameters."""
    block = (
        19 * c.msa_dim**2
        + c.outer_dim**2 * c.pair_dim
        + (12 * c.triangle_dim + 18 * c.pair_dim) * c.pair_dim
    )
    return (c.blocks + 0.75 * c.extra_blocks) * block + 4e6 * (c.structure_dim / 384) ** 2


def estimate(
    c: AlphaFoldConfig,
    n: int,
    features: FeatureConfig = DEFAULT_FEATURES,
    *,
    batch: int = 1,
    templates: int = 0,
    width: int = 4,
) -> Estimate:
    """Peak memory and work of one pass.

    Args:
        c: the network.
        n: residues of the longest chain.
        features: alignment sizes.
        batch: chains at a time.
        templates: how many.
        width: bytes per number.
    """
    rows = features.clusters + templates
    pair = float(n) * n * batch
    alignment = rows * n * c.msa_dim * batch
    inputs = (200 * rows + 20 * features.extra) * n * batch  # the features [bytes]
    factors = pair * c.triangle_dim
    factors += factors / factor_groups(factors * width)
    stack = alignment * (1 + 2 * c.outer_dim / c.msa_dim) + factors + pair * c.pair_dim
    extra = float(features.extra) * n * batch * (c.extra_dim + 2 * c.outer_dim)
    extra += alignment + factors + pair * c.pair_dim
    if c.templates is not None and templates:
        t = c.templates
        extra = max(extra, pair * (c.pair_dim + t.dim * (templates + 1) + 2 * t.hidden))
    # What follows the Evoformer has full precision whatever its blocks have.
    structure = pair * (c.pair_dim + 7 * c.ipa_heads) + alignment
    heads = pair * (c.pair_dim + 2 * c.distogram_bins + c.pae_bins) + alignment
    total = (
        max(max(stack, extra) * width, max(structure, heads) * 4)
        + inputs
        + parameters(c) * 4
        + RUNTIME
    )
    main = _block(c, n, rows, c.msa_dim) * c.blocks
    return Estimate(
        total, batch * (main + _block(c, n, features.extra, c.extra_dim) * c.extra_blocks)
    )


def _block(c: AlphaFoldConfig, n: int, rows: int, dim: int) -> float:
    """Floating point operations of an Evoformer block on `rows` sequences of `dim` channels."""
    cells, pair = rows * float(n), float(n) * n
    alignment = cells * dim * (36 * dim + 4 * (rows + n))
    outer = 2 * pair * c.outer_dim**2 * (rows + c.pair_dim)
    update = pair * c.pair_dim * (24 * c.triangle_dim + 36 * c.pair_dim)
    return alignment + outer + update + pair * n * (4 * c.triangle_dim + 8 * c.pair_dim)


SHARE = 0.6
"""Share of a matrix product's speed that the network reaches, measured on a CPU."""


def speed(placement: Placement) -> float:
    """Floating point operations per second of the network, from a quick trial."""
    import time

    import torch

    size = 768 if placement.device.type == "cpu" else 4096
    one = torch.ones(size, size, device=placement.device, dtype=placement.dtype)
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        float((one @ one)[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - began)
    return SHARE * 2 * size**3 / best


def available(placement: Placement | None = None) -> float:
    """Free memory of the device [bytes]; of this process's container, where it has a limit."""
    import os

    if placement is not None and placement.device.type == "cuda":
        import torch

        return float(torch.cuda.mem_get_info(placement.device)[0])
    pages = float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    pages = float(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = file.read().strip()
        if limit != "max":
            pages = min(pages, float(limit))
    except OSError:
        pass
    return pages


def check(
    needed: Estimate,
    c: AlphaFoldConfig,
    n: int,
    features: FeatureConfig,
    limit: float | None = None,
    placement: Placement | None = None,
) -> None:
    """Refuse a prediction that does not fit into memory, and propose one that does.

    Raises:
        InputError: with the estimate and the longest chain or the settings that fit.
    """
    limit = available(placement) if limit is None else limit
    if needed.bytes <= limit:
        return
    small = FeatureConfig(clusters=min(128, features.clusters), extra=min(128, features.extra))
    if estimate(c, n, small).bytes <= limit:
        hint = f"{small.clusters} clusters and {small.extra} extra sequences would fit"
    else:
        fits = n
        while fits > 16 and estimate(c, fits, small).bytes > limit:
            fits = int(fits * 0.97)
        hint = (
            f"Chains of up to {fits} residues fit here (with {small.clusters} clusters and "
            f"{small.extra} extra sequences); a GPU with bf16 takes longer ones"
        )
    raise InputError(
        f"{n} residues need about {needed.bytes / 2**30:.1f} GiB of memory, "
        f"{limit / 2**30:.1f} GiB are free",
        hint=hint,
    )
