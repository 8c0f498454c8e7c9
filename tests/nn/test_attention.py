"""Every backend equals the formula, in value and in gradient."""

import logging

import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import flex_attention

from sciml.errors import InputError
from sciml.nn import attention, blocked
from sciml.nn.attention import Attention, pair_biased_attention

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
SHAPES = {
    "square": ((2, 3, 7, 4), (2, 3, 7, 4), (2, 3, 7, 7)),
    "more keys": ((2, 3, 5, 4), (2, 3, 9, 4), (2, 3, 5, 9)),
    "one graph": ((1, 3, 7, 4), (1, 3, 7, 4), (1, 3, 7, 7)),
    "one node": ((3, 2, 1, 4), (3, 2, 1, 4), (3, 2, 1, 1)),
    "bias of all graphs": ((2, 3, 7, 4), (2, 3, 7, 4), (1, 3, 7, 7)),
    "bias of all heads": ((2, 3, 7, 4), (2, 3, 7, 4), (2, 1, 7, 7)),
    "bias without batch": ((2, 3, 7, 4), (2, 3, 7, 4), (3, 7, 7)),
    "rows": ((2, 5, 3, 7, 4), (2, 5, 3, 7, 4), (2, 1, 3, 7, 7)),
    "rows of one graph": ((1, 5, 3, 7, 4), (1, 5, 3, 7, 4), (1, 1, 3, 7, 7)),
    "rows, own bias": ((2, 5, 3, 7, 4), (2, 5, 3, 7, 4), (2, 5, 3, 7, 7)),
    "no bias": ((2, 3, 7, 4), (2, 3, 7, 4), None),
    "rows, no bias": ((2, 5, 3, 7, 4), (2, 5, 3, 7, 4), None),
}


def inputs(shape, dtype=torch.float64, masked=True):
    query, key, bias = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)

    def normal(*size):
        return torch.randn(*size, generator=generator, dtype=dtype).requires_grad_()

    mask = torch.rand(*query[:-3], key[-2], generator=generator) > 0.3
    mask.view(-1, key[-2])[-1] = False  # a row that sees no key
    mask.view(-1, key[-2])[0, 0] = True
    q, k, v, gate = normal(*query), normal(*key), normal(*key), normal(*query)
    return q, k, v, normal(*bias) if bias else None, mask if masked else None, gate


def value_and_gradients(backend, q, k, v, bias, mask, gate):
    out = pair_biased_attention(q, k, v, bias, mask, gate=gate, backend=backend)
    weight = torch.sin(torch.arange(out.numel(), dtype=out.dtype)).view(out.shape)
    leaves = [t for t in (q, k, v, bias, gate) if t is not None]
    return [out, *torch.autograd.grad((out * weight).sum(), leaves)]


