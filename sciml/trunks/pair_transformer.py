"""PairTransformer: a transformer over nodes whose attention is biased by pairs of nodes.

The Particle Transformer (Qu, Li & Qian 2022, arXiv:2202.03772) with its interaction matrix and
class token, or, with `pair_update`, the Evoformer's exchange between nodes and pairs (Jumper et
al. 2021, algorithm 6).

    pair --MLP--> bias, once for all blocks
    x -> [ + attention(norm x, bias) ; + feed-forward(norm x) ] * depth
      -> class token: [ attends to itself and x ] * class_depth -> graph

Work is done for real nodes and real pairs only: node layers run on packed rows, the pair network
on packed pairs, and only the attention itself sees padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import mean_nodes, optional
from sciml.nn.attention import pair_biased_attention
from sciml.nn.layers import Activation, FeedForward, pair_mask, zero_padding
from sciml.nn.packing import Packed, pack, packs, unpack
from sciml.nn.pairs import hide, packed_bias
from sciml.nn.triangles import OuterProductMean, PairStack, Transition
from sciml.trunks.base import Encoded, Trunk, TrunkConfig

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any


@dataclass(frozen=True)
class PairTransformerConfig(TrunkConfig):
    """Settings of `PairTransformer`."""

    pair_dim: Annotated[int, Range(min=0)] = 0
    """Width of pair features, in; 0 = attention without a bias."""
    depth: Annotated[int, Range(min=1)] = 8
    """Number of blocks."""
    heads: Annotated[int, Range(min=1)] = 8
    """Attention heads; must divide `dim`."""
    expansion: Annotated[float, Range(min=0, exclusive=True)] = 4.0
    """Hidden width of the feed-forward layers over `dim`."""
    activation: Activation = "gelu"
    """Non-linearity of the feed-forward layers."""
    normformer: bool = False
    """Norms after attention and inside the feed-forward, scaled residuals, as ParT has them."""
    bias_hidden: Annotated[int, Range(min=0)] = 64
    """Hidden width of the network from pair features to the bias; 0 = one linear layer."""
    symmetric_pairs: bool = False
    """pair[i, j] equals pair[j, i]: the bias of each is computed once. Not checked."""
    class_depth: Annotated[int, Range(min=0)] = 2
    """Class-attention blocks that read out the graph; 0 = mean of the nodes."""
    pair_update: Literal["none", "outer", "triangle", "attention"] = "none"
    """Pairs learn from nodes by an outer product, then by triangle products, then attention."""
    pair_hidden: Annotated[int, Range(min=1)] = 32
    """Width inside the outer product and the triangle products."""
    pair_heads: Annotated[int, Range(min=1)] = 4
    """Heads of the triangle attention."""
    dropout: Annotated[float, Range(min=0, max=0.95)] = 0.0
    """Probability of dropping a number after attention and feed-forward, in training."""
    drop_path: Annotated[float, Range(min=0, max=0.95)] = 0.0
    """Stochastic depth: probability of skipping the last block for a graph, linear in depth."""
    causal: bool = False
    """A node attends to itself and the nodes before it only; the graph's vector to all of them."""
    backend: Literal["auto", "reference", "sdpa", "chunked", "flex"] = "auto"
    """Attention backend; see `sciml.nn.attention`."""

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise InputError(f"`dim` must be a multiple of `heads` ({self.heads}), got {self.dim}")
        if self.pair_update != "none" and self.pair_dim < 2:
            raise InputError(f"`pair_update` needs `pair_dim` >= 2, got {self.pair_dim}")
        if self.causal and self.pair_update in ("triangle", "attention"):
            raise InputError(
                f"with `causal`, triangles must not carry later nodes, got {self.pair_update!r}",
                hint="`pair_update` must be 'none' or 'outer'",
            )


