"""Sequence: an encoder-decoder transformer for token sequences that encode trees.

Vaswani et al. 2017 (arXiv:1706.03762) with later improvements: RMSNorm before each block
(Zhang & Sennrich 2019, arXiv:1910.07467), SwiGLU (Shazeer 2020, arXiv:2002.05202), relative
position biases shared by all layers (Raffel et al. 2019, arXiv:1910.10683), tree positions
(`sciml.nn.tree`), and grouped key/value heads (Ainslie et al. 2023, arXiv:2305.13245). A deep
encoder with a shallow decoder decodes several times faster at equal size (Kasai et al. 2020,
arXiv:2006.10369). Decoding computes the keys of the cross-attention once per source, not
once per hypothesis, and lets hypotheses share their keys (`sciml.nn.beam_cache`).

As a trunk it takes a dense batch whose nodes are in the order of the sequence.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import Layout, mean_nodes, optional
from sciml.nn import decoding
from sciml.nn.beam_cache import BeamCache
from sciml.nn.decoding import Grammar, Hypotheses, Vocabulary
from sciml.nn.grouped_attention import Block, for_few_rows
from sciml.nn.tree import distance_bucket, tree_bucket
from sciml.trunks.base import Encoded, Trunk, TrunkConfig


@dataclass(frozen=True)
class SequenceConfig(TrunkConfig):
    """Sizes, positions and vocabulary."""

    dim: Annotated[int, Range(min=1)] = 256
    """Width of token features, in and out."""
    kind: Literal["encoder-decoder", "encoder", "decoder"] = "encoder-decoder"
    """`encoder` attends both ways, `decoder` is causal (GPT); as a trunk, the first two encode."""
    vocabulary: Annotated[int, Range(min=0)] = 0
    """Number of token ids; 0 = features only, no tokens."""
    heads: Annotated[int, Range(min=1)] = 8
    """Query heads."""
    groups: Annotated[int, Range(min=1)] = 2
    """Key/value heads, each shared by heads / groups query heads."""
    encoder_layers: Annotated[int, Range(min=0)] = 6
    """Blocks of the encoder."""
    decoder_layers: Annotated[int, Range(min=0)] = 2
    """Blocks of the decoder."""
    expansion: Annotated[float, Range(min=0, exclusive=True)] = 4.0
    """Hidden width of the feed-forward layers over `dim`, in parameters of a plain block."""
    dropout: Annotated[float, Range(min=0, max=1)] = 0.0
    """Probability of dropping a unit of a residual branch."""
    buckets: Annotated[int, Range(min=2)] = 32
    """Buckets of sequence distances."""
    reach: Annotated[int, Range(min=2, max=1_000_000)] = 128
    """Distance beyond which all share a bucket [tokens]."""
    tree_reach: Annotated[int, Range(min=0, max=1000)] = 0
    """Steps up and down the tree that are distinguished; 0 = no tree positions."""
    pad: Annotated[int, Range(min=0)] = 0
    """Token id of padding."""
    start: Annotated[int, Range(min=0)] = 1
    """Token id that decoding starts from."""
    end: Annotated[int, Range(min=0)] = 2
    """Token id that ends a sequence."""

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise InputError(f"`dim` must be a multiple of `heads` ({self.heads}), got {self.dim}")
        if self.heads % self.groups:
            raise InputError(
                f"`heads` must be a multiple of `groups` ({self.groups}), got {self.heads}"
            )
        ids = (self.pad, self.start, self.end)
        if self.vocabulary and (max(ids) >= self.vocabulary or len(set(ids)) < 3):
            raise InputError(f"`pad`, `start` and `end` must be three ids below {self.vocabulary}")


class Memory(NamedTuple):
    """Encoded sources: what a decoder attends to."""

    nodes: Float[Tensor, "B N dim"]
    mask: Bool[Tensor, "B N"]


class _Stack(nn.Module):
    """Blocks with one position bias for all of them."""

    def __init__(self, config: SequenceConfig, causal: bool, cross: bool, layers: int) -> None:
        super().__init__()
        self.config, self.causal = config, causal
        self.blocks = nn.ModuleList(
            Block(
                config.dim,
                config.heads,
                config.groups,
                config.expansion,
                config.dropout,
                cross,
                depth=layers,
            )
            for _ in range(layers)
        )
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)
        self.distance = nn.Embedding(config.buckets, config.heads)
        nn.init.normal_(self.distance.weight, std=0.1)
        self.tree: nn.Embedding | None = None
        if config.tree_reach:
            self.tree = nn.Embedding((config.tree_reach + 1) ** 2, config.heads)
            nn.init.normal_(self.tree.weight, std=0.1)

    def bias(
        self, queries: Tensor, keys: Tensor, query_paths: Tensor | None, key_paths: Tensor | None
    ) -> Tensor:
        """[..., N] and [..., M] indices in the sequence, paths beside them -> [..., H, N, M]."""
        offset = keys.unsqueeze(-2) - queries.unsqueeze(-1)
        bucket = distance_bucket(offset, self.config.buckets, self.config.reach, self.causal)
        bias = self.distance(bucket)
        if self.tree is not None and query_paths is not None and key_paths is not None:
            bias = bias + self.tree(tree_bucket(query_paths, key_paths, self.config.tree_reach))
        return bias.movedim(-1, -3)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        paths: Tensor | None,
        memory: Memory | None = None,
        pair_bias: Tensor | None = None,
    ) -> Tensor:
        index = torch.arange(x.shape[1], device=x.device)[None]
        bias = self.bias(index, index, paths, paths)
        if pair_bias is not None:
            bias = bias + pair_bias
        if self.causal:
            later = index[:, None, None, :] > index[:, None, :, None]
            bias = bias.masked_fill(later, torch.finfo(x.dtype).min / 4)
        for block in self.blocks:
            x = block(x, bias, mask, *(memory or ()))
        return self.norm(x).masked_fill(~mask[..., None], 0.0)


def _without_dropout(method: Callable[..., Hypotheses]) -> Callable[..., Hypotheses]:
    """The method with the model in evaluation mode, and back in its own modes afterwards."""

    @functools.wraps(method)
    def evaluating(self: nn.Module, *args: Any, **kwargs: Any) -> Hypotheses:
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            return method(self, *args, **kwargs)
        finally:
            for module, training in modes:
                module.training = training

    return evaluating


class Sequence(Trunk):
    """Encoder, decoder or both, over features (as a trunk) or tokens.

    Token paths (`node_path` [B, N, D] of a batch, `positions` of the methods) place tokens in a
    tree; they are used if `tree_reach` > 0.
    """

    Config: ClassVar[type[TrunkConfig]] = SequenceConfig
    layout: ClassVar[Layout | None] = "dense"
    config: SequenceConfig

    def __init__(self, config: SequenceConfig | None = None) -> None:
        super().__init__(config)
        config = self.config
        two = config.kind == "encoder-decoder"
        self.encoder = (
            _Stack(config, False, False, config.encoder_layers)
            if config.kind != "decoder"
            else None
        )
        self.decoder = (
            _Stack(config, True, two, config.decoder_layers) if config.kind != "encoder" else None
        )
        self.pairs = nn.Linear(config.pair_dim, config.heads) if config.pair_dim else None
        self.tokens: nn.Embedding | None = None
        if config.vocabulary:
            self.tokens = nn.Embedding(config.vocabulary, config.dim)
            nn.init.normal_(self.tokens.weight, std=config.dim**-0.5)

    @property
    def symmetries(self) -> tuple[str, ...]:
        """None: the order of nodes matters."""
        return ()

    @property
    def causal(self) -> bool:
        """Whether, as a trunk, it attends only to earlier nodes."""
        return self.config.kind == "decoder"

    def embed(self, tokens: Int[Tensor, "*G"]) -> Float[Tensor, "*G dim"]:
        """Token ids [...] -> features [..., dim] of unit size."""
        if self.tokens is None:
            raise InputError("this trunk has no tokens", hint="Set its `vocabulary`")
        return self.tokens(tokens) * math.sqrt(self.dim)

    def logits(self, nodes: Float[Tensor, "*G dim"]) -> Float[Tensor, "*G V"]:
        """[..., dim] -> [..., vocabulary], by the embedding's own weights."""
        if self.tokens is None:
            raise InputError("this trunk has no tokens", hint="Set its `vocabulary`")
        return F.linear(nodes, self.tokens.weight)

    def encode(
        self,
        batch: Any,
        mask: Bool[Tensor, "B N"] | None = None,
        positions: Int[Tensor, "B N D"] | None = None,
    ) -> Any:
        """A batch of features -> `Encoded`; token ids [B, N] -> `Memory` for decoding.

        Args:
            batch: a batch in the dense layout, or token ids.
            mask: of token ids, True = a real token; by default all but padding.
            positions: of token ids, paths in the tree.
        """
        if isinstance(batch, Tensor):
            if self.encoder is None:
                raise InputError("a Sequence of kind 'decoder' has no encoder")
            mask = batch != self.config.pad if mask is None else mask
            return Memory(self.encoder(self.embed(batch), mask, positions), mask)
        stack = cast(_Stack, self.encoder or self.decoder)
        pair = optional(batch, "pair")
        pair_bias = None
        if self.pairs is not None and pair is not None:
            pair_bias = self.pairs(pair).movedim(-1, 1)
        paths = optional(batch, "node_path")
        nodes = stack(batch.x, batch.mask, paths, pair_bias=pair_bias)
        return Encoded(nodes, mean_nodes(batch, nodes))

    def decode(
        self,
        tokens: Int[Tensor, "B T"],
        memory: Memory | None = None,
        mask: Bool[Tensor, "B T"] | None = None,
        positions: Int[Tensor, "B T D"] | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Teacher-forced logits of the token after each of `tokens`, which begin with the start."""
        mask = tokens != self.config.pad if mask is None else mask
        stack = self._decoder(memory)
        return self.logits(stack(self.embed(tokens), mask, positions, memory))

    def _decoder(self, memory: Memory | None) -> _Stack:
        if self.decoder is None:
            raise InputError("a Sequence of kind 'encoder' cannot decode")
        if (memory is None) != (self.config.kind == "decoder"):
            raise InputError(
                f"a Sequence of kind {self.config.kind!r} decodes "
                f"{'without' if memory is not None else 'from'} a source"
            )
        return self.decoder

    @_without_dropout
    def beam_search(
        self,
        source: Memory | Tensor | None,
        beam: int = 10,
        max_length: int = 256,
        grammar: Grammar | None = None,
        length_penalty: float = 1.0,
        prompt: Int[Tensor, "S P"] | None = None,
    ) -> Hypotheses:
        """The `beam` best outputs of each source; see `sciml.nn.decoding.beam_search`.

        Args:
            source: the result of `encode` for tokens (or any other memory of width `dim`), or the
                tokens themselves; None without an encoder, with a `prompt` instead.
        """
        memory, sources = self._begin(source, prompt)
        steps = _Steps(self, memory, sources, beam, share=True)
        return decoding.beam_search(
            steps,
            self._ids(),
            sources=sources,
            beam=beam,
            max_length=max_length,
            device=self._device(),
            grammar=grammar,
            length_penalty=length_penalty,
            prompt=prompt,
        )

    @_without_dropout
    def sample(
        self,
        source: Memory | Tensor | None,
        samples: int = 1,
        max_length: int = 256,
        grammar: Grammar | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        prompt: Int[Tensor, "S P"] | None = None,
    ) -> Hypotheses:
        """`samples` random outputs of each source; see `sciml.nn.decoding.sample`."""
        memory, sources = self._begin(source, prompt)
        steps = _Steps(self, memory, sources, samples, share=False)
        return decoding.sample(
            steps,
            self._ids(),
            sources=sources,
            samples=samples,
            max_length=max_length,
            device=self._device(),
            grammar=grammar,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            prompt=prompt,
        )

    def _begin(
        self, source: Memory | Tensor | None, prompt: Tensor | None
    ) -> tuple[Memory | None, int]:
        with torch.no_grad():
            memory = self.encode(source) if isinstance(source, Tensor) else source
        self._decoder(memory)
        if memory is not None:
            return memory, len(memory.mask)
        return memory, 1 if prompt is None else len(prompt)

    def _ids(self) -> Vocabulary:
        config = self.config
        return Vocabulary(config.vocabulary, config.pad, config.start, config.end)

    def _device(self) -> torch.device:
        return next(self.parameters()).device


class _Steps:
    """Decoding in progress: S sources with W hypotheses each, one token per step.

    `share`: hypotheses of a source share the pool of their keys (a beam); otherwise each has its
    own (samples share no past).
    """

    @torch.no_grad()
    def __init__(
        self, model: Sequence, memory: Memory | None, sources: int, width: int, share: bool
    ) -> None:
        stack = model._decoder(memory)
        self.model, self.stack = model, stack
        self.blocks = [cast(Block, for_few_rows(block)) for block in stack.blocks]
        self.sources, self.width = sources, width
        self.pool_width = width if share else 1
        config = model.config
        first = next(model.parameters())
        self.cache = BeamCache(
            len(stack.blocks),
            sources * width // self.pool_width,
            self.pool_width,
            config.groups,
            config.dim // config.heads,
            first.device,
            first.dtype,
        )
        self.cross: list[tuple[Tensor, Tensor]] = []
        self.memory_bias: Tensor | None = None
        if memory is not None:
            for block in self.blocks:
                if block.cross is not None:
                    k, v = block.cross.keys_values(memory.nodes)
                    self.cross.append((k.contiguous(), v.contiguous()))
            hidden = ~memory.mask[:, None, None]
            self.memory_bias = torch.zeros_like(hidden, dtype=first.dtype).masked_fill(
                hidden, torch.finfo(first.dtype).min / 4
            )

    @torch.no_grad()
    def step(self, tokens: Tensor, paths: Tensor | None) -> Tensor:
        """[S, W] tokens (and their paths) -> [S, W, V] logits of the tokens after them."""
        model, cache = self.model, self.cache
        pools = (-1, self.pool_width)
        if paths is not None:
            paths = paths.reshape(*pools, paths.shape[-1])
        cache.begin_step(paths)
        x = model.embed(tokens)
        now = torch.full((1, 1), cache.step - 1, device=x.device)
        bias = self.stack.bias(now, cache.time, paths, cache.paths)
        bias = bias.masked_fill(~cache.ancestors[:, None], torch.finfo(x.dtype).min / 4)
        for layer, block in enumerate(self.blocks):
            q, k, v = (t.reshape(*pools, *t.shape[2:]) for t in block.attention.project(x))
            keys, values = cache.write(layer, k, v)
            attended = block.attention.few(q, keys, values, bias)
            x = x + block.attention.output(attended.reshape(*x.shape[:2], *attended.shape[2:]))
            if block.cross is not None:
                cross = block.cross
                attended = cross.few(cross.queries(x), *self.cross[layer], self.memory_bias)
                x = x + cross.output(attended)
            x = block.mix(x)
        return model.logits(self.stack.norm(x))

    def reorder(self, parents: Tensor) -> None:
        """See `sciml.nn.decoding.Steps`."""
        self.cache.reorder(parents)

    def keep(self, sources: Tensor) -> None:
        """See `sciml.nn.decoding.Steps`."""
        pools = sources
        if self.pool_width < self.width:
            own = torch.arange(self.width, device=sources.device)
            pools = (sources[:, None] * self.width + own).flatten()
        self.cache.keep(pools)
        self.cross = [(k[sources], v[sources]) for k, v in self.cross]
        if self.memory_bias is not None:
            self.memory_bias = self.memory_bias[sources]
