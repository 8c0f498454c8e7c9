"""Train the AlphaFold network: crops, random recycling, losses; and on its own predictions.

Jumper et al., Nature 596, 583 (2021), supplement 1.2.8 (crops), 1.10 (recycling) and 1.3
(self-distillation: predict unlabelled sequences, keep what is confident, train with noise).
`sciml.train.fit` runs it: small configurations on a CPU, the full one with bf16 and FSDP on GPUs.
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
from sciml.protein.alignment import Alignment
from sciml.protein.features import FeatureConfig, Template, features
from sciml.protein.losses import LossWeights, Truth, total_loss
from sciml.protein.model import AlphaFold
from sciml.protein.predictor import Job, StructurePredictor

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


@dataclass
class TrainingChain:
    """A chain with its alignment (the query first, whole) and its structure.

    Attributes:
        alignment: [R, N].
        atoms, mask: [N, 37, 3] [A] and [N, 37].
        resolution: of the structure [A].
        templates: aligned structures.
    """

    alignment: Alignment
    atoms: np.ndarray
    mask: np.ndarray
    resolution: float = 1.0
    templates: tuple[Template, ...] = ()


class ChainExamples:
    """A map-style data set of cropped chains; all randomness is torch's, so that runs resume."""

    def __init__(self, chains: Sequence[TrainingChain], config: ChainTrainConfig) -> None:
        for chain in chains:
            if chain.atoms.shape != (chain.alignment.columns, 37, 3):
                raise InputError(
                    f"atoms of shape {chain.atoms.shape} for {chain.alignment.columns} residues",
                    where=chain.alignment.source,
                )
        self.chains, self.config = list(chains), config

    def __len__(self) -> int:
        return len(self.chains)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        chain, config = self.chains[index], self.config
        seed = int(torch.randint(0, 2**31 - 1, ()))
        found = features(
            chain.alignment,
            FeatureConfig(config.clusters, config.extra),
            seed=seed,
            templates=list(chain.templates),
            use_templates=bool(chain.templates),
        )
        found |= {
            "truth_atoms": np.asarray(chain.atoms, np.float32),
            "truth_mask": np.asarray(chain.mask, np.float32),
        }
        n = chain.alignment.columns
        start = int(torch.randint(0, max(1, n - config.crop + 1), ()))
        return crop(found, start, min(config.crop, n)) | {
            "resolution": np.array(chain.resolution, np.float32)
        }


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
        passes = int(torch.randint(0, self.config.recycles + 1, ())) if self.training else 0
        previous = None
        for _ in range(passes):
            with torch.no_grad():
                previous = self.model(batch, previous, heads=False).recycle()
        output = self.model(batch, previous)
        truth = Truth(
            batch["aatype"], batch["truth_atoms"], batch["truth_mask"], batch["resolution"]
        )
        clamp = not self.training or float(torch.rand(())) >= self.config.unclamped
        terms = total_loss(output, truth, batch, self.weights, clamp=clamp)
        count = torch.tensor(float(len(batch["aatype"])))
        return {k: v if k == "loss" else v.detach() for k, v in terms.items()} | {"count": count}


def self_distillation(
    predictor: StructurePredictor,
    alignments: Sequence[Alignment],
    *,
    least_plddt: float = 70.0,
    keep_residues: float = 50.0,
    **settings: Any,
) -> list[TrainingChain]:
    """Training chains from the network's own predictions of alignments without structures.

    Train on them with `ChainExamples`, whose crops, row choice and masking are the noise.

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
        found.append(TrainingChain(whole.deduplicate(), predicted.coordinates, mask))
    return found
