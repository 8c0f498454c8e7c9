"""Beam search for the published encoder-decoder, without its copies.

The published code keeps the keys of self- and cross-attention once a hypothesis and copies all of
them about at every step. Here a source's cross-attention keys exist once, and the hypotheses of
a source share one pool of self-attention keys (`sciml.nn.beam_cache`), so that going on from other
hypotheses permutes a small table only.
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
        beam: hypotheses a source.
        max_length: most tokens of an output, the end included.
        grammar: what may follow what.
        length_penalty: exponent of the length that log-probabilities are divided by.
        end: id of the end of a sequence, which outputs also begin with (0 in the published models).
        pad: id of padding (1 there).
    """
    model.eval()
    steps = _Steps(model, source, lengths, beam, end)
    # The start is the end's id there; `_Steps` puts it in the place of the padding's.
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
        seen = torch.arange(source.shape[1], device=source.device) < lengths[:, None]
        memory = model.encoder(source, seen)
        decoder: Any = model.decoder
        if decoder.encoder_attn is None or decoder.proj is None:
            raise InputError("the decoder has no attention to the source or no output layer")
        self.side: Any = for_few_rows(decoder)
        self.start, self.heads = start, decoder.attentions[0].heads
        self.cross = [
            (self._heads(a.k_lin(memory)), self._heads(a.v_lin(memory)))
            for a in decoder.encoder_attn
        ]
        lowest = torch.finfo(memory.dtype).min / 4
        self.hidden = torch.zeros_like(seen, dtype=memory.dtype).masked_fill(~seen, lowest)
        self.hidden = self.hidden[:, None, None]
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
        side, cache = self.side, self.cache
        if cache.step == 0:
            tokens = torch.full_like(tokens, self.start)
        cache.begin_step()
        x = side.embeddings(tokens) + side.position_embeddings.weight[cache.step - 1]
        x = side.layer_norm_emb(x)
        lowest = torch.finfo(x.dtype).min / 4
        own = torch.zeros_like(cache.ancestors, dtype=x.dtype)
        own = own.masked_fill(~cache.ancestors, lowest)[:, None]
        for i, attention in enumerate(side.attentions):
            k, v = (
                p(x).unflatten(-1, (self.heads, -1)) for p in (attention.k_lin, attention.v_lin)
            )
            keys, values = cache.write(i, k, v)
            x = side.layer_norm1[i](x + self._attend(attention, x, keys, values, own))
            seen = self._attend(side.encoder_attn[i], x, *self.cross[i], self.hidden)
            x = side.layer_norm15[i](x + seen)
            x = side.layer_norm2[i](x + side.ffns[i](x))
        return side.proj(x)

    def reorder(self, parents: Int[Tensor, "S W"]) -> None:
        """See `sciml.nn.decoding.Steps`."""
        self.cache.reorder(parents)

    def keep(self, sources: Int[Tensor, " K"]) -> None:
        """See `sciml.nn.decoding.Steps`."""
        self.cache.keep(sources)
        self.cross = [(k[sources], v[sources]) for k, v in self.cross]
        self.hidden = self.hidden[sources]
