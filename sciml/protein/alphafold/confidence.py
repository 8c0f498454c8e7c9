"""Confidences from the heads' logits: pLDDT, predicted aligned error, pTM, distances.

Jumper et al., Nature 596, 583 (2021), supplement 1.9.6 to 1.9.8.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_ALIGNED_ERROR = 31.0
"""Upper edge [A] of the last but one class of the predicted aligned error."""


SLICE_BYTES = 16 << 20
"""Probabilities that are made at a time."""


def expected(logits: Tensor, values: Tensor) -> Tensor:
    """Mean of `values` [bins] under the classes' probabilities, [..., (N,) N, bins] -> [..., N].

    Pairs are taken a few rows at a time, so that no second array of all their classes is made.
    """
    if logits.ndim < 3:
        return (logits.float().softmax(-1) * values).sum(-1)
    row = max(logits[..., :1, :, :].numel() * 4, 1)
    parts = logits.split(max(1, SLICE_BYTES // row), -3)
    return torch.cat([(part.float().softmax(-1) * values).sum(-1) for part in parts], -2)


def probabilities(logits: Tensor) -> Tensor:
    """[N, N, bins] -> the same in single precision, contiguous, a few rows at a time."""
    result = torch.empty(logits.shape, dtype=torch.float32, device=logits.device)
    rows = max(1, SLICE_BYTES // max(logits[:1].numel() * 4, 1))
    for part, source in zip(result.split(rows), logits.split(rows), strict=True):
        part.copy_(source.float().softmax(-1))
    return result


def plddt(logits: Tensor) -> Tensor:
    """[..., bins] -> expected lDDT, 0 to 100."""
    bins = logits.shape[-1]
    centers = (torch.arange(bins, device=logits.device, dtype=torch.float32) + 0.5) / bins
    return expected(logits, centers) * 100


def pae_breaks(bins: int, device: torch.device | None = None) -> Tensor:
    """[bins - 1] edges [A] of the predicted aligned error's classes."""
    return torch.linspace(0.0, MAX_ALIGNED_ERROR, bins - 1, device=device)


def pae_centers(bins: int, device: torch.device | None = None) -> Tensor:
    """[bins] centres [A]; the last class takes all larger errors."""
    breaks = pae_breaks(bins, device)
    step = breaks[1] - breaks[0]
    centers = breaks + step / 2
    return torch.cat([centers, centers[-1:] + step])


def predicted_aligned_error(logits: Tensor) -> Tensor:
    """[..., bins] -> expected error [A] of residue j when aligned on residue i."""
    return expected(logits, pae_centers(logits.shape[-1], logits.device))


def ptm(logits: Tensor, mask: Tensor, chains: Tensor | None = None) -> Tensor:
    """Predicted TM-score of a chain or complex: logits [B, N, N, bins], mask [B, N] -> [B].

    With `chains` [B, N], the numbers of the residues' chains, only pairs of two chains count:
    ipTM (Evans et al., bioRxiv 2021.10.04.463034, section 2.5), which is 0 for a single chain.
    """
    weight = mask.float()
    count = weight.sum(-1).clamp(min=19)
    scale = 1.24 * (count - 15) ** (1 / 3) - 1.8
    centers = pae_centers(logits.shape[-1], logits.device)
    term = 1 / (1 + (centers[None] / scale[:, None]) ** 2)  # [B, bins]
    score = torch.stack([expected(*one) for one in zip(logits, term, strict=True)])
    pairs = weight[:, :, None] * weight[:, None, :]
    if chains is not None:
        pairs = pairs * (chains[:, :, None] != chains[:, None, :])
    share = pairs / (1e-8 + pairs.sum(-1, keepdim=True))
    return ((score * share).sum(-1) * weight).amax(-1)


def ranking(ptm: float, iptm: float) -> float:
    """By which models of a complex are ranked, 0 to 1 (section 2.5)."""
    return 0.8 * iptm + 0.2 * ptm


def chain_pair_iptm(logits: Tensor, mask: Tensor, chains: Tensor) -> Tensor:
    """ipTM of every two chains as if there were no others; pTM of each on the diagonal.

    Args:
        logits: [N, N, bins].
        mask: [N].
        chains: [N] numbers from 1.

    Returns:
        [C, C], symmetric.
    """
    count = int(chains.max())
    result = logits.new_zeros(count, count, dtype=torch.float32)
    for one in range(count):
        for other in range(one, count):
            both = torch.nonzero((mask > 0) & ((chains == one + 1) | (chains == other + 1)))[:, 0]
            part, numbers = logits[both[:, None], both][None], chains[both][None]
            score = ptm(part, mask[both][None], None if one == other else numbers)
            result[one, other] = result[other, one] = score[0]
    return result


def chain_pair_actifptm(logits: Tensor, distogram: Tensor, chains: Tensor) -> Tensor:
    """actifpTM of every two chains: ipTM in which pairs count by their probability of contact.

    Varga, Ovchinnikov and Schueler-Furman, Bioinformatics 41, btaf107 (2025), in ColabFold's form
    with probabilities: flexible parts that touch nothing do not lower it.

    Args:
        logits: [N, N, bins] of the predicted aligned error.
        distogram: [N, N, classes] probabilities of CB distances; classes that begin below 8 A are
            contacts.
        chains: [N] numbers from 1.

    Returns:
        [C, C], symmetric, 0 on the diagonal.
    """
    edges = distogram_edges(distogram.shape[-1], distogram.device)
    contacts = distogram[..., : int((edges < 8.0).sum()) + 1].float().sum(-1)
    scale = 1.24 * (max(len(chains), 19) - 15) ** (1 / 3) - 1.8
    term = 1 / (1 + (pae_centers(logits.shape[-1], logits.device) / scale) ** 2)
    score = expected(logits, term)
    member = torch.nn.functional.one_hot(chains - 1).float()  # [N, C]
    count = member.shape[1]
    # Of each residue its mean over each other chain, by contact.
    weighted = (score * contacts) @ member / (1e-8 + contacts @ member)  # [N, C]
    best = torch.stack([weighted[chains == k + 1].amax(0) for k in range(count)])
    return torch.maximum(best, best.T) * (1 - torch.eye(count, device=best.device))


def distogram_edges(bins: int = 64, device: torch.device | None = None) -> Tensor:
    """[bins - 1] edges [A] of the distogram's classes."""
    return torch.linspace(2.3125, 21.6875, bins - 1, device=device)


def contact_probability(logits: Tensor, distance: float = 8.0) -> Tensor:
    """Distogram logits [..., bins] -> probability that CB atoms are closer than `distance` [A].

    Counts the classes whose upper edge does not exceed `distance`.
    """
    edges = distogram_edges(logits.shape[-1], logits.device)
    inside = int((edges <= distance + 1e-4).sum())
    return logits.float().softmax(-1)[..., :inside].sum(-1)


def change(before: Tensor, after: Tensor, mask: Tensor) -> Tensor:
    """Root mean square change [A] of CA distances between two passes, [B, N, 37, 3] -> [B].

    The criterion of early stopping in AF2Complex (Gao et al., Nat. Commun. 13, 1744, 2022).
    """
    old, new = (torch.cdist(x[:, :, 1].double(), x[:, :, 1].double()) for x in (before, after))
    weight = (mask[:, :, None] * mask[:, None, :]).double()
    return (((old - new) ** 2 * weight).sum((1, 2)) / weight.sum((1, 2)) + 1e-8).sqrt()
