"""Attribution: how much each constituent of a jet contributes to the score of a class.

`occlusion` (Zeiler and Fergus 2014, arXiv:1311.2901) removes one constituent at a time and needs no
gradient. `integrated_gradients` (Sundararajan et al. 2017, arXiv:1703.01365, equation 1) adds up
gradients on the way from an average constituent to the real one. `rollout` (Abnar and Zuidema 2020,
arXiv:2005.00928) multiplies attention weights through the layers; it knows no class and no sign.
`randomised` and `rank_correlation` are the sanity check (Adebayo et al. 2018, arXiv:1810.03292):
what a network of random weights gives nearly as well says nothing about the trained one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.errors import InputError, unknown
from sciml.jets.networks.classifier import TrunkNetwork
from sciml.jets.networks.embedder import raw_batch
from sciml.nn.packing import unpack

if TYPE_CHECKING:
    from sciml.jets.data.features import Jets
    from sciml.jets.tagger import JetTagger

Method = Callable[["JetTagger", "Jets", str, str], np.ndarray]
"""(tagger, jet, signal, background) -> [n]."""


def occlusion(tagger: JetTagger, jet: Jets, signal: str, background: str = "QCD") -> np.ndarray:
    """[n] contribution of each constituent to ln(p_signal / p_background); n >= 2.

    Args:
        tagger: any tagger of both classes.
        jet: one good jet.
        signal, background: names of classes.

    Raises:
        InputError: unknown classes, several jets, or a jet of one constituent.
    """
    indices = _indices(tagger, jet, signal, background)
    count = int(jet.lengths.sum())

    def odds(jets: Jets) -> np.ndarray:
        with np.errstate(divide="ignore"):
            logs = np.log(tagger.probabilities(jets)[:, indices].astype(np.float64))
        return logs[:, 0] - logs[:, 1]

    without = jet[torch.zeros(count, dtype=torch.int64)]
    rest = ~torch.eye(count, dtype=torch.bool)
    particles = torch.stack([without.particles[i, :count][keep] for i, keep in enumerate(rest)])
    without.particles, without.mask = particles, torch.ones(count, count - 1, dtype=torch.bool)
    return odds(jet) - odds(without)


def integrated_gradients(
    tagger: JetTagger, jet: Jets, signal: str, background: str = "QCD", *, steps: int = 32
) -> np.ndarray:
    """[n] contribution of each constituent to ln(p_signal / p_background).

    The path scales the standardised features of particles and pairs from 0, the mean over jets, to
    their values; particles stay where they are. A pair's part is shared by its two particles. The
    sum is the change of the log odds along the path, but for the error of the midpoint rule.

    Args:
        tagger: a tagger on a trunk.
        jet: one good jet.
        signal, background: names of classes.
        steps: of the path.

    Raises:
        InputError: as `occlusion`; or a published network, whose features are not standardised.
    """
    parts = path_gradients(tagger, jet, signal, background, steps=steps)
    particles = parts["particles"].sum(-1)
    if "pairs" in parts:
        pairs = parts["pairs"].sum(-1)
        particles = particles + 0.5 * (pairs.sum(0) + pairs.sum(1))
    return particles


def path_gradients(
    tagger: JetTagger, jet: Jets, signal: str, background: str = "QCD", *, steps: int = 32
) -> dict[str, np.ndarray]:
    """The parts of `integrated_gradients`: "particles" [n, features] and, if the trunk reads them,
    "pairs" [n, n, 4]. Arguments as there."""
    first, second = _indices(tagger, jet, signal, background)
    network = tagger.network
    if not isinstance(network, TrunkNetwork):
        raise InputError("is a published network, whose features have no common baseline",
                         hint="Use occlusion")  # fmt: skip
    device = next(network.parameters()).device
    share = (torch.arange(steps, device=device) + 0.5) / steps
    leaves: dict[str, tuple[Tensor, Tensor]] = {}

    def scaled(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            full = inputs[0].detach()
            leaf = full * share.to(full).view(-1, *[1] * (full.ndim - 1))
            leaves[name] = full[0], leaf.requires_grad_()
            return (leaf,)

        return hook

    embedder = network.embedder
    hooks = [embedder.network.register_forward_pre_hook(scaled("particles")),
             embedder.project_pairs.register_forward_pre_hook(scaled("pairs"))]  # fmt: skip
    try:
        with torch.enable_grad():
            batch = raw_batch(jet.to(device)[torch.zeros(steps, dtype=torch.int64)])
            logits = tagger(batch)
            odds = (logits[:, first] - logits[:, second]).sum()
            gradients = torch.autograd.grad(odds, [leaf for _, leaf in leaves.values()])
    finally:
        for hook in hooks:
            hook.remove()
    count = int(jet.lengths.sum())
    return {
        name: (full * gradient.mean(0))[(slice(count),) * (full.ndim - 1)].cpu().double().numpy()
        for (name, (full, _)), gradient in zip(leaves.items(), gradients, strict=True)
    }


def rollout(tagger: JetTagger, jet: Jets, signal: str = "", background: str = "") -> np.ndarray:
    """[n] share of each constituent in the class token, by attention alone; sums to 1.

    Attention of a block, averaged over heads, is mixed half and half with the residual stream
    (section 3 of the paper); the class blocks read out the product. The names of classes make no
    difference.

    Raises:
        InputError: several jets, or a network without a pair transformer and class attention.
    """
    from sciml.trunks.pair_transformer import PairTransformer

    trunk = getattr(tagger.network, "trunk", None)
    if not isinstance(trunk, PairTransformer) or not trunk.class_blocks:
        raise InputError("has no pair transformer with a class token, so no attention to follow",
                         hint="Use occlusion")  # fmt: skip
    if len(jet) != 1:
        raise InputError(f"needs one jet, got {len(jet)}")
    count = int(jet.lengths.sum())
    with torch.no_grad(), _attention(trunk) as (of_nodes, of_token):
        tagger(raw_batch(jet.to(next(trunk.parameters()).device)))
    flow = torch.eye(count)
    for weights in of_nodes:
        mixed = 0.5 * weights[:count, :count] + 0.5 * torch.eye(count)
        flow = mixed @ flow
    read = torch.zeros(count)
    for weights in of_token:
        read = (0.5 + 0.5 * weights[0]) * read + 0.5 * weights[1 : count + 1]
    shares = (read @ flow).double().numpy()
    return np.asarray(shares / shares.sum())


METHODS: dict[str, Method] = {
    "occlusion": occlusion, "integrated gradients": integrated_gradients,
    "attention roll-out": rollout,
}  # fmt: skip


@contextmanager
def _attention(trunk: Any) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Within it, a pass of one jet leaves its attention weights, averaged over heads: of each block
    [N, N], of each class block [N + 1], the token first."""
    of_nodes: list[Tensor] = []
    of_token: list[Tensor] = []

    def node_hook(module: Any, inputs: tuple[Any, ...]) -> None:
        x, packed, bias, mask = inputs
        batch, n = packed.shape
        qkv = unpack(module.linear_qkv(x), packed).view(batch, n, 3, module.heads, -1)
        q, k, _ = qkv.permute(2, 0, 3, 1, 4)
        logits = q @ k.mT / q.shape[-1] ** 0.5
        logits = logits if bias is None else logits + bias
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None], -torch.inf)
        of_nodes.append(logits.softmax(-1).mean(1)[0].float().cpu())

    def token_hook(module: Any, inputs: tuple[Any, ...]) -> None:
        query, token, x, packed, mask = inputs
        batch, n = packed.shape
        q = module.linear_q(query).view(batch, 1, module.heads, -1).transpose(1, 2)
        kv = torch.cat([module.linear_kv(token)[:, None], unpack(module.linear_kv(x), packed)], 1)
        k = kv.view(batch, n + 1, 2, module.heads, -1)[:, :, 0].transpose(1, 2)
        logits = (q @ k.mT / q.shape[-1] ** 0.5)[:, :, 0]
        seen = torch.cat([mask.new_ones(batch, 1), mask], 1)
        weights = logits.masked_fill(~seen[:, None], -torch.inf).softmax(-1)
        of_token.append(weights.mean(1)[0].float().cpu())

    hooks = [b.attention.register_forward_pre_hook(node_hook) for b in trunk.blocks]
    hooks += [b.attention.register_forward_pre_hook(token_hook) for b in trunk.class_blocks]
    try:
        yield of_nodes, of_token
    finally:
        for hook in hooks:
            hook.remove()


def randomised(tagger: JetTagger, seed: int = 0) -> JetTagger:
    """A copy of the tagger whose weights are drawn anew, each tensor by shuffling its numbers.

    Every layer keeps the distribution of its weights, so that the answers stay of the same size.
    """
    other = copy.deepcopy(tagger).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return other


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of the sizes of two attributions [n]."""
    from scipy.stats import spearmanr

    return float(spearmanr(np.abs(one), np.abs(other)).statistic)


def _indices(tagger: JetTagger, jet: Jets, signal: str, background: str) -> list[int]:
    for name in (signal, background):
        if name not in tagger.classes:
            raise unknown("class", name, tagger.classes)
    count = int(jet.lengths.sum())
    if len(jet) != 1 or count < 2:
        raise InputError(f"needs one jet of at least 2 constituents, got {len(jet)} of {count}")
    return [tagger.classes.index(name) for name in (signal, background)]
