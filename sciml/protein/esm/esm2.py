"""ESM-2: a transformer of single sequences, trained on masked residues.

Lin et al., Science 379, 1123 (2023). Layers normalise first; positions are rotary; the embeddings
are scaled as if as many residues were masked as in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from sciml.config import Range
from sciml.protein.esm.layers import (
    ContactReader,
    EsmOutput,
    SequenceAttention,
    TokenHead,
    Transition,
)
from sciml.protein.esm.tokens import EOS, MASK, PAD, VOCABULARY

MASKED_IN_TRAINING = 0.15 * 0.8
"""Share of the residues that were the mask token."""
Positive = Annotated[int, Range(min=1)]


@dataclass(frozen=True)
class Esm2Config:
    """Sizes of ESM-2; those of `esm2_t33_650M_UR50D` by default."""

    dim: Positive = 1280
    """Channels."""
    layers: Positive = 33
    """Layers."""
    heads: Positive = 20
    """Heads of each."""
    hidden: Positive = 5120
    """Channels inside the transitions."""
    scaled: bool = True
    """Whether embeddings are scaled by the share of masked residues (`token_dropout`)."""
    eps: Annotated[float, Range(min=0)] = 1e-5
    """Of the layer norms."""
    tokens: bool = True
    """Whether there is a head of tokens."""
    contacts: bool = True
    """Whether there is a head of contacts."""


class Esm2Layer(nn.Module):
    """Attention, then a transition, each after a layer norm."""

    def __init__(self, c: Esm2Config) -> None:
        super().__init__()
        self.layer_norm_attention = nn.LayerNorm(c.dim, c.eps)
        self.attention = SequenceAttention(c.dim, c.heads)
        self.layer_norm_transition = nn.LayerNorm(c.dim, c.eps)
        self.transition = Transition(c.dim, c.hidden)

    def forward(
        self, x: Tensor, mask: Tensor | None, weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """[B, T, c] -> the same, and attention weights [B, H, T, T] where asked for."""
        update, probability = self.attention(self.layer_norm_attention(x), mask, weights)
        x = x + update
        return x + self.transition(self.layer_norm_transition(x)), probability


class Esm2(nn.Module):
    """The network of single sequences."""

    def __init__(self, config: Esm2Config | None = None) -> None:
        super().__init__()
        c = self.config = config or Esm2Config()
        self.embedding = nn.Embedding(len(VOCABULARY), c.dim, padding_idx=PAD)
        self.layers = nn.ModuleList(Esm2Layer(c) for _ in range(c.layers))
        self.layer_norm = nn.LayerNorm(c.dim, c.eps)
        self.head_tokens = TokenHead(c.dim, len(VOCABULARY), c.eps) if c.tokens else None
        self.head_contacts = nn.Linear(c.layers * c.heads, 1) if c.contacts else None

    def forward(self, tokens: Tensor, *, contacts: bool = False, maps: bool = False) -> EsmOutput:
        """Tokens [B, T] of `tokens.sequence_tokens`, padded with `tokens.PAD`.

        Args:
            tokens: <cls>, residues, <eos>, padding.
            contacts: also give contacts.
            maps: also give the attention maps.
        """
        real = tokens != PAD
        x = self.embedding(tokens)
        if self.config.scaled:
            masked = tokens == MASK
            x = x.masked_fill(masked[..., None], 0.0)
            share = masked.sum(1).to(x.dtype) / real.sum(1)
            x = x * (1 - MASKED_IN_TRAINING) / (1 - share)[:, None, None]
        x = x * real[..., None]
        reader = ContactReader(self.head_contacts, self.config.heads, maps)
        seen = (real & (tokens != EOS)).to(x.dtype)
        seen = (seen[:, :, None] * seen[:, None])[:, None]
        mask = None if bool(real.all()) else real
        for layer in self.layers:
            x, weights = layer(x, mask, contacts or maps)
            if weights is not None:
                reader.add((weights * seen)[..., 1:-1, 1:-1])
        x = self.layer_norm(x)
        head = self.head_tokens
        logits = None if head is None else head(x, self.embedding.weight)
        return EsmOutput(logits, x, reader.contacts if contacts else None, reader.all_maps())
