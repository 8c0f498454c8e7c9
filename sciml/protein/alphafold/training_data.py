"""Training examples of the AlphaFold network: chains with structures, block deletion, crops.

Jumper et al., Nature 596, 583 (2021), supplement 1.2.6 (algorithm 1: block deletion), 1.2.8 (crops)
and 1.3 (thinned alignments of self-distilled chains).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from sciml.config import Range
from sciml.errors import InputError
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.features import collate, features
from sciml.protein.alphafold.templates import Template
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import read_alignment
from sciml.protein.io.structure import read_structure

__all__ = ["ChainExamples", "ChainTrainConfig", "TrainingChain", "collate", "read_training_chains"]

STRUCTURES = (".cif", ".pdb", ".ent")
ALIGNMENTS = (".a3m", ".sto", ".fasta", ".aln")
_MSA = ("msa_feat", "msa_mask", "true_msa", "bert_mask")
_EXTRA = ("extra_msa", "extra_msa_mask", "extra_has_deletion", "extra_deletion_value")


@dataclass(frozen=True)
class ChainTrainConfig:
    """How chains become training examples."""

    crop: Annotated[int, Range(min=8)] = 256
    """Residues of a crop (256 in initial training, 384 in fine-tuning)."""
    clusters: Annotated[int, Range(min=1)] = 128
    """Rows of the main alignment."""
    extra: Annotated[int, Range(min=1)] = 1024
    """Extra sequences."""
    recycles: Annotated[int, Range(min=0)] = 3
    """Largest number of recycling passes; each step draws their number."""
    unclamped: Annotated[float, Range(min=0, max=1)] = 0.1
    """Share of steps whose backbone FAPE is not clamped."""
    deleted_blocks: Annotated[int, Range(min=0)] = 5
    """Blocks of neighbouring rows deleted from each alignment."""
    deleted_share: Annotated[float, Range(min=0, max=1)] = 0.3
    """Share of the rows in each of them."""
    distilled_rows: Annotated[int, Range(min=1)] = 1000
    """Rows kept of the alignment of a self-distilled chain, drawn at random."""
    distilled_share: Annotated[float, Range(min=0, max=1)] = 0.75
    """Share of self-distilled chains among the examples, where there are any."""


@dataclass
class TrainingChain:
    """A chain with its alignment (query first and without gaps) and its structure.

    Attributes:
        alignment: [R, N].
        atoms, mask: [N, 37, 3] [A] and [N, 37].
        resolution: of the structure [A].
        templates: aligned structures.
        distilled: the structure is a prediction.
        name: of the chain.
    """

    alignment: Alignment
    atoms: np.ndarray
    mask: np.ndarray
    resolution: float = 1.0
    templates: tuple[Template, ...] = ()
    distilled: bool = False
    name: str = "chain"


class ChainExamples:
    """A map-style data set of cropped chains; all randomness is torch's, so that runs resume.

    An epoch has as many examples as there are chains. Where some are self-distilled, each example
    is one of those with the probability `distilled_share`.
    """

    def __init__(self, chains: Sequence[TrainingChain], config: ChainTrainConfig) -> None:
        for chain in chains:
            if chain.atoms.shape != (chain.alignment.columns, 37, 3):
                raise InputError(
                    f"atoms of shape {chain.atoms.shape} for {chain.alignment.columns} residues",
                    where=chain.alignment.source,
                )
        self.chains, self.config = list(chains), config
        self.templates = any(chain.templates for chain in chains)
        self.kinds = [
            [k for k, chain in enumerate(chains) if chain.distilled is kind]
            for kind in (False, True)
        ]

    def __len__(self) -> int:
        return len(self.chains)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        config = self.config
        if all(self.kinds):
            kind = self.kinds[float(torch.rand(())) < config.distilled_share]
            index = kind[index % len(kind)]
        chain = self.chains[index]
        seed = int(torch.randint(0, 2**31 - 1, ()))
        alignment = chain.alignment
        rng = np.random.default_rng(seed)
        if chain.distilled and alignment.depth > config.distilled_rows:
            rest = 1 + rng.choice(alignment.depth - 1, config.distilled_rows - 1, replace=False)
            alignment = alignment.select(np.r_[0, np.sort(rest)])
        alignment = delete_blocks(alignment, config.deleted_blocks, config.deleted_share, rng)
        example = features(
            alignment,
            FeatureConfig(config.clusters, config.extra),
            seed=seed,
            templates=list(chain.templates),
            use_templates=self.templates,
        )
        example |= {
            "truth_atoms": np.asarray(chain.atoms, np.float32),
            "truth_mask": np.asarray(chain.mask, np.float32),
        }
        n = alignment.columns
        start = int(torch.randint(0, max(1, n - config.crop + 1), ()))
        return crop(example, slice(start, start + min(config.crop, n))) | {
            "resolution": np.array(chain.resolution, np.float32)
        }


def delete_blocks(
    alignment: Alignment, blocks: int, share: float, rng: np.random.Generator
) -> Alignment:
    """Algorithm 1: delete some blocks of neighbouring rows, which are often of one subfamily."""
    size = int(share * alignment.depth)
    if alignment.depth < 2 or not size or not blocks:
        return alignment
    keep = np.ones(alignment.depth, bool)
    for start in rng.integers(1, alignment.depth, blocks):
        keep[start : start + size] = False
    return alignment.select(keep)


def crop(example: Mapping[str, np.ndarray], part: slice | np.ndarray) -> dict[str, np.ndarray]:
    """Some residues, a window or by their indices, of every feature."""
    cut = {}
    for key, value in example.items():
        if key == "template_mask":
            cut[key] = value
        elif key in _MSA + _EXTRA or key.startswith("template_"):
            cut[key] = value[:, part]
        else:
            cut[key] = value[part]
    return cut


def read_training_chains(folder: str | Path) -> list[TrainingChain]:
    """The first chain of every structure file in a folder, with its alignment.

    The alignment of NAME.cif or NAME.pdb is NAME.a3m (.sto, .fasta, .aln), whose first row is the
    sequence of the residues in the structure; a chain without such a file has its sequence alone.

    Raises:
        InputError: no structures, a damaged file, or an alignment of another sequence.
    """
    folder = Path(folder)
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in STRUCTURES]
    if not files:
        raise InputError(f"holds no structures ({', '.join(STRUCTURES)})", where=folder)
    chains = []
    for file in files:
        chain = read_structure(file)[0]
        beside = [file.with_suffix(suffix) for suffix in ALIGNMENTS]
        path = next((path for path in beside if path.is_file()), None)
        if path is None:
            alignment = Alignment.from_sequences([chain.sequence], source=str(file))
        else:
            alignment = read_alignment(path, unique=True).with_query(0)
        if alignment.row(0) != chain.sequence:
            raise InputError(
                f"its first row is not the sequence of chain {chain.name} in {file.name}",
                where=path,
                hint="The query must have the residues that the structure has, in their order",
            )
        chains.append(TrainingChain(alignment, chain.atoms, chain.mask, name=file.stem))
    return chains


INTERFACE_DISTANCE = 10.0
"""CA atoms of two chains closer than this are of their interface [A]."""


def contiguous_crop(chains: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A stretch of each chain, at random (Evans et al., bioRxiv 2021.10.04.463034, algorithm 1).

    Args:
        chains: [N] numbers of the chains.
        size: residues of the crop.
        rng: of the order of the chains, and of length and place of each stretch.

    Returns:
        [min(N, size)] indices, ascending.
    """
    kept = []
    added, remaining = 0, len(chains)
    for chain in rng.permutation(np.unique(chains)):
        members = np.flatnonzero(chains == chain)
        remaining -= len(members)
        most = min(size - added, len(members))
        least = min(len(members), max(0, size - added - remaining))
        length = int(rng.integers(least, most + 1))
        start = int(rng.integers(0, len(members) - length + 1))
        kept.append(members[start : start + length])
        added += length
    return np.sort(np.concatenate(kept))


def spatial_crop(
    ca: np.ndarray, chains: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """The residues around one of an interface (Evans et al., algorithm 2).

    Args:
        ca: [N, 3] [A], NaN where missing.
        chains: [N] numbers of the chains.
        size: residues of the crop.
        rng: of the residue in the middle.

    Returns:
        [min(N, size)] indices, ascending: around a residue of an interface, or around any where no
        two chains touch. Residues without CA come last.
    """
    apart = np.sqrt(((ca[:, None] - ca[None]) ** 2).sum(-1))
    touching = (apart < INTERFACE_DISTANCE) & (chains[:, None] != chains[None])
    middle = np.flatnonzero(touching.any(1))
    if not len(middle):
        middle = np.flatnonzero(np.isfinite(ca).all(1))
    if not len(middle):
        return contiguous_crop(chains, size, rng)
    distance = np.nan_to_num(apart[rng.choice(middle)], nan=np.inf)
    return np.sort(np.argsort(distance, kind="stable")[:size])
