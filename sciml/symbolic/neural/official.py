"""The transformer of Lample & Charton (ICLR 2020) and its published checkpoints.

Encoder and decoder in post-norm form: learned positions added to scaled-up embeddings and
normalised, then per layer attention, (attention to the source,) and a ReLU feed-forward layer, each
added and normalised. A checkpoint holds `encoder` and `decoder` state dicts, `proj` being the
decoder's output layer; it is read with torch's safe loader only.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.weights import loading, pickles
from sciml.weights.loading import layers

_EPS = 1e-12


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_lin, self.k_lin = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.v_lin, self.out_lin = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor, memory: Tensor | None = None) -> Tensor:
        """x [B, N, dim] attends to itself or to memory [B, M, dim]; mask [B, 1, N or 1, M] is True
        where it may."""
        source = x if memory is None else memory
        q, k, v = (
            part(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part, y in ((self.q_lin, x), (self.k_lin, source), (self.v_lin, source))
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_lin(out.transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.relu(self.lin1(x)))


class _Stack(nn.Module):
    """Encoder or decoder; parameters have the names of the checkpoints."""

    def __init__(
        self, words: int, dim: int, heads: int, layers: int, positions: int, decoder: bool
    ) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(positions, dim)
        self.embeddings = nn.Embedding(words, dim)
        self.layer_norm_emb = nn.LayerNorm(dim, eps=_EPS)

        def norms() -> nn.ModuleList:
            return nn.ModuleList(nn.LayerNorm(dim, eps=_EPS) for _ in range(layers))

        self.attentions = nn.ModuleList(_Attention(dim, heads) for _ in range(layers))
        self.layer_norm1, self.layer_norm2 = norms(), norms()
        self.ffns = nn.ModuleList(_FeedForward(dim) for _ in range(layers))
        self.layer_norm15 = norms() if decoder else None
        self.encoder_attn = (
            nn.ModuleList(_Attention(dim, heads) for _ in range(layers)) if decoder else None
        )
        self.proj = nn.Linear(dim, words) if decoder else None

    def forward(
        self, tokens: Tensor, mask: Tensor, memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        n = tokens.shape[1]
        index = torch.arange(n, device=tokens.device)
        x = self.layer_norm_emb(self.embeddings(tokens) + self.position_embeddings(index))
        x = x * mask[..., None]
        allowed = mask[:, None, None, :]
        if self.encoder_attn is not None:
            allowed = (index[None, :] <= index[:, None])[None, None]
        for i, attention in enumerate(self.attentions):
            x = self.layer_norm1[i](x + attention(x, allowed))
            if self.encoder_attn is not None and self.layer_norm15 is not None:
                if memory is None or memory_mask is None:
                    raise InputError("the decoder needs an encoded source")
                attended = self.encoder_attn[i](x, memory_mask[:, None, None, :], memory)
                x = self.layer_norm15[i](x + attended)
            x = self.layer_norm2[i](x + self.ffns[i](x)) * mask[..., None]
        return x


class SymbolicMathematics(nn.Module):
    """The published encoder-decoder; `forward` gives the logits of teacher-forced decoding."""

    def __init__(
        self, words: int, dim: int = 512, heads: int = 8, encoder_layers: int = 6,
        decoder_layers: int = 6, positions: int = 4096,
    ) -> None:  # fmt: skip
        super().__init__()
        if dim % heads:
            raise InputError(f"`dim` must be a multiple of `heads` ({heads}), got {dim}")
        self.words = words
        self.encoder = _Stack(words, dim, heads, encoder_layers, positions, False)
        self.decoder = _Stack(words, dim, heads, decoder_layers, positions, True)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor, target_lengths: Tensor
                ) -> Tensor:  # fmt: skip
        """Logits [B, T, words].

        Args:
            source: [B, N] ids, padded.
            lengths: [B] real tokens of each source.
            target: [B, T] ids, beginning with the end-of-sequence id as these checkpoints do.
            target_lengths: [B].
        """
        source_mask = torch.arange(source.shape[1], device=source.device) < lengths[:, None]
        target_mask = torch.arange(target.shape[1], device=target.device) < target_lengths[:, None]
        memory = self.encoder(source, source_mask)
        out = self.decoder(target, target_mask, memory, source_mask)
        if self.decoder.proj is None:
            raise InputError("the decoder has no output layer")
        return self.decoder.proj(out)


def from_symbolicmathematics(path: str | os.PathLike[str], heads: int = 8) -> SymbolicMathematics:
    """The published model from a checkpoint of its layout.

    Args:
        path: a `.pth` file with `encoder` and `decoder` state dicts. It is read without running
            any code in it.
        heads: attention heads (8 in the published models); the file does not say.

    Raises:
        InputError: for a file of another layout, or one that could run code when loaded.
    """
    data = pickles.read(path, "checkpoint")
    if not isinstance(data, dict) or not {"encoder", "decoder"} <= set(data):
        raise InputError("lacks the state dicts `encoder` and `decoder`", where=path)
    encoder, decoder = (
        {name.removeprefix("module."): value for name, value in state.items()}
        for state in (pickles.state_dict(data[side], (), path) for side in ("encoder", "decoder"))
    )
    try:
        words, dim = encoder["embeddings.weight"].shape
        positions, _ = encoder["position_embeddings.weight"].shape
    except (KeyError, ValueError) as error:
        raise InputError(f"lacks a table of embeddings ({error})", where=path) from None
    state = {f"decoder.{name}": value for name, value in decoder.items()}
    # The encoder of a checkpoint has an output layer, too; it is not used.
    state |= {f"encoder.{name}": value for name, value in encoder.items() if "proj" not in name}

    def make() -> SymbolicMathematics:
        encoder_layers = layers(state, "encoder.attentions.")
        decoder_layers = layers(state, "decoder.attentions.")
        return SymbolicMathematics(words, dim, heads, encoder_layers, decoder_layers, positions)

    return loading.restore(make, state, where=path)
