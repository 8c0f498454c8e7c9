"""MSA Transformer: row and column attention over an alignment, trained on masked cells.

Rao et al., ICML 2021 (bioRxiv 2021.02.12.430858). All rows share one map of attention along the
columns, from which contacts are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.protein.esm.layers import (
    ColumnAttention,
    ContactReader,
    EsmOutput,
    RowAttention,
    TokenHead,
    Transition,
)
from sciml.protein.esm.tokens import PAD, VOCABULARY

Positive = Annotated[int, Range(min=1)]


@dataclass(frozen=True)
class MSATransformerConfig:
    """Sizes of MSA Transformer; those of `esm_msa1b_t12_100M_UR50S` by default."""

    dim: Positive = 768
    """Channels."""
    layers: Positive = 12
    """Layers."""
    heads: Positive = 12
    """Heads of each attention."""
    hidden: Positive = 3072
    """Channels inside the transitions."""
    columns: Positive = 1024
    """Most columns, <cls> among them."""
    rows: Annotated[int, Range(min=0)] = 1024
    """Most rows; 0: rows have no positions, and any number may be given."""
    row_channels: Positive = 768
    """Channels of the rows' positions: `dim`, or 1 in the first release."""
    contacts: bool = True
    """Whether there is a head of contacts."""


class MSALayer(nn.Module):
    """Row attention, column attention, transition, each after a layer norm."""

    def __init__(self, c: MSATransformerConfig) -> None:
        super().__init__()
        self.layer_norm_rows = nn.LayerNorm(c.dim)
        self.row_attention = RowAttention(c.dim, c.heads)
        self.layer_norm_columns = nn.LayerNorm(c.dim)
        self.column_attention = ColumnAttention(c.dim, c.heads)
        self.layer_norm_transition = nn.LayerNorm(c.dim)
        self.transition = Transition(c.dim, c.hidden)

    def forward(
        self, x: Tensor, real: Tensor | None, weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """[B, R, T, c] -> the same, and the shared map [B, H, T, T] where asked for."""
        update, probability = self.row_attention(self.layer_norm_rows(x), real, weights)
        x = x + update
        x = x + self.column_attention(self.layer_norm_columns(x), real)
        return x + self.transition(self.layer_norm_transition(x)), probability


class MSATransformer(nn.Module):
    """The network of alignments."""

    def __init__(self, config: MSATransformerConfig | None = None) -> None:
        super().__init__()
        c = self.config = config or MSATransformerConfig()
        self.embedding = nn.Embedding(len(VOCABULARY), c.dim, padding_idx=PAD)
        self.column_positions = nn.Embedding(c.columns + PAD + 1, c.dim, padding_idx=PAD)
        self.row_positions = (
            nn.Parameter(0.01 * torch.randn(1, c.rows, 1, c.row_channels)) if c.rows else None
        )
        self.layer_norm_before = nn.LayerNorm(c.dim)
        self.layers = nn.ModuleList(MSALayer(c) for _ in range(c.layers))
        self.layer_norm = nn.LayerNorm(c.dim)
        self.head_tokens = TokenHead(c.dim, len(VOCABULARY))
        self.head_contacts = nn.Linear(c.layers * c.heads, 1) if c.contacts else None

    def forward(self, tokens: Tensor, *, contacts: bool = False, maps: bool = False) -> EsmOutput:
        """Tokens [B, R, T] of `tokens.alignment_tokens`, padded with `tokens.PAD`.

        Args:
            tokens: each row <cls>, then its columns.
            contacts: also give contacts.
            maps: also give the attention maps.

        Raises:
            InputError: more rows or columns than the model has positions.
        """
        c = self.config
        for name, count, most in (
            ("rows", tokens.shape[1], c.rows or tokens.shape[1]),
            ("columns", tokens.shape[2] - 1, c.columns - 1),
        ):
            if count > most:
                raise InputError(f"{count} {name}; this MSA Transformer takes at most {most}")
        real = tokens != PAD
        place = real.cumsum(-1) * real + PAD
        x = self.embedding(tokens) + self.column_positions(place)
        if self.row_positions is not None:
            x = x + self.row_positions[:, : tokens.shape[1]]
        x = self.layer_norm_before(x) * real[..., None]
        reader = ContactReader(self.head_contacts, c.heads, maps)
        mask = None if bool(real.all()) else real
        for layer in self.layers:
            x, weights = layer(x, mask, contacts or maps)
            if weights is not None:
                reader.add(weights[..., 1:, 1:])
        x = self.layer_norm(x)
        logits = self.head_tokens(x, self.embedding.weight)
        return EsmOutput(logits, x, reader.contacts if contacts else None, reader.all_maps())
