"""Variants of weaver's networks that give no classes of jets, recognised by their weights.

A state dict of one of them is refused by the option's name: keys that match by chance must not
become another network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor


def variant(state: Mapping[str, Tensor]) -> str | None:
    """The name of the variant that these weights belong to; None if it is built here.

    Args:
        state: plain names to tensors, see `sciml.jets.weaver.names.plain_name`.
    """

    def has(pattern: str) -> bool:
        return any(re.match(pattern, name) for name in state)

    if has(r"(pn\.)?layers\.\d+\.edge_mlp\."):
        if any(
            v.ndim == 3 for n, v in state.items() if re.match(r"(pn\.)?fc\.\d+(\.0)?\.weight", n)
        ):
            return "a ParticleNeXt with an answer for every particle (for_segmentation=True)"
        return None
    if has(r"(lt|ho)_(embed|conv)\."):
        return "a network of further collections than pf and sv"
    if has(r"(pn\.)?edge_convs\."):
        if not has(r"(pn\.)?edge_convs\.0\.bns\."):
            return "a ParticleNet with no batch norms in the convolutions"
        if any(v.ndim == 3 for n, v in state.items() if re.match(r"fc\.\d+(\.0)?\.weight", n)):
            return "a ParticleNet with an answer for every particle (for_segmentation=True)"
        return None
    if has(r"(part\.)?((cls_)?blocks\.\d+|pair_embed)\."):
        if not has(r"(part\.)?fc\."):
            return "a Particle Transformer with no classifier (fc_params=None)"
        if has(r"(part\.)?cls_blocks\.") and not has(r"(part\.)?cls_token$"):
            return (
                "a Particle Transformer with an answer for every particle (for_segmentation=True)"
            )
    return None