class PairBias(nn.Module):
    """Pair features -> attention bias [B, H, N, N], computed for real pairs only.

    Args:
        config: widths.
        hidden: width of the hidden layer; 0 = none.
        norm: layer norm first, for pair representations that grow from block to block.
    """

    def __init__(self, config: PairTransformerConfig, hidden: int, norm: bool = False) -> None:
        super().__init__()
        self.symmetric, self.packed = config.symmetric_pairs, not norm
        width = config.pair_dim
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        if hidden:
            self.net: nn.Module = nn.Sequential(
                nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, config.heads)
            )
        else:
            self.net = nn.Linear(width, config.heads)

    def forward(
        self, pair: Float[Tensor, "B N N P"], mask: Bool[Tensor, "B N"]
    ) -> Float[Tensor, "B H N N"]:
        """The bias, with a very low value where the key is padding (no mask is needed later)."""
        if self.packed and packs(pair.device):
            return packed_bias(pair, mask, self.net, self.symmetric)
        bias = self.net(self.norm(pair)).permute(0, 3, 1, 2)
        return bias.masked_fill(~mask[:, None, None, :], hide(bias.dtype))


def hide_later(n: int, template: Tensor) -> Float[Tensor, "N N"]:
    """A bias under which node i (row) does not attend to node j > i."""
    return template.new_full((n, n), hide(template.dtype)).triu(1)


def added(bias: Tensor, more: Tensor | None) -> Tensor:
    """The sum of two biases, of which the second may be absent."""
    return bias if more is None else bias + more


