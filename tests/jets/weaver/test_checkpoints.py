"""Published weights give published logits; wrong files are refused by name."""

from typing import Any

import pytest
import torch

from sciml.errors import InputError
from sciml.jets.networks.particle_net import ParticleNet, ParticleNetConfig
from sciml.jets.networks.particle_transformer import ParTConfig, ParticleTransformer
from sciml.jets.weaver import checkpoints as weaver


@pytest.fixture(scope="module")
def part_state(weaver_reference):
    return weaver_reference.part_state


@pytest.fixture(scope="module")
def part_io(weaver_reference):
    return weaver_reference.part


def part_logits(model, io, vectors=None):
    return weaver.logits(
        model, None, io["features"], io["vectors"] if vectors is None else vectors, io["mask"]
    )


def well_conditioned(io):
    vectors = io["vectors"].clone()
    vectors[:, 3] = io["energy_wellconditioned"]
    return vectors


@pytest.mark.parametrize("variant", ["full", "kinpid", "kin"])
def test_particle_net_logits(weaver_reference, variant):
    stored = weaver_reference.net
    rows = slice(None) if variant == "full" else stored[f"features_{variant}_idx"]
    model = weaver.build(weaver.read_state(weaver_reference.checkpoints[variant]))
    points, features, mask = (torch.from_numpy(stored[k]) for k in ("points", "features", "mask"))
    features = features[:, rows]
    with torch.no_grad():
        ours = weaver.logits(model, points, features, None, mask)
        assert (ours - torch.from_numpy(stored[f"logits_{variant}"])).abs().max() < 1e-4
        points, features, mask = points[::10], features[::10], mask[::10]
        precise = weaver.logits(model.double(), points, features, None, mask)
    assert (precise - torch.from_numpy(stored[f"logits64_{variant}"][::10])).abs().max() < 1e-9


def test_part_logits_on_well_conditioned_input(part_state, part_io):
    model = weaver.build(part_state)
    with torch.no_grad():
        ours = part_logits(model, part_io, well_conditioned(part_io))
    assert (ours - part_io["logits_wellconditioned"]).abs().max() < 5e-5


def test_part_logits_in_double_precision(part_state, part_io):
    model = weaver.build(part_state).double()
    with torch.no_grad():
        ours = part_logits(model, part_io)
    assert (ours - part_io["logits64"]).abs().max() < 1e-9


def test_part_logits_in_single_precision(part_state, part_io):
    """The same formula in the same order of summation: round-off agrees, too."""
    with torch.no_grad():
        ours = part_logits(weaver.build(part_state), part_io)
    assert (ours - part_io["logits"]).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ({"use_pre_activation_pair": False}, "logits_use_pre_activation_pair_false"),
        ({"remove_self_pair": True}, "logits_remove_self_pair_true"),
        ({"activation": "relu"}, "logits_relu"),
        ({"block_ids_with_attn_mask": [0, 2, 5]}, "logits_block_ids_0_2_5"),
    ],
)
def test_part_options(part_state, part_io, options, stored):
    if stored not in part_io:
        pytest.skip("further cases: the published files hold no logits of this option")
    model = weaver.build(part_state, **options)
    with torch.no_grad():
        assert (part_logits(model, part_io) - part_io[stored]).abs().max() < 1e-3


def test_part_without_pair_embedding(part_state, part_io):
    state = {k: v for k, v in part_state.items() if not k.startswith("pair_embed.")}
    with torch.no_grad():
        ours = part_logits(weaver.build(state), part_io)
    assert (ours - part_io["logits_no_pair_embed"]).abs().max() < 5e-5


def test_part_gradients(weaver_reference, part_state, part_io):
    stored = weaver_reference.gradients
    model = weaver.build(part_state)
    logits = part_logits(model, part_io)
    loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 10)
    loss.backward()
    assert abs(loss.item() - stored["loss"]) < 1e-5
    norms = {
        weaver.weaver_name(n, model): float(p.grad.norm())
        for n, p in model.named_parameters()
        if p.grad is not None
    }
    assert set(norms) == set(stored["grad_l2_norm"])
    for name, norm in stored["grad_l2_norm"].items():
        assert norms[name] == pytest.approx(norm, rel=1e-3, abs=1e-5), name


