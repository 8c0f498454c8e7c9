"""Train the AlphaFold network: random recycling, losses, and self-distillation.

Jumper et al., Nature 596, 583 (2021), supplement 1.9 (losses, weight of a chain), 1.10 (recycling)
and 1.3 (self-distillation: predict unlabelled sequences, keep what is confident, train with noise).
`sciml.train.fit` runs it: small configurations on a CPU (`sciml run alphafold_training`), the full
one with bf16 and FSDP on GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sciml.protein.alphafold.complex_training import matched_truth
from sciml.protein.alphafold.losses import LossWeights, Truth, total_loss
from sciml.protein.alphafold.model import AlphaFold
from sciml.protein.alphafold.predictor import Job, StructurePredictor
from sciml.protein.alphafold.training_data import ChainExamples as ChainExamples
from sciml.protein.alphafold.training_data import ChainTrainConfig, TrainingChain
from sciml.protein.alphafold.training_data import collate as collate
from sciml.protein.io.alignment import Alignment
from sciml.train.parallel import broadcast, rank_and_world


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
            draws = torch.rand(2)
            if rank_and_world()[1] > 1:
                draws = broadcast(draws.to(batch["aatype"].device))
            cycle, loose = draws.tolist()
            passes = int(cycle * (self.config.recycles + 1))
            clamp = loose >= self.config.unclamped
        previous = None
        for _ in range(passes):
            with torch.no_grad():
                previous = self.model(batch, previous, heads=False).recycle()
        output = self.model(batch, previous)
        atoms, mask = batch["truth_atoms"], batch["truth_mask"]
        if "whole_atoms" in batch:  # of a complex
            atoms, mask = matched_truth(output.atoms, batch)
        truth = Truth(batch["aatype"], atoms, mask, batch["resolution"])
        terms = total_loss(output, truth, batch, self.weights, clamp=clamp)
        # Short chains count less: by the square root of their residues.
        length = batch["seq_mask"].sum(1).sqrt()
        losses = {name: value.detach().mean() for name, value in terms.items()}
        losses |= {"loss": (length * terms["loss"]).mean(), "loss_per_chain": losses["loss"]}
        return losses | {"count": length.new_full((), len(length))}


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
    are the noise. AlphaFold, which had no pLDDT then, filtered by the divergence of the predicted
    distances from those of any pair at the same separation along the chain.

    Args:
        predictor: the teacher.
        alignments: query first.
        least_plddt: chains with a lower mean pLDDT are left out.
        keep_residues: residues with a lower pLDDT count as unresolved.
        settings: of `StructurePredictor.predict_many`.
    """
    chains = []
    for alignment in alignments:
        alignment = alignment.with_query(0)
        predicted = predictor.predict_many([Job(alignment)], **settings)[0]
        if predicted.mean_plddt < least_plddt:
            continue
        mask = predicted.atom_mask * (predicted.plddt >= keep_residues)[:, None]
        chains.append(TrainingChain(alignment.deduplicate(), predicted.atoms, mask, distilled=True))
    return chains
