"""Positions of tokens: distances in a sequence, and relations in its expression tree.

A node's path lists which child to take from the root down, counted from 1, and ends with zeros:
the root is (0, 0, 0), its second child (2, 0, 0). Two nodes are related by how many steps lead up
to their common ancestor and how many down from there, as in the relative positions of Shiv & Quirk
2019 (NeurIPS, "Novel positional encodings to enable tree-based transformers").
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor


def distance_bucket(
    offset: Int[Tensor, ...], buckets: int, reach: int, causal: bool
) -> Int[Tensor, ...]:
    """Bucket of key index - query index: exact when near, logarithmic up to `reach`, then one.

    Raffel et al. 2019, arXiv:1910.10683, section 2.1.

    Args:
        offset: key index - query index.
        buckets: their number; half of them for each direction unless `causal`.
        reach: offset from which on all share the last bucket.
        causal: whether keys never come after queries.
    """
    base = torch.zeros_like(offset)
    if causal:
        distance = (-offset).clamp_min(0)
    else:
        buckets //= 2
        base = (offset > 0).long() * buckets
        distance = offset.abs()
    exact = max(1, buckets // 2)
    far = torch.log(distance.clamp_min(exact).float() / exact)
    far = far / math.log(max(reach, exact + 1) / exact)
    far = exact + (far * (buckets - exact)).long()
    return base + torch.where(distance < exact, distance, far.clamp_max(buckets - 1))


def tree_bucket(
    queries: Int[Tensor, "*G N D"], keys: Int[Tensor, "*G M D"], reach: int
) -> Int[Tensor, "*G N M"]:
    """min(up, reach) * (reach + 1) + min(down, reach): the relation of each query to each key."""
    same = torch.ones(1, dtype=torch.bool, device=queries.device)
    common = torch.zeros(1, dtype=torch.int64, device=queries.device)
    for level in range(queries.shape[-1]):
        child = queries[..., level].unsqueeze(-1)
        same = same & (child == keys[..., level].unsqueeze(-2)) & (child > 0)
        common = common + same
    up = (queries > 0).sum(-1).unsqueeze(-1) - common
    down = (keys > 0).sum(-1).unsqueeze(-2) - common
    return up.clamp_max(reach) * (reach + 1) + down.clamp_max(reach)


def next_slot(
    path: Int[Tensor, "H D"], arities: Int[Tensor, "H D"], arity: Int[Tensor, " H"]
) -> tuple[Int[Tensor, "H D"], Int[Tensor, "H D"]]:
    """Tree path of the next token of a prefix expression, one step for many expressions at once.

    Args:
        path: of the token just written.
        arities: the number of children of each of its ancestors, from the root down, then zeros.
        arity: its own number of children; with children its depth must be below D.

    Returns:
        the next token's path and its ancestors' arities; zeros once the expression is complete.
    """
    depth = (path > 0).sum(1, keepdim=True)
    level = torch.arange(path.shape[1], device=path.device)
    # Down to the first child, ...
    here = level == depth
    down_path = torch.where(here, 1, path)
    down_arities = torch.where(here, arity[:, None], arities)
    # ... or on to the next child of the deepest ancestor that still lacks one.
    open_ = (path > 0) & (path < arities)
    last = torch.where(open_, level + 1, 0).amax(1, keepdim=True) - 1
    on_path = torch.where(level < last, path, torch.where(level == last, path + 1, 0))
    on_arities = torch.where(level <= last, arities, 0)
    has = (arity > 0)[:, None]
    return torch.where(has, down_path, on_path), torch.where(has, down_arities, on_arities)


def prefix_paths(
    tokens: Int[Tensor, "B N"], arity: Int[Tensor, " V"], depth: int
) -> Int[Tensor, "B N depth"]:
    """Paths of the tokens of prefix expressions [B, N, depth]; deeper levels are cut off.

    Args:
        tokens: prefix expressions; a token of negative arity (start, end, padding) stands at the
            root and moves nothing.
        arity: children of each token of the vocabulary, negative for those outside expressions.
        depth: levels to keep.
    """
    # No node lies deeper than tokens come before it.
    full = max(depth, tokens.shape[1])
    path = torch.zeros(len(tokens), full, dtype=torch.int64, device=tokens.device)
    arities = torch.zeros_like(path)
    paths = []
    for column in tokens.T:
        own = arity[column]
        inside = (own >= 0)[:, None]
        paths.append(torch.where(inside, path, 0)[:, :depth])
        new_path, new_arities = next_slot(path, arities, own)
        path = torch.where(inside, new_path, path)
        arities = torch.where(inside, new_arities, arities)
    return torch.stack(paths, 1) if paths else tokens.new_zeros(len(tokens), 0, depth)
