"""What users of weaver's networks report: each tried here on small networks with random weights."""

import pytest
import torch

from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.networks.particle_transformer import ParTConfig, ParticleTransformer
from sciml.jets.weaver import checkpoints as weaver

SMALL = ParTConfig(features=5, classes=3, embed=(16, 16), pair=(8,), heads=4, layers=2)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(3)
    model = ParticleTransformer(SMALL)
    return {weaver.weaver_name(n, model): v.reshape(weaver.weaver_shape(
        weaver.weaver_name(n, model), v)) for n, v in model.state_dict().items()}  # fmt: skip


@pytest.fixture
def tensors():
    random = torch.Generator().manual_seed(1)
    p3 = torch.randn(4, 3, 9, generator=random) * 20
    vectors = torch.cat([p3, p3.norm(dim=1, keepdim=True) * 1.05], 1)
    mask = (torch.arange(9) < torch.tensor([9, 1, 2, 6])[:, None])[:, None]
    return torch.randn(4, 5, 9, generator=random), vectors, mask


def logits(model, features, vectors, mask):
    with torch.no_grad():
        return weaver.logits(model, None, features, vectors, mask)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.float64, torch.int64])
def test_any_type_of_mask(state, tensors, dtype):
    features, vectors, mask = tensors
    model = weaver.build(state)
    assert torch.equal(
        logits(model, features, vectors, mask.to(dtype)), logits(model, features, vectors, mask)
    )


def test_identical_and_massless_collinear_particles_are_finite(state, tensors):
    """ln dR and ln m2 of such pairs are logarithms of zero; so are their gradients' factors."""
    features, vectors, mask = tensors
    vectors = vectors.clone()
    vectors[0, :, 1] = vectors[0, :, 0]
    vectors[0, :, 2] = 2 * vectors[0, :, 0]
    vectors[3, 3] = vectors[3, :3].norm(dim=0)
    model = weaver.build(state)
    vectors.requires_grad_()
    out = weaver.logits(model, None, features, vectors, mask)
    out.sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert vectors.grad.isfinite().all()


def test_numbers_in_padding_do_not_matter(state, tensors):
    features, vectors, mask = tensors
    model = weaver.build(state)
    noisy = torch.where(mask, features, 1e6), torch.where(mask, vectors, -1e6)
    assert (logits(model, *noisy, mask) - logits(model, features, vectors, mask)).abs().max() < 1e-5


def test_trimming_does_not_change_the_answer(state, tensors):
    """weaver cuts a batch to its longest jet from the sixth call on: so may the caller."""
    features, vectors, mask = (x[1:] for x in tensors)
    model = weaver.build(state)
    short = logits(model, features[..., :6], vectors[..., :6], mask[..., :6])
    for _ in range(7):
        whole = logits(model, features, vectors, mask)
    assert (whole - short).abs().max() < 1e-6


@pytest.mark.parametrize("prefix", ["", "mod.", "module.mod.", "_orig_mod.module.", "model."])
def test_prefixes_of_wrapped_modules(state, tensors, prefix, tmp_path):
    torch.save({"state_dict": {prefix + n: v for n, v in state.items()}}, tmp_path / "x.pt")
    tagger = JetTagger.from_weaver(tmp_path / "x.pt")
    features, vectors, mask = tensors
    with torch.no_grad():
        ours = tagger.weaver_logits(None, features, vectors, mask)
    assert torch.equal(ours, logits(weaver.build(state), features, vectors, mask))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_answer(state, tensors, dtype):
    """Pair kinematics stay in single precision: in half, ln m2 is noise and E^2 overflows."""
    features, vectors, mask = tensors
    whole = logits(weaver.build(state), features, vectors, mask)
    half = logits(weaver.build(state).to(dtype), features, vectors, mask).float()
    assert half.isfinite().all() and (half - whole).abs().max() < 0.1


def test_a_missing_class_token_is_named(state):
    with pytest.raises(InputError, match="for_segmentation"):
        weaver.build({n: v for n, v in state.items() if n != "cls_token"})


def test_no_jets_and_no_places(state, tensors):
    features, vectors, mask = tensors
    model = weaver.build(state)
    assert logits(model, features[:0], vectors[:0], mask[:0]).shape == (0, 3)
    assert logits(model, features[..., :0], vectors[..., :0], mask[..., :0]).isnan().all()