@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["fp32", "fp64"])
@pytest.mark.parametrize("backend", ["auto", "sdpa", "chunked"])
@pytest.mark.parametrize("shape", SHAPES)
def test_backend_equals_the_formula(shape, backend, dtype, masked):
    arguments = inputs(shape, dtype, masked)
    for got, expected in zip(
        value_and_gradients(backend, *arguments),
        value_and_gradients("reference", *arguments),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("keep_bytes", [0, 1 << 30], ids=["recomputed", "kept"])
@pytest.mark.parametrize("block_bytes", [1, 300, 3000, 1 << 20])
@pytest.mark.parametrize("shape", ["more keys", "rows", "rows, own bias", "no bias"])
def test_blocks_of_any_size_give_the_same(shape, block_bytes, keep_bytes, monkeypatch):
    monkeypatch.setattr(blocked, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(blocked, "KEEP_BYTES", keep_bytes)
    arguments = inputs(shape)
    for got, expected in zip(
        value_and_gradients("chunked", *arguments),
        value_and_gradients("reference", *arguments),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_many_queries_are_cut_into_blocks(monkeypatch):
    """With more queries than fit a block: [1, 600, 700] logits in blocks of 64 kB."""
    monkeypatch.setattr(blocked, "BLOCK_BYTES", 1 << 16)
    cuts = list(blocked.blocks(2, 1, 600, 700, 8))
    assert len(cuts) > 20
    q, k, v = (torch.randn(1, 2, n, 8).double().requires_grad_() for n in (600, 700, 700))
    bias = torch.randn(1, 2, 600, 700, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(1, 700) > 0.2
    for got, expected in zip(
        value_and_gradients("chunked", q, k, v, bias, mask, q),
        value_and_gradients("reference", q, k, v, bias, mask, q),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


def test_gradients_equal_finite_differences():
    q, k, v, bias, mask, gate = inputs("rows")

    def run(backend):
        return lambda q, k, v, bias, gate: pair_biased_attention(
            q, k, v, bias, mask, gate=gate, backend=backend
        )

    for backend in ("reference", "sdpa", "chunked"):
        assert torch.autograd.gradcheck(run(backend), (q, k, v, bias, gate), fast_mode=True)
    assert torch.autograd.gradgradcheck(run("reference"), (q, k, v, bias, gate), fast_mode=True)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")  # on purpose
@pytest.mark.parametrize("shape", [s for s in SHAPES if "own" not in s])
def test_flex_formula_equals_the_reference(shape):
    """The same score modification that runs compiled on CUDA, unfused on the CPU, forward only."""
    q, k, v, bias, mask, _ = inputs(shape, torch.float32)
    q, k, v = (t.detach() for t in (q, k, v))
    bias = None if bias is None else bias.detach()
    with torch.no_grad():
        if bias is not None and bias.ndim < q.ndim:
            bias = bias[None]
        got = attention.flex_formula(q, k, v, bias, mask, flex_attention)
        expected = attention.reference(q, k, v, bias, mask)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_flex_says_why_it_is_not_possible_here():
    q, k, v, bias, mask, _ = inputs("square")
    assert "cpu" in str(attention.flex_refusal(torch.device("cpu")))
    with pytest.raises(InputError, match="'flex' is not possible here: it has no backward"):
        pair_biased_attention(q, k, v, bias, mask, backend="flex")


@pytest.mark.parametrize("backend", ["reference", "sdpa", "chunked"])
@pytest.mark.parametrize("shape", ["square", "rows", "no bias"])
def test_a_query_without_keys_gets_zeros_and_gives_no_gradient(shape, backend):
    q, k, v, bias, mask, _ = inputs(shape)
    mask = torch.zeros_like(mask)
    results = value_and_gradients(backend, q, k, v, bias, mask, None)
    for tensor in results:
        assert torch.equal(tensor, torch.zeros_like(tensor))


@pytest.mark.parametrize("backend", ["reference", "sdpa", "chunked"])
def test_hidden_keys_do_not_matter_whatever_they_hold(backend):
    q, k, v, bias, mask, _ = inputs("square")
    before = pair_biased_attention(q, k, v, bias, mask, backend=backend)
    hidden = ~mask[:, None, :, None]
    other = pair_biased_attention(
        q, k.masked_fill(hidden, 30.0), v.masked_fill(hidden, -7.0),
        bias.masked_fill(hidden.mT, 1e4), mask, backend=backend,
    )  # fmt: skip
    torch.testing.assert_close(other, before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "sdpa", "chunked"])
def test_large_logits_do_not_overflow(backend):
    q, k, v, bias, mask, _ = inputs("square", torch.float32)
    out = pair_biased_attention(
        q.detach() * 1e3, k.detach() * 1e3, v, bias * 1e6, mask, backend=backend
    )
    assert out.isfinite().all() and out.abs().max() <= v.abs().max() + 1e-4


@pytest.mark.parametrize("n, m", [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("backend", ["auto", "reference", "sdpa", "chunked"])
def test_no_nodes_give_empty_or_zero(n, m, backend):
    q, k = torch.randn(2, 3, n, 4, requires_grad=True), torch.randn(2, 3, m, 4)
    out = pair_biased_attention(
        q, k, k, torch.zeros(2, 3, n, m), torch.ones(2, m, dtype=torch.bool), backend=backend
    )
    assert out.shape == q.shape and out.abs().sum() == 0
    out.sum().backward()


@pytest.mark.parametrize("backend", ["auto", "reference", "sdpa", "chunked"])
def test_half_precision_stays_near_single(backend):
    q, k, v, bias, mask, _ = inputs("square", torch.float32)
    exact = pair_biased_attention(q, k, v, bias, mask, backend="reference")
    half = [t.detach().bfloat16().requires_grad_() for t in (q, k, v, bias)]
    out = pair_biased_attention(half[0], half[1], half[2], half[3], mask, backend=backend)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), exact, rtol=0, atol=0.03)
    out.sum().backward()
    assert all(t.grad.dtype == torch.bfloat16 for t in half)


def test_unknown_backend_names_the_nearest():
    q, k, v, bias, mask, _ = inputs("square")
    with pytest.raises(InputError, match="Did you mean 'chunked'"):
        pair_biased_attention(q, k, v, bias, mask, backend="chunk")


def test_choice_depends_on_what_is_asked_and_is_logged(caplog):
    q, k, v, bias, mask, _ = inputs("rows", torch.float32)
    attention._log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="sciml.nn.attention"):
        assert attention.choose_backend(q, k, bias).name == "chunked"
        assert attention.choose_backend(q, k, bias).name == "chunked"
        with torch.no_grad():
            assert attention.choose_backend(q, k, None).name == "sdpa"
    assert [r.message.split(":")[0] for r in caplog.records] == [
        "attention backend chunked",
        "attention backend sdpa",
    ]
    assert "bias gradient" in caplog.records[0].message


def test_long_attention_keeps_no_weights():
    """The tensors saved for the backward pass do not grow with N^2."""

    def saved(n):
        sizes = []
        q, k, v = (torch.randn(1, 2, n, 8, requires_grad=True) for _ in range(3))
        bias = torch.zeros(1, 2, n, n).requires_grad_()

        def keep(tensor):
            sizes.append(0 if tensor.data_ptr() == bias.data_ptr() else tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(
            keep,
            lambda t: t,
        ):
            pair_biased_attention(q, k, v, bias, backend="chunked")
        return max(sizes)

    keep, blocked.KEEP_BYTES = blocked.KEEP_BYTES, 1000
    try:
        assert saved(128) == 2 * saved(64)
    finally:
        blocked.KEEP_BYTES = keep


@pytest.mark.parametrize("gated", [True, False])
def test_module_equals_torch_multihead_attention(gated):
    """Without gate and bias it is `nn.MultiheadAttention` with the same weights."""
    ours = Attention(12, 3, gated=gated).double()
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_bias.zero_()
        theirs.in_proj_weight.copy_(
            torch.cat([ours.linear_q.weight, ours.linear_k.weight, ours.linear_v.weight])
        )
        theirs.out_proj.load_state_dict(ours.linear_o.state_dict())
        if gated:  # a gate that is always open
            assert ours.linear_g is not None and ours.linear_g.bias is not None
            ours.linear_g.bias.fill_(100.0)
    x, mask = torch.randn(2, 5, 12).double(), torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    expected, _ = theirs(x, x, x, key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, mask=mask), expected, rtol=0, atol=1e-12)


def test_module_attends_rows_and_memory():
    module = Attention(8, 2, 3, kv_dim=5).double()
    x, memory = torch.randn(2, 4, 6, 8).double(), torch.randn(2, 4, 7, 5).double()
    out = module(x, torch.randn(2, 1, 2, 6, 7).double(), memory=memory)
    assert out.shape == x.shape
    with pytest.raises(InputError, match="multiple of `heads`"):
        Attention(7, 2)


@pytest.mark.slow
def test_compiled_equals_eager():
    arguments = inputs("rows", torch.float32)
    compiled = torch.compile(value_and_gradients)
    for got, expected in zip(
        compiled("chunked", *arguments), value_and_gradients("reference", *arguments)
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_operator_passes_torch_library_checks():
    """Fake shapes, autograd registration and aliasing, as torch's own checker sees them."""
    q, k, v = (torch.randn(2, 3, 5, 4, requires_grad=True) for _ in range(3))
    bias, mask = torch.randn(2, 5, 5, requires_grad=True), torch.rand(2, 3, 5) > 0.2
    for keep in (True, False):
        torch.library.opcheck(
            blocked.blocked_attention,
            (q, k, v, bias, mask, keep),
            test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
        )
