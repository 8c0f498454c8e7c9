"""Train the AlphaFold network: crops, random recycling, losses; and on its own predictions.

Jumper et al., Nature 596, 583 (2021), supplement 1.2.6 (algorithm 1), 1.2.8 (crops), 1.9 (weight of
a chain), 1.10 (recycling) and 1.3 (self-distillation: predict unlabelled sequences, keep what is
confident, train with noise). `sciml.train.fit` runs it: small configurations on a CPU, the full one
with bf16 and FSDP on GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.features import features
from sciml.protein.alphafold.losses import LossWeights, Truth, total_loss
from sciml.protein.alphafold.model import AlphaFold
from sciml.protein.alphafold.predictor import Job, StructurePredictor
from sciml.protein.alphafold.templates import Template
from sciml.protein.io.alignment import Alignment
from sciml.train.parallel import broadcast

_CELLS = ("msa_feat", "msa_mask", "true_msa", "bert_mask")
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
    """Most recycling passes; each step draws how many."""
    unclamped: Annotated[float, Range(min=0, max=1)] = 0.1
    """Share of steps whose backbone FAPE is not clamped."""
    deleted_blocks: Annotated[int, Range(min=0)] = 5
    """Blocks of neighbouring rows taken out of each alignment."""
    deleted_share: Annotated[float, Range(min=0, max=1)] = 0.3
    """Share of the rows in one of them."""
    distilled_rows: Annotated[int, Range(min=1)] = 1000
    """Rows that are left of a self-distilled chain's alignment, drawn at random."""
    distilled_share: Annotated[float, Range(min=0, max=1)] = 0.75
    """Share of self-distilled chains among the examples, where there are any."""


@dataclass
class TrainingChain:
    """A chain with its alignment (the query first, whole) and its structure.

    Attributes:
        alignment: [R, N].
        atoms, mask: [N, 37, 3] [A] and [N, 37].
        resolution: of the structure [A].
        templates: aligned structures.
        distilled: the structure is a prediction.
    """

    alignment: Alignment
    atoms: np.ndarray
    mask: np.ndarray
    resolution: float = 1.0
    templates: tuple[Template, ...] = ()
    distilled: bool = False


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
        found = features(
            alignment,
            FeatureConfig(config.clusters, config.extra),
            seed=seed,
            templates=list(chain.templates),
            use_templates=self.templates,
        )
        found |= {
            "truth_atoms": np.asarray(chain.atoms, np.float32),
            "truth_mask": np.asarray(chain.mask, np.float32),
        }
        n = alignment.columns
        start = int(torch.randint(0, max(1, n - config.crop + 1), ()))
        return crop(found, start, min(config.crop, n)) | {
            "resolution": np.array(chain.resolution, np.float32)
        }


def delete_blocks(
    alignment: Alignment, blocks: int, share: float, rng: np.random.Generator
) -> Alignment:
    """Algorithm 1: without some blocks of neighbouring rows, which are often of one subfamily."""
    size = int(share * alignment.depth)
    if alignment.depth < 2 or not size or not blocks:
        return alignment
    keep = np.ones(alignment.depth, bool)
    for start in rng.integers(1, alignment.depth, blocks):
        keep[start : start + size] = False
    return alignment.select(keep)


def crop(found: dict[str, np.ndarray], start: int, size: int) -> dict[str, np.ndarray]:
    """A window of residues of every feature."""
    part = slice(start, start + size)
    cut = {}
    for key, value in found.items():
        if key == "template_mask":
            cut[key] = value
        elif key in _CELLS + _EXTRA or key.startswith("template_"):
            cut[key] = value[:, part]
        else:
            cut[key] = value[part]
    return cut


def collate(examples: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """Pad examples to the largest and stack them; masks say what is padding."""
    batch = {}
    for key in examples[0]:
        values = [np.asarray(example[key]) for example in examples]
        shape = np.max([value.shape for value in values], axis=0).astype(int)
        padded = np.zeros((len(values), *shape), values[0].dtype)
        for number, value in enumerate(values):
            part: tuple[int | slice, ...] = (number, *(slice(size) for size in value.shape))
            padded[part] = value
        tensor = torch.as_tensor(padded)
        batch[key] = tensor.float() if tensor.is_floating_point() else tensor.long()
    return batch


class StructureLearner(nn.Module):
    """The network with its losses, as `sciml.train.fit` wants it.

    Args:
        model: what is trained; its blocks are checkpointed.
        weights: of the losses.
        config: recycling and clamping.
    """

    def __init__(
        self,
        model: AlphaFold,
        weights: LossWeights | None = None,
        config: ChainTrainConfig | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.model.checkpoint_blocks = True
        self.weights, self.config = weights or LossWeights(), config or ChainTrainConfig()

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Batch of `collate` -> loss and its terms; earlier passes run without gradient."""
        passes, clamp = 0, True
        if self.training:  # the same in all processes, which wait for each other in every pass
            cycle, loose = broadcast(torch.rand(2, device=batch["aatype"].device)).tolist()
            passes = int(cycle * (self.config.recycles + 1))
            clamp = loose >= self.config.unclamped
        previous = None
        for _ in range(passes):
            with torch.no_grad():
                previous = self.model(batch, previous, heads=False).recycle()
        output = self.model(batch, previous)
        truth = Truth(
            batch["aatype"], batch["truth_atoms"], batch["truth_mask"], batch["resolution"]
        )
        terms = total_loss(output, truth, batch, self.weights, clamp=clamp)
        # Short chains count less: by the square root of their residues.
        length = batch["seq_mask"].sum(1).sqrt()
        found = {name: value.detach().mean() for name, value in terms.items()}
        found |= {"loss": (length * terms["loss"]).mean(), "loss_a_chain": found["loss"]}
        return found | {"count": torch.tensor(float(len(length)))}


def self_distillation(
    predictor: StructurePredictor,
    alignments: Sequence[Alignment],
    *,
    least_plddt: float = 70.0,
    keep_residues: float = 50.0,
    **settings: Any,
) -> list[TrainingChain]:
    """Training chains from the network's own predictions of alignments without structures.

    Train on them with `ChainExamples`, whose crops, thinned alignments, choice of rows and masking
    are the noise. AlphaFold, which had no pLDDT when it did this, filtered by how far predicted
    distances are from those of any pair as far along the chain.

    Args:
        predictor: the teacher.
        alignments: query first.
        least_plddt: chains with a lower mean are left out.
        keep_residues: residues with a lower pLDDT count as unresolved.
        settings: of `StructurePredictor.predict_many`.
    """
    found = []
    for alignment in alignments:
        whole = alignment.with_query(0)
        predicted = predictor.predict_many([Job(whole)], **settings)[0]
        if predicted.mean_plddt < least_plddt:
            continue
        mask = predicted.atom_mask * (predicted.plddt >= keep_residues)[:, None]
        chain = TrainingChain(whole.deduplicate(), predicted.atoms, mask, distilled=True)
        found.append(chain)
    return found
