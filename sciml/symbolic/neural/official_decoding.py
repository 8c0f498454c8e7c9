"""Beam search for the published encoder-decoder with a key-value cache that is never copied.

The published code stores the keys of self- and cross-attention for every hypothesis and copies all
of them at every step. Here the cross-attention keys of a source exist once, and its hypotheses
share one pool of self-attention keys (`sciml.nn.beam_cache`), so that reordering the beam permutes
only a small table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.nn import decoding
from sciml.nn.beam_cache import BeamCache
from sciml.nn.decoding import Grammar, Hypotheses, Vocabulary
from sciml.nn.grouped_attention import for_few_rows

if TYPE_CHECKING:
    from sciml.symbolic.neural.official import SymbolicMathematics


@torch.inference_mode()
def beam_search(
    model: SymbolicMathematics, source: Int[Tensor, "S N"], lengths: Int[Tensor, " S"],
    beam: int = 10, max_length: int = 200, grammar: Grammar | None = None,
    length_penalty: float = 1.0, end: int = 0, pad: int = 1,
) -> Hypotheses:  # fmt: skip
    """The `beam` best outputs of each source.

    Args:
        model: what `from_symbolicmathematics` gave.
        source: ids, padded; the published models expect the end-of-sequence id at both ends.
        lengths: real tokens of each source.
        beam: hypotheses per source.
        max_length: longest output [tokens], the end token included.
        grammar: restricts the next tokens; None: any.
        length_penalty: exponent of the length that log-probabilities are divided by.
        end: id of the end of a sequence, with which outputs also begin (0 in the published models).
        pad: id of padding (1 in the published models).
    """
    model.eval()
    steps = _Steps(model, source, lengths, beam, end)
    # The published decoder starts with the end token; `_Steps` substitutes it for the start.
    return decoding.beam_search(
        steps, Vocabulary(model.words, pad, pad, end), sources=len(source), beam=beam,
        max_length=max_length, device=source.device, grammar=grammar,
        length_penalty=length_penalty,
    )  # fmt: skip


class _Steps:
    """See `sciml.nn.decoding.Steps`."""

    def __init__(
        self, model: SymbolicMathematics, source: Tensor, lengths: Tensor, width: int, start: int
    ) -> None:
        mask = torch.arange(source.shape[1], device=source.device) < lengths[:, None]
        memory = model.encoder(source, mask)
        decoder: Any = model.decoder
        if decoder.encoder_attn is None or decoder.proj is None:
            raise InputError("the decoder has no attention to the source or no output layer")
        self.decoder: Any = for_few_rows(decoder)
        self.start, self.heads = start, decoder.attentions[0].heads
        self.cross = [
            (self._heads(a.k_lin(memory)), self._heads(a.v_lin(memory)))
            for a in decoder.encoder_attn
        ]
        lowest = torch.finfo(memory.dtype).min / 4
        bias = torch.zeros_like(mask, dtype=memory.dtype).masked_fill(~mask, lowest)
        self.source_bias = bias[:, None, None]
        head_dim = memory.shape[-1] // self.heads
        self.cache = BeamCache(
            len(decoder.attentions), len(source), width, self.heads, head_dim, memory.device,
            memory.dtype,
        )  # fmt: skip

    def _heads(self, x: Tensor) -> Tensor:
        """[S, N, dim] -> [S, H, N, d]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2).contiguous()

    def _attend(self, layer: Any, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        q = layer.q_lin(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        out = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias)
        return layer.out_lin(out.transpose(1, 2).flatten(2))

    @torch.inference_mode()
    def step(self, tokens: Int[Tensor, "S W"], paths: Tensor | None) -> Float[Tensor, "S W V"]:
        """Logits of the token after `tokens`."""
        decoder, cache = self.decoder, self.cache
        if cache.step == 0:
            tokens = torch.full_like(tokens, self.start)
        cache.begin_step()
        x = decoder.embeddings(tokens) + decoder.position_embeddings.weight[cache.step - 1]
        x = decoder.layer_norm_emb(x)
        lowest = torch.finfo(x.dtype).min / 4
        bias = torch.zeros_like(cache.ancestors, dtype=x.dtype)
        bias = bias.masked_fill(~cache.ancestors, lowest)[:, None]
        for i, attention in enumerate(decoder.attentions):
            k, v = (
                p(x).unflatten(-1, (self.heads, -1)) for p in (attention.k_lin, attention.v_lin)
            )
            keys, values = cache.write(i, k, v)
            x = decoder.layer_norm1[i](x + self._attend(attention, x, keys, values, bias))
            attended = self._attend(decoder.encoder_attn[i], x, *self.cross[i], self.source_bias)
            x = decoder.layer_norm15[i](x + attended)
            x = decoder.layer_norm2[i](x + decoder.ffns[i](x))
        return decoder.proj(x)

    def reorder(self, parents: Int[Tensor, "S W"]) -> None:
        """See `sciml.nn.decoding.Steps`."""
        self.cache.reorder(parents)

    def keep(self, sources: Int[Tensor, " K"]) -> None:
        """See `sciml.nn.decoding.Steps`."""
        self.cache.keep(sources)
        self.cross = [(k[sources], v[sources]) for k, v in self.cross]
        self.source_bias = self.source_bias[sources]