def test_older_layout_and_prefixes(part_state, part_io, tmp_path):
    older = {"mod." + k.replace("attn.in_proj.", "attn.in_proj_"): v for k, v in part_state.items()}
    torch.save({"state_dict": older}, tmp_path / "older.pt")
    model = weaver.build(weaver.read_state(tmp_path / "older.pt"))
    with torch.no_grad():
        ours = part_logits(model, part_io, well_conditioned(part_io))
    assert (ours - part_io["logits_wellconditioned"]).abs().max() < 5e-5


def test_part_does_not_depend_on_padding_order_or_company(part_state, part_io):
    model = weaver.build(part_state)
    vectors = well_conditioned(part_io)
    order = part_io["lengths"].argsort()
    rows = order[[3, len(order) // 4, len(order) // 2, (3 * len(order)) // 4]]
    features, vectors, mask = (x[rows] for x in (part_io["features"], vectors, part_io["mask"]))
    with torch.no_grad():
        whole = weaver.logits(model, None, features, vectors, mask)
        shuffled = torch.randperm(128)
        moved = weaver.logits(
            model, None, features[:, :, shuffled], vectors[:, :, shuffled], mask[:, :, shuffled]
        )
        wider = weaver.logits(
            model, None, *(torch.nn.functional.pad(x, (0, 40)) for x in (features, vectors, mask))
        )
        alone = torch.cat(
            [
                weaver.logits(model, None, features[[i]], vectors[[i]], mask[[i]])
                for i in range(len(rows))
            ]
        )
    for other in (moved, wider, alone):
        assert (whole - other).abs().max() < 1e-5


def test_an_empty_jet_gets_no_confident_answer(part_state, part_io, weaver_reference):
    mask = torch.zeros(2, 1, 128)
    mask[1, :, :5] = 1
    features, vectors = part_io["features"][:2], part_io["vectors"][:2]
    nets = [
        weaver.build(part_state),
        weaver.build(weaver.read_state(weaver_reference.checkpoints["full"])),
    ]
    for model in nets:
        with torch.no_grad():
            logits = weaver.logits(model, vectors[:, :2], features, vectors, mask)
        assert logits[0].isnan().all() and logits[1].isfinite().all()


def test_more_than_128_particles(part_state, part_io):
    model = weaver.build(part_state)
    twice = [
        torch.cat([part_io[k][-2:], part_io[k][-2:]], 2) for k in ("features", "vectors", "mask")
    ]
    with torch.no_grad():
        assert weaver.logits(model, None, *twice).isfinite().all()


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_wrong_keys_are_named(part_state, change):
    state = dict(part_state)
    if change == "missing":
        del state["blocks.3.fc1.bias"]
        match = "missing keys 'blocks.3.fc1.bias'"
    elif change == "unknown":
        state["blocks.3.fc3.bias"] = torch.zeros(3)
        match = "unknown keys 'blocks.3.fc3.bias'"
    else:
        state["blocks.3.fc1.bias"] = torch.zeros(3)
        match = r"'blocks.3.fc1.bias' has shape \(3,\), not \(512,\)"
    with pytest.raises(InputError, match=match):
        weaver.build(state)


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 half a zip"])
def test_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.pt"):
        weaver.read_state(tmp_path / "x.pt")


def test_a_pickle_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    torch.save({"w": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(InputError):
        weaver.read_state(tmp_path / "trap.pt")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    "model",
    [
        ParticleTransformer(ParTConfig(layers=2, embed=(16, 32), heads=4, pair=(8,))),
        ParticleNet(ParticleNetConfig(channels=((8, 8), (12,)), neighbours=4, hidden=(6, 5))),
    ],
)
def test_written_weights_read_back(model, tmp_path):
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    weaver.write(model, tmp_path / "w.pt")
    again = weaver.build(weaver.read_state(tmp_path / "w.pt"), neighbours=4)
    assert again.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_written_keys_and_shapes_are_those_of_weaver(weaver_reference, part_state, tmp_path):
    weaver.write(weaver.build(part_state), tmp_path / "part.pt")
    written = torch.load(tmp_path / "part.pt", weights_only=True)
    assert {k: list(v.shape) for k, v in written.items()} == weaver_reference.part_shapes
    official = weaver.plain_names(weaver.read_state(weaver_reference.checkpoints["full"]))
    weaver.write(weaver.build(official), tmp_path / "net.pt")
    written = torch.load(tmp_path / "net.pt", weights_only=True)
    assert set(written) == set(official)
    assert all(torch.equal(written[k], v) for k, v in official.items())


def test_training_mode_has_gradients_everywhere(part_io):
    model = ParticleTransformer(ParTConfig(layers=1, class_layers=1, embed=(16, 16), heads=4))
    model.train()
    part_logits(model, part_io)[:, 0].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_fast_path_equals_the_reference_path(part_state, part_io):
    model = weaver.build(part_state)
    assert isinstance(model, ParticleTransformer)
    rows = part_io["lengths"].argsort()[::9]
    features, p4 = (part_io[k][rows].transpose(1, 2) for k in ("features", "vectors"))
    mask = part_io["mask"][rows, 0] > 0
    with torch.no_grad():
        fast, plain = model(features, p4, mask), model.reference(features, p4, mask)
    assert (fast - plain).abs().max() < 1e-5


def test_fused_layer_equals_the_plain_one():
    from sciml.jets.networks import fused

    w, b = torch.randn(64, 128) * 0.1, torch.randn(64)
    for rows in (50, 2 * fused.ROWS):
        x = torch.randn(rows, 128)
        plain = fused.linear_gelu(x, w.requires_grad_(), b)
        with torch.no_grad():
            fast = fused.linear_gelu(x, w, b)
        assert plain.requires_grad and not fast.requires_grad
        assert (plain - fast).abs().max() < 1e-5


def test_pair_network_in_training_equals_plain_batch_norms():
    """Recomputed in backward: the same values, gradients and running statistics."""
    from sciml.jets.data.features import pair_features
    from sciml.jets.networks.particle_transformer import lower_triangles
    from sciml.jets.networks.particle_transformer_pairs import PairNetwork

    p3 = torch.randn(30, 3) * 20
    p4 = torch.cat([p3, (p3.square().sum(1, keepdim=True) + 1).sqrt()], 1)
    first, second = lower_triangles(torch.tensor([12, 18]))
    ours = PairNetwork(4, (8, 8), 4, last_gelu=False).train()
    plain = torch.nn.Sequential(ours.norm)
    layer: Any
    for number, layer in enumerate(ours.layers):
        plain.extend([layer.linear, layer.norm] + [torch.nn.GELU()] * (number < 2))
    before = {k: v.clone() for k, v in ours.state_dict().items()}
    target = torch.randn(len(first), 4)
    results = []
    for run in (
        lambda: ours(p4, first, second).T,
        lambda: plain(pair_features(p4[first], p4[second])),
    ):
        ours.load_state_dict(before)
        ours.zero_grad()
        out = run()
        (out * target).sum().backward()
        grads = [p.grad.clone() for p in ours.parameters() if p.grad is not None]
        assert len(grads) == len(list(ours.parameters()))
        results.append([out.detach(), *grads, *(b.clone() for b in ours.buffers())])
    for mine, theirs in zip(*results, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4)


def test_dropout_drops_what_it_says_and_keeps_the_mean():
    from sciml.jets.networks import fused

    x = torch.ones(401, 999, requires_grad=True)
    out = fused.dropout(x, 0.1, True)
    assert abs((out == 0).float().mean().item() - 0.1) < 2e-3
    assert abs(out.mean().item() - 1) < 2e-3
    out.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, out.detach())
    assert fused.dropout(x, 0.1, False) is x
    torch.manual_seed(1)
    first = fused.dropout(x, 0.3, True)
    torch.manual_seed(1)
    assert torch.equal(first, fused.dropout(x, 0.3, True))