class SelfAttention(nn.Module):
    """Multi-head attention of the nodes among themselves, one projection for q, k and v."""

    def __init__(self, config: PairTransformerConfig) -> None:
        super().__init__()
        self.heads, self.backend = config.heads, config.backend
        self.linear_qkv = nn.Linear(config.dim, 3 * config.dim)
        self.linear_o = nn.Linear(config.dim, config.dim)

    def forward(
        self, x: Tensor, packed: Packed, bias: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Rows [S, dim] -> [S, dim]; each graph attends within itself."""
        batch, n = packed.shape
        qkv = unpack(self.linear_qkv(x), packed).view(batch, n, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        out = pair_biased_attention(q, k, v, bias, mask, backend=self.backend)
        return self.linear_o(pack(out.transpose(1, 2).reshape(batch, n, -1), packed))


class ClassAttention(nn.Module):
    """The class token attends to itself and the nodes (Touvron et al. 2021, arXiv:2103.17239)."""

    def __init__(self, config: PairTransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.linear_q = nn.Linear(config.dim, config.dim)
        self.linear_kv = nn.Linear(config.dim, 2 * config.dim)
        self.linear_o = nn.Linear(config.dim, config.dim)

    def forward(
        self, query: Tensor, token: Tensor, x: Tensor, packed: Packed, mask: Tensor
    ) -> Tensor:
        """Token [B, dim] as the query, (token, rows [S, dim]) as keys and values -> [B, dim]."""
        batch, n = packed.shape
        q = self.linear_q(query).view(batch, 1, self.heads, -1).transpose(1, 2)
        own = self.linear_kv(token)[:, None]
        kv = torch.cat([own, unpack(self.linear_kv(x), packed)], dim=1)
        k, v = kv.view(batch, n + 1, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = torch.cat([mask.new_ones(batch, 1), mask], dim=1)
        out = pair_biased_attention(q, k, v, None, seen)
        return self.linear_o(out.transpose(1, 2).reshape(batch, -1))


class Residual(nn.Module):
    """x + branch, with dropout, stochastic depth and, for NormFormer, a norm and a scaled x."""

    def __init__(
        self, config: PairTransformerConfig, rate: float, *, norm: bool = False, scale: bool = False
    ) -> None:
        super().__init__()
        self.dropout, self.rate = config.dropout, rate
        self.norm = nn.LayerNorm(config.dim) if norm else None
        self.scale = nn.Parameter(torch.ones(config.dim)) if scale else None

    def forward(self, x: Tensor, branch: Tensor, packed: Packed | None) -> Tensor:
        """Rows [S, dim] of the graphs of `packed`, or [B, dim] without."""
        if self.norm is not None:
            branch = self.norm(branch)
        branch = F.dropout(branch, self.dropout, self.training)
        if self.training and self.rate:
            graphs = len(x) if packed is None else packed.shape[0]
            survives = x.new_empty(graphs, 1).bernoulli_(1 - self.rate) / (1 - self.rate)
            branch = branch * (survives if packed is None else packed.per_graph(survives))
        return branch + (x if self.scale is None else x * self.scale)


class InnerNormFeedForward(nn.Module):
    """Feed-forward with a layer norm on the hidden layer (NormFormer, arXiv:2110.09456)."""

    def __init__(self, config: PairTransformerConfig) -> None:
        super().__init__()
        hidden = int(config.dim * config.expansion)
        self.linear_1 = nn.Linear(config.dim, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.linear_2 = nn.Linear(hidden, config.dim)

    def forward(self, x: Float[Tensor, "*G dim"]) -> Float[Tensor, "*G dim"]:
        """[..., dim] -> [..., dim]."""
        return self.linear_2(self.norm(F.gelu(self.linear_1(x))))


def feed_forward(config: PairTransformerConfig) -> nn.Module:
    """The feed-forward network that the settings ask for."""
    if config.normformer:
        return InnerNormFeedForward(config)
    return FeedForward(config.dim, config.expansion, config.activation)


class Block(nn.Module):
    """Attention, then feed-forward, each on normalised input and added to the stream."""

    def __init__(self, config: PairTransformerConfig, rate: float) -> None:
        super().__init__()
        extra = config.normformer
        self.norm_1 = nn.LayerNorm(config.dim)
        self.attention = SelfAttention(config)
        self.add_1 = Residual(config, rate, norm=extra)
        self.norm_2 = nn.LayerNorm(config.dim)
        self.feed_forward = feed_forward(config)
        self.add_2 = Residual(config, rate, scale=extra)

    def forward(
        self, x: Tensor, packed: Packed, bias: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Rows [S, dim] -> [S, dim]."""
        x = self.add_1(x, self.attention(self.norm_1(x), packed, bias, mask), packed)
        return self.add_2(x, self.feed_forward(self.norm_2(x)), packed)


class ClassBlock(nn.Module):
    """A block whose only query is the class token; the nodes stay as they are."""

    def __init__(self, config: PairTransformerConfig) -> None:
        super().__init__()
        extra = config.normformer
        self.norm_1 = nn.LayerNorm(config.dim)
        self.attention = ClassAttention(config)
        self.add_1 = Residual(config, 0.0, norm=extra)
        self.norm_2 = nn.LayerNorm(config.dim)
        self.feed_forward = feed_forward(config)
        self.add_2 = Residual(config, 0.0, scale=extra)
        self.raw_query = extra  # ParT normalises keys and values only

    def forward(self, token: Tensor, x: Tensor, packed: Packed, mask: Tensor) -> Tensor:
        """Token [B, dim], rows [S, dim] -> token [B, dim]."""
        normed = self.norm_1(token)
        query = token if self.raw_query else normed
        attended = self.attention(query, normed, self.norm_1(x), packed, mask)
        token = self.add_1(token, attended, None)
        return self.add_2(token, self.feed_forward(self.norm_2(token)), None)


class PairUpdate(nn.Module):
    """Pairs are updated from the nodes, then from each other (algorithm 6, lines 5 to 10)."""

    def __init__(self, config: PairTransformerConfig) -> None:
        super().__init__()
        self.outer = OuterProductMean(config.dim, config.pair_dim, config.pair_hidden)
        self.triangles: PairStack | None = None
        self.transition: Transition | None = None
        if config.pair_update == "outer":
            self.transition = Transition(config.pair_dim)
        else:
            heads = config.pair_heads if config.pair_update == "attention" else 0
            self.triangles = PairStack(
                config.pair_dim, config.pair_hidden, heads, backend=config.backend
            )
        # Zero last layers would leave gradients of the rest at zero for a fresh trunk's first step;
        # a small one trains as stably.
        nn.init.normal_(self.outer.linear_out.weight, std=0.02 / config.pair_hidden)

    def forward(
        self, pair: Float[Tensor, "B N N P"], x: Float[Tensor, "B N dim"], mask: Bool[Tensor, "B N"]
    ) -> Float[Tensor, "B N N P"]:
        """[B, N, N, P] -> [B, N, N, P]."""
        pair = pair + self.outer(x, mask)
        if self.triangles is not None:
            pair = self.triangles(pair, pair_mask(mask))
        if self.transition is not None:
            pair = pair + self.transition(pair)
        return pair


class PairTransformer(Trunk):
    """Transformer over nodes with a bias from pairs; see the module's docstring."""

    Config = PairTransformerConfig
    config: PairTransformerConfig
    layout = "dense"

    def __init__(self, config: PairTransformerConfig | None = None) -> None:
        super().__init__(config)
        config = self.config
        last = max(1, config.depth - 1)
        self.blocks = nn.ModuleList(
            Block(config, config.drop_path * i / last) for i in range(config.depth)
        )
        updating = config.pair_update != "none"
        count = 0 if not config.pair_dim else config.depth if updating else 1
        hidden = 0 if updating else config.bias_hidden
        self.pair_biases = nn.ModuleList(
            PairBias(config, hidden, norm=updating) for _ in range(count)
        )
        # The last block's nodes go out after its pairs were updated: one update per block.
        self.pair_updates = nn.ModuleList(
            PairUpdate(config) for _ in range(config.depth if updating else 0)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.class_blocks = nn.ModuleList(ClassBlock(config) for _ in range(config.class_depth))
        if config.class_depth:
            self.class_token = nn.Parameter(torch.randn(config.dim) * 0.02)
            self.class_norm = nn.LayerNorm(config.dim)

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Permutation, unless attention is causal in the nodes' order."""
        return () if self.config.causal else ("permutation",)

    def encode(self, batch: Data) -> Encoded:
        """A dense batch -> `Encoded`; `pairs` are the updated ones, or those that came in."""
        mask = batch.mask
        pair = optional(batch, "pair") if self.pair_dim else None
        if mask.shape[1] == 0:  # no graph has any node
            return Encoded(batch.x, batch.x.new_zeros(len(mask), self.dim), pair)
        packed = Packed.of(mask)
        x = pack(zero_padding(batch.x, mask), packed)
        later = hide_later(mask.shape[1], x) if self.config.causal else None
        # A bias of pairs hides the padding, too.
        bias, padding = later, mask if pair is None else None
        if pair is not None and not self.pair_updates:
            bias = added(self.pair_biases[0](pair, mask), later)
        elif pair is not None:
            pair = zero_padding(pair, pair_mask(mask))
        for i, block in enumerate(self.blocks):
            if pair is not None and self.pair_updates:
                bias = added(self.pair_biases[i](pair, mask), later)
            x = block(x, packed, bias, padding)
            if pair is not None and self.pair_updates:
                pair = self.pair_updates[i](pair, unpack(x, packed), mask)
        if self.pair_updates and pair is not None:
            pair = zero_padding(pair, pair_mask(mask))
        nodes = zero_padding(unpack(self.norm(x), packed), mask)
        return Encoded(nodes=nodes, graph=self._graph(x, nodes, packed, batch), pairs=pair)

    def _graph(self, x: Tensor, nodes: Tensor, packed: Packed, batch: Data) -> Tensor:
        """One vector per graph, zeros for a graph without nodes."""
        if not self.class_blocks:
            return mean_nodes(batch, nodes)
        token = self.class_token.expand(batch.mask.shape[0], -1)
        for block in self.class_blocks:
            token = block(token, x, packed, batch.mask)
        return zero_padding(self.class_norm(token), batch.mask.any(1))
