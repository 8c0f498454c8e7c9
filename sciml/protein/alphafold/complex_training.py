"""Training examples of AlphaFold-Multimer: complexes with structures, crops, equal chains matched.

Evans et al., bioRxiv 2021.10.04.463034, section 7: half of the crops are stretches of each chain,
half lie around a residue of an interface; before the losses the truth's equal chains are permuted
to where the prediction has them. `StructureLearner` trains on these examples as on single chains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.protein.alphafold.complex_features import chain_numbers, complex_features
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.job import Job
from sciml.protein.alphafold.templates import Template
from sciml.protein.alphafold.training_data import (
    STRUCTURES,
    ChainTrainConfig,
    TrainingChain,
    contiguous_crop,
    crop,
    spatial_crop,
)
from sciml.protein.io.complexes import Complex, complex_of, read_complex
from sciml.protein.io.structure import Chain, read_structure
from sciml.protein.measure import metrics
from sciml.protein.measure.chains import match_chains, matched_residues
from sciml.protein.measure.interfaces import complex_quality

SPATIAL = 0.5
"""Share of the crops that lie around a residue of an interface."""
WHOLE = ("whole_atoms", "whole_mask", "whole_numbers")


@dataclass
class TrainingComplex:
    """A complex with its structure, the copies of a chain one after the other.

    Attributes:
        parts: chains with their alignments.
        atoms, mask: [N, 37, 3] [A] and [N, 37].
        resolution: of the structure [A].
        templates: aligned to the whole complex.
        name: of the complex.
    """

    parts: Complex
    atoms: np.ndarray
    mask: np.ndarray
    resolution: float = 1.0
    templates: tuple[Template, ...] = ()
    name: str = "complex"

    @classmethod
    def of_chain(cls, chain: TrainingChain) -> TrainingComplex:
        """A chain alone, as AlphaFold-Multimer takes it."""
        parts = complex_of([chain.alignment], chain.name)
        return cls(
            parts, chain.atoms, chain.mask, chain.resolution, chain.templates, name=chain.name
        )


class ComplexExamples:
    """A map-style data set of cropped complexes; all randomness is torch's, so that runs resume.

    Beside the features and the truth of its crop, an example has the atoms of the whole complex
    (`WHOLE`: numbers are those of the chain, its sequence, and the residue in it), from which
    `matched_truth` takes the truth when the prediction is known.
    """

    def __init__(self, complexes: Sequence[TrainingComplex], config: ChainTrainConfig) -> None:
        self.config, self.complexes = config, list(complexes)
        self.jobs = [Job.of(each.parts, each.templates) for each in complexes]
        for each, job in zip(self.complexes, self.jobs, strict=True):
            if each.atoms.shape != (job.alignment.columns, 37, 3):
                raise InputError(
                    f"atoms of shape {each.atoms.shape} for {job.alignment.columns} residues",
                    where=each.name,
                )

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        each, job, config = self.complexes[index], self.jobs[index], self.config
        seed = int(torch.randint(0, 2**31 - 1, ()))
        rng = np.random.default_rng(seed)
        chains = job.chains
        assert chains is not None  # jobs of complexes have them
        sizes = FeatureConfig(config.clusters, config.extra)
        example = complex_features(
            job.alignment.deduplicate(), chains, sizes, seed=seed, templates=list(each.templates)
        )
        atoms, mask = (np.asarray(v, np.float32) for v in (each.atoms, each.mask))
        example |= {"truth_atoms": atoms, "truth_mask": mask}
        if rng.random() < SPATIAL:
            ca = np.where(mask[:, 1, None] > 0, atoms[:, 1], np.nan)
            kept = spatial_crop(ca, chains.asym_id, config.crop, rng)
        else:
            kept = contiguous_crop(chains.asym_id, config.crop, rng)
        return crop(example, kept) | {
            "whole_atoms": atoms,
            "whole_mask": mask,
            "whole_numbers": chains.numbers,
            "resolution": np.array(each.resolution, np.float32),
        }


def matched_truth(predicted: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The truth of a batch of crops, equal chains as the prediction has them (section 7.3).

    Args:
        predicted: atoms [B, N, 37, 3] [A].
        batch: of `ComplexExamples`, collated.

    Returns:
        atoms [B, N, 37, 3] and mask [B, N, 37].
    """
    atoms, mask = batch["truth_atoms"].clone(), batch["truth_mask"].clone()
    keys = ("asym_id", "entity_id", "residue_index")
    ours = torch.stack([batch[key] for key in keys], -1).cpu().numpy()
    theirs = batch["whole_numbers"].cpu().numpy()
    model = predicted.detach()[:, :, 1].double().cpu().numpy()
    known = batch["whole_mask"][..., 1].cpu().numpy() > 0
    truth = np.where(known[..., None], batch["whole_atoms"][:, :, 1].cpu().numpy(), np.nan)
    for k, (mine, real) in enumerate(zip(ours[..., 0] > 0, theirs[..., 0] > 0, strict=True)):
        assigned = match_chains(
            model[k][mine], ours[k][mine], truth[k][real].astype(np.float64), theirs[k][real]
        )
        source = matched_residues(ours[k][mine], theirs[k][real], assigned)
        rows = torch.as_tensor(np.maximum(source, 0), device=atoms.device)
        here = torch.as_tensor(np.flatnonzero(mine), device=atoms.device)
        found = torch.as_tensor(source >= 0, device=atoms.device).float()[:, None]
        atoms[k, here] = batch["whole_atoms"][k, rows] * found[..., None]
        mask[k, here] = batch["whole_mask"][k, rows] * found
    return atoms, mask


