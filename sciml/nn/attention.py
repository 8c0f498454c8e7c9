"""Attention with a pair bias: the block that the four sciences share.

    out_i = gate_i * sum_j softmax_j(q_i . k_j / sqrt(d) + bias_ij) v_j      over real j

AlphaFold's row attention over its pair representation (Jumper et al. 2021, supplement, algorithm
7), the Particle Transformer's interaction matrix (Qu et al. 2022, arXiv:2202.03772, equation 4),
a netlist's distances, an expression tree's relative positions.

`reference` is the formula. `sdpa` is torch's kernel. `chunked` never holds rows x heads x N x M
numbers at once (`sciml.nn.blocked`). `flex` is FlexAttention, CUDA only. All agree in value and
gradient, and a query none of whose keys is real gets zeros with zero gradient.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import InputError, unknown
from sciml.nn import blocked

log = logging.getLogger(__name__)

LARGE_BIAS = 64 << 20
"""Bytes of a bias that is not copied only to put a mask into it."""
BACKENDS = ("auto", "reference", "sdpa", "chunked", "flex")


def pair_biased_attention(
    q: Float[Tensor, "B *R H N d"],
    k: Float[Tensor, "B *R H M d"],
    v: Float[Tensor, "B *R H M d"],
    bias: Float[Tensor, "*bias"] | None = None,
    mask: Bool[Tensor, "B *R M"] | None = None,
    *,
    gate: Float[Tensor, "B *R H N d"] | None = None,
    backend: str = "auto",
) -> Float[Tensor, "B *R H N d"]:
    """Attention with an additive bias per pair, a key mask and an output gate.

    Args:
        q: queries [B, H, N, d], or with rows (of an alignment, say) [B, R, H, N, d].
        k: keys, the same with M for N.
        v: values, the same shape as the keys.
        bias: added to the logits, broadcastable to [B, H, N, M]; with rows to [B, R, H, N, M],
            usually [B, 1, H, N, M]: one bias for all rows.
        mask: [B, M] or [B, R, M]; True = a real key.
        gate: multiplies the output after a sigmoid: its logits, shaped like `q`.
        backend: one of `BACKENDS`; `auto` picks by `choose_backend`.

    Returns:
        [B, (R,) H, N, d] in the dtype of `q`; zeros for a query without a real key.

    Raises:
        InputError: an unknown backend, or one that this machine cannot run.
    """
    if backend not in BACKENDS:
        raise unknown("attention backend", backend, BACKENDS)
    if bias is not None and bias.ndim < q.ndim:
        bias = bias.reshape((1,) * (q.ndim - bias.ndim) + bias.shape)
    if q.numel() == 0 or k.numel() == 0:  # no query, or none that has a key
        return q * 0.0
    if backend == "auto":
        backend = choose_backend(q, k, bias).name
    out = _RUN[backend](q, k, v, bias, mask)
    return out if gate is None else out * torch.sigmoid(gate)


class Choice(NamedTuple):
    """A backend and the reason for it."""

    name: str
    reason: str


def choose_backend(q: Tensor, k: Tensor, bias: Tensor | None) -> Choice:
    """The fastest backend for these inputs on this machine, with the reason (logged once)."""
    if torch.compiler.is_exporting():
        return Choice("sdpa", "an exported graph serves all sizes")
    bias_gradient = bias is not None and bias.requires_grad and torch.is_grad_enabled()
    rows = q.shape[1] if q.ndim == 5 else 1
    numbers = q.shape[:-1].numel() * k.shape[-2]
    if q.device.type == "cpu":
        if bias_gradient:
            choice = Choice("chunked", "on a CPU, SDPA with a bias gradient forms all weights")
        elif rows > 1 and bias is not None:
            choice = Choice("chunked", "SDPA would repeat the bias for every row")
        elif bias is not None and bias.numel() * bias.element_size() > LARGE_BIAS:
            choice = Choice("chunked", "SDPA would need a masked copy of a large bias")
        else:
            choice = Choice("sdpa", "on a CPU without bias gradient, SDPA is fused")
    elif rows > 1 and numbers * q.element_size() > 1 << 30:
        choice = Choice("chunked", "the logits of all rows would take over 1 GiB")
    else:
        choice = Choice("sdpa", f"torch's kernel for {q.device.type}, deterministic bias gradient")
    if not torch.compiler.is_compiling():
        _log_once(choice)
    return choice


@functools.cache
def _log_once(choice: Choice) -> None:
    log.info("attention backend %s: %s", choice.name, choice.reason)


def _key_mask(mask: Tensor) -> Tensor:
    """[..., M] -> [..., 1, 1, M], to broadcast against [..., H, N, M]."""
    return mask[..., None, None, :]


def reference(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
    """The formula, as written: what every other backend must equal."""
    logits = q @ k.mT / q.shape[-1] ** 0.5
    if bias is not None:
        logits = logits + bias
    if mask is None:
        return logits.softmax(-1).to(v.dtype) @ v
    hidden = ~_key_mask(mask)
    logits = logits.masked_fill(hidden, torch.finfo(logits.dtype).min)
    # A row that hides every key has had a uniform softmax: the second fill makes it zeros.
    return logits.softmax(-1).masked_fill(hidden, 0.0).to(v.dtype) @ v


def _sdpa(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
    shape = q.shape
    attn_mask = None if bias is None else bias.to(q.dtype)
    if mask is not None:
        hidden = ~_key_mask(mask)
        # finfo.min would overflow where the bias is negative; half of it is as good as -inf.
        far = torch.finfo(q.dtype).min / 2
        if attn_mask is None:
            attn_mask = q.new_zeros(()).masked_fill(hidden, far)
        else:
            attn_mask = attn_mask.masked_fill(hidden, far)
    if q.ndim == 5:
        q, k, v = (t.flatten(0, 1) for t in (q, k, v))
        if attn_mask is not None:
            attn_mask = attn_mask.expand(*shape[:2], *attn_mask.shape[2:]).flatten(0, 1)
    if attn_mask is not None:
        attn_mask = attn_mask.expand(q.shape[0], -1, shape[-2], -1)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask).reshape(shape)
    if mask is not None:
        out = out.masked_fill(~mask.any(-1)[..., None, None, None], 0.0)
    return out


def _chunked(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
    dtype = q.dtype
    wide = torch.promote_types(dtype, torch.float32)
    shape = q.shape
    q, k, v = (t.to(wide) if t.ndim == 5 else t.to(wide)[:, None] for t in (q, k, v))
    batch, rows, heads, n, d = q.shape
    m = k.shape[-2]
    shared = bias is not None and (bias.ndim == 4 or bias.shape[1] == 1)
    # A group has its own bias, its rows share it: [B, H, R, ...] or [B, R, H, ...].
    if shared:
        groups = (batch * heads, rows)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    else:
        groups = (batch * rows * heads, 1)
    q, k, v = (t.reshape(*groups, t.shape[-2], d).contiguous() for t in (q, k, v))
    if bias is not None:
        bias = bias if bias.ndim == 5 else bias[:, None]
        bias = bias.to(wide).expand(batch, 1 if shared else rows, heads, n, m)
        bias = bias.reshape(groups[0], n, m).contiguous()
    if mask is not None:
        mask = mask.reshape(batch, rows, m)
        mask = mask[:, None] if shared else mask[:, :, None]
        mask = mask.expand(batch, *((heads, rows) if shared else (rows, heads)), m)
        mask = mask.reshape(*groups, m)
    needed = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (q, k, v, bias)
    )
    keep = needed and q.shape[:-1].numel() * m * q.element_size() <= blocked.KEEP_BYTES
    out, _ = blocked.blocked_attention(q, k, v, bias, mask, keep)
    if shared:
        out = out.view(batch, heads, rows, n, d).transpose(1, 2)
    return out.reshape(shape).to(dtype)


def flex_refusal(device: torch.device) -> str | None:
    """Why FlexAttention cannot run on `device`, or None if it can."""
    if device.type != "cuda":
        return f"it has no backward pass on {device.type}"
    major, minor = torch.cuda.get_device_capability(device)
    if major < 8:
        return f"it needs compute capability 8.0, this device has {major}.{minor}"
    try:
        import triton  # noqa: F401
    except ImportError:
        return "it needs the package triton, which is not installed"
    return None


@functools.cache
def _compiled_flex():
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


def _flex(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
    refusal = flex_refusal(q.device)
    if refusal is not None:
        raise InputError(
            f"the attention backend 'flex' is not possible here: {refusal}", hint="Use 'auto'"
        )
    return flex_formula(q, k, v, bias, mask, _compiled_flex())


def flex_formula(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None, kernel
) -> Tensor:
    """The formula as a FlexAttention score modification.

    The bias's gradient is added up atomically: it differs in the last bits from run to run.
    """
    shape = q.shape
    rows = q.shape[1] if q.ndim == 5 else 1
    q, k, v = (t.flatten(0, 1) if t.ndim == 5 else t for t in (q, k, v))
    m = k.shape[-2]
    keys: Any = None if mask is None else mask.reshape(-1, m)
    far = -float("inf")
    score: Any
    if bias is not None:
        bias = bias if bias.ndim == 5 else bias[:, None]
        bias = bias.expand(shape[0], -1, shape[-3], shape[-2], m)
        if bias.shape[1] == 1:
            bias = bias.expand(-1, rows, -1, -1, -1)
    if bias is None and keys is None:
        score = None
    elif bias is None:
        score = lambda logit, b, h, i, j: torch.where(keys[b, j], logit, far)  # noqa: E731
    elif keys is None:
        score = lambda logit, b, h, i, j: logit + bias[b // rows, b % rows, h, i, j]  # noqa: E731
    else:
        score = lambda logit, b, h, i, j: torch.where(  # noqa: E731
            keys[b, j], logit + bias[b // rows, b % rows, h, i, j], far
        )
    out = kernel(q, k, v, score_mod=score)
    if keys is not None:
        out = out.masked_fill(~keys.any(-1)[:, None, None, None], 0.0)
    return out.reshape(shape)


_RUN = {"reference": reference, "sdpa": _sdpa, "chunked": _chunked, "flex": _flex}


class Attention(nn.Module):
    """Multi-head attention with projections, a pair bias and a gate; parameter names of AlphaFold.

    Algorithm 7 (rows) and 8 (columns) of AlphaFold's supplement without their layer norm and
    their pair bias, which the caller owns, since several blocks may share one.

    Args:
        dim: width of the queries' side, and of the output.
        heads: number of heads.
        head_dim: width of a head; `dim // heads` if not given.
        kv_dim: width of the keys' side; `dim` if not given.
        gated: multiply each head's output by a sigmoid gate of the queries.
        out_bias: whether the last projection has a bias; the first ones never have.
        backend: see `pair_biased_attention`.
        padded_rows: output of a row whose keys are all padding, "zeros" or the plain "mean" of its
            values, as AlphaFold's softmax over equal logits gives; no real node depends on it.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        head_dim: int | None = None,
        *,
        kv_dim: int | None = None,
        gated: bool = True,
        out_bias: bool = True,
        backend: str = "auto",
        padded_rows: Literal["zeros", "mean"] = "zeros",
    ) -> None:
        super().__init__()
        if head_dim is None:
            if dim % heads:
                raise InputError(f"`dim` must be a multiple of `heads` ({heads}), got {dim}")
            head_dim = dim // heads
        self.heads, self.head_dim, self.backend = heads, head_dim, backend
        self.padded_rows = padded_rows
        inner = heads * head_dim
        kv_dim = dim if kv_dim is None else kv_dim
        self.linear_q = nn.Linear(dim, inner, bias=False)
        self.linear_k = nn.Linear(kv_dim, inner, bias=False)
        self.linear_v = nn.Linear(kv_dim, inner, bias=False)
        self.linear_g = nn.Linear(dim, inner) if gated else None
        self.linear_o = nn.Linear(inner, dim, bias=out_bias)
        if self.linear_g is not None:  # open at first: sigmoid(1) = 0.73
            nn.init.zeros_(self.linear_g.weight)
            nn.init.ones_(self.linear_g.bias)

    def forward(
        self,
        x: Float[Tensor, "B *R N dim"],
        bias: Float[Tensor, "*bias"] | None = None,
        mask: Bool[Tensor, "B *R M"] | None = None,
        *,
        memory: Float[Tensor, "B *R M kv"] | None = None,
    ) -> Float[Tensor, "B *R N dim"]:
        """Attend from `x` [B, (R,) N, dim] to `memory` [B, (R,) M, kv_dim], or to itself.

        Args:
            x: the queries' side.
            bias: as in `pair_biased_attention`.
            mask: True = a real key.
            memory: the keys' side.

        Returns:
            [B, (R,) N, dim].
        """
        return self.linear_o(self.mix(x, bias, mask, memory=memory))

    def mix(
        self,
        x: Tensor,
        bias: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        memory: Tensor | None = None,
    ) -> Tensor:
        """`forward` but for its last layer: the heads' gated outputs [B, (R,) N, heads * d]."""
        source = x if memory is None else memory
        q, k, v = (
            self._split(self.linear_q(x)),
            self._split(self.linear_k(source)),
            self._split(self.linear_v(source)),
        )
        out = pair_biased_attention(q, k, v, bias, mask, backend=self.backend)
        if mask is not None and self.padded_rows == "mean":
            real = mask.any(-1)[..., None, None, None]
            out = torch.where(real, out, v.mean(-2, keepdim=True))
        out = out.transpose(-3, -2).flatten(-2)
        if self.linear_g is None:
            return out
        if torch.is_grad_enabled():
            return out * self.linear_g(x).sigmoid()
        return out.mul_(self.linear_g(x).sigmoid_())  # both are this call's own

    def _split(self, x: Tensor) -> Tensor:
        """[..., N, H d] -> [..., H, N, d]."""
        return x.unflatten(-1, (self.heads, self.head_dim)).transpose(-3, -2)