def complex_scores(atoms: np.ndarray, truth: TrainingComplex) -> dict[str, float]:
    """lDDT of CA, TM-score and DockQ of a model [N, 37, 3] [A], equal chains matched.

    DockQ is NaN where the truth has no interface.
    """
    numbers = chain_numbers(truth.parts).numbers
    known = np.where(truth.mask[..., None] > 0, truth.atoms, np.nan).astype(np.float64)
    model = atoms.astype(np.float64)
    quality = complex_quality(model, numbers, known, numbers)
    order = matched_residues(numbers, numbers, quality.chain_of)
    return {
        "lDDT-CA": float(metrics.lddt(model[:, 1], known[order, 1])),
        "TM-score": quality.tm_score,
        "DockQ": quality.dockq if quality.interfaces else float("nan"),
    }


def read_training_complexes(folder: str | Path) -> list[TrainingComplex]:
    """All chains of every structure file in a folder, with their alignments.

    The alignment of NAME.cif or NAME.pdb is NAME.a3m, ColabFold's, or a folder NAME with an A3M of
    each chain; a complex without one has its sequences alone.

    Raises:
        InputError: no structures, a damaged file, or an alignment of other chains.
    """
    folder = Path(folder)
    files = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in STRUCTURES]
    if not files:
        raise InputError(f"holds no structures ({', '.join(STRUCTURES)})", where=folder)
    complexes = []
    for file in files:
        chains = list(read_structure(file))
        beside = [file.with_suffix(".a3m"), file.with_suffix("")]
        path = next((p for p in beside if p.exists()), None)
        parts = (
            complex_of([chain.sequence for chain in chains], file.stem)
            if path is None
            else read_complex(path)
        )
        ordered = _in_order(parts, chains, path or file)
        atoms, mask = (
            np.concatenate([getattr(c, key) for c in ordered]) for key in ("atoms", "mask")
        )
        complexes.append(TrainingComplex(parts, atoms, mask, name=file.stem))
    return complexes


def _in_order(parts: Complex, chains: list[Chain], where: Path) -> list[Chain]:
    """The structure's chains in the order of the complex's."""
    left, ordered = list(chains), []
    for sequence in parts.sequences:
        found = next((chain for chain in left if chain.sequence == sequence), None)
        if found is None:
            raise InputError(
                f"has a chain of {len(sequence)} residues that the structure lacks",
                where=where,
                hint="Its sequences must be those of the residues in the structure",
            )
        left.remove(found)
        ordered.append(found)
    if left:
        raise InputError(f"lacks the structure's chain {left[0].name}", where=where)
    return ordered
