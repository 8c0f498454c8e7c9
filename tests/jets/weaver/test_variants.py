"""Variants of weaver's networks: built as the options say, or refused by name."""

import dataclasses
from typing import TypeVar

import pytest
import torch
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.data.features import all_pairs
from sciml.jets.networks.classifier import WeaverNetwork
from sciml.jets.networks.particle_net import ParticleNet, ParticleNetConfig
from sciml.jets.networks.particle_transformer import ParTConfig, ParticleTransformer
from sciml.jets.weaver import checkpoints as weaver

Network = TypeVar("Network", bound=torch.nn.Module)

SMALL = ParTConfig(features=5, classes=3, embed=(16, 16), pair=(8,), heads=4, layers=3)
NET = ParticleNetConfig(features=5, classes=3, channels=((8, 8), (12,)), neighbours=4, hidden=(6,))


def random(model: Network) -> Network:
    torch.manual_seed(5)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.8)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(buffer, std=0.3)
    return model.eval()


def state_of(model):
    return {
        weaver.weaver_name(n, model): v.reshape(
            weaver.weaver_shape(weaver.weaver_name(n, model), v)
        )
        for n, v in model.state_dict().items()
    }


@pytest.fixture(scope="module")
def batch():
    """features [B, 5, N], vectors, points, mask, laid out as weaver's."""
    random_ = torch.Generator().manual_seed(1)
    mask = (torch.arange(12) < torch.tensor([12, 1, 2, 7, 9])[:, None])[:, None].float()
    p3 = torch.randn(5, 3, 12, generator=random_) * 20
    vectors = torch.cat([p3, p3.norm(dim=1, keepdim=True) * 1.05], 1)
    features = torch.randn(5, 5, 12, generator=random_)
    points = torch.randn(5, 2, 12, generator=random_) * 0.3
    return features * mask, vectors * mask, points * mask, mask


def written_out(state, features, vectors, mask, *, config):
    """The Particle Transformer with a global token, step by step from weaver's keys: one jet at a
    time, without padding. Independent of `sciml.jets.networks.particle_transformer`."""

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], state[name + ".weight"], state[name + ".bias"])

    def batch_norm(x, name):
        values = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *values)

    def linear(x, name):
        weight = state[name + ".weight"]
        return F.linear(x, weight.flatten(1), state[name + ".bias"])

    act = getattr(F, config.activation)
    heads, out = config.heads, []
    for jet in range(len(mask)):
        n = int(mask[jet].sum())
        x = batch_norm(features[jet, :, :n].T, "embed.input_bn")
        for i in range(len(config.embed)):
            x = act(linear(norm(x, f"embed.embed.{3 * i}"), f"embed.embed.{3 * i + 1}"))
        pairs = batch_norm(
            all_pairs(vectors[jet, :, :n].T[None])[0].flatten(0, 1), "pair_embed.embed.0"
        )
        for i in range(len(config.pair) + 1):
            pairs = batch_norm(
                linear(pairs, f"pair_embed.embed.{3 * i + 1}"), f"pair_embed.embed.{3 * i + 2}"
            )
            pairs = F.gelu(pairs) if i < len(config.pair) else pairs  # whatever the activation
        bias = torch.zeros(heads, n + 1, n + 1, dtype=x.dtype)
        bias[:, 1:, 1:] = pairs.view(n, n, heads).permute(2, 0, 1)
        x = torch.cat([state["cls_token"][0], x])
        for number in range(config.layers):
            p = f"blocks.{number}."
            q, k, v = linear(norm(x, p + "pre_attn_norm"), p + "attn.in_proj").chunk(3, -1)
            q, k, v = (t.view(n + 1, heads, -1).transpose(0, 1) for t in (q, k, v))
            logits = q @ k.mT / q.shape[-1] ** 0.5
            if config.bias_blocks is None or number in config.bias_blocks:
                logits = logits + bias
            received = (logits.softmax(-1) @ v).transpose(0, 1).reshape(n + 1, -1)
            received = linear(received, p + "attn.out_proj").view(n + 1, heads, -1)
            received = (received * state[p + "c_attn"][:, None]).flatten(1)
            x = norm(received, p + "post_attn_norm") + x
            wide = act(linear(norm(x, p + "pre_fc_norm"), p + "fc1"))
            x = linear(norm(wide, p + "post_fc_norm"), p + "fc2") + state[p + "w_resid"] * x
        out.append(linear(norm(x[0], "norm"), "fc.0"))
    return torch.stack(out)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("blocks", [None, (0, 2), (1,), ()])
def test_a_global_token_by_an_independent_way(batch, activation, blocks):
    config = dataclasses.replace(
        SMALL, class_layers=0, global_token=True, activation=activation, bias_blocks=blocks
    )
    state = state_of(random(ParticleTransformer(config)))
    model = weaver.build(state, activation=activation, block_ids_with_attn_mask=blocks).double()
    state = {n: v.double() for n, v in state.items()}
    features, vectors, _, mask = (x.double() for x in batch)
    with torch.no_grad():
        ours = weaver.logits(model, None, features, vectors, mask)
    assert (ours - written_out(state, features, vectors, mask, config=config)).abs().max() < 1e-9
    assert (ours[0] - ours[1]).abs().max() > 1e-4  # every jet has an answer of its own


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"activation": "relu", "use_pre_activation_pair": False},
        {"bias_blocks": (0, -1)},
        {"bias_blocks": (), "remove_self_pair": True},
        {"class_layers": 0, "global_token": True},
        {"class_layers": 0, "global_token": True, "pair": ()},
        {"class_layers": 0, "global_token": True, "bias_blocks": (1,), "activation": "relu"},
    ],
)
def test_fast_and_readable_paths_agree_and_are_saved(batch, options, tmp_path):
    config = dataclasses.replace(SMALL, **options)
    model = random(ParticleTransformer(config))
    features, vectors, _, mask = batch
    rows = features.transpose(1, 2), vectors.transpose(1, 2), mask[:, 0] > 0
    with torch.no_grad():
        fast, plain = model(*rows), model.reference(*rows)
        other = random(ParticleTransformer(dataclasses.replace(config, activation="gelu")))(*rows)
    assert (fast - plain).abs().max() < 1e-5
    assert ((other - fast).abs().max() > 1e-3) == (config.activation == "relu")
    model.train()
    model(*rows).sum().backward()  # ln m2 of a single particle has no gradient to speak of
    used = [n for n, p in model.named_parameters() if p.grad is None]
    assert all(name.startswith("pairs.") for name in used) and (not used or not any(model.biased))
    JetTagger(WeaverNetwork(model.eval()), "abc").save(tmp_path / "m.safetensors")
    again = JetTagger.from_pretrained(tmp_path / "m.safetensors").network.get_submodule("network")
    with torch.no_grad():
        assert torch.equal(again(*rows), model(*rows))


def test_neighbours_of_each_block(batch):
    features, _, points, mask = batch
    state = state_of(random(ParticleNet(NET)))
    with torch.no_grad():
        one = weaver.logits(weaver.build(state, neighbours=4), points, features, None, mask)
        same = weaver.logits(weaver.build(state, neighbours=[4, 4]), points, features, None, mask)
        other = weaver.logits(weaver.build(state, neighbours=[4, 7]), points, features, None, mask)
        seven = weaver.logits(weaver.build(state, neighbours=7), points, features, None, mask)
    assert torch.equal(one, same)
    assert (one - other).abs().max() > 1e-4 and (seven - other).abs().max() > 1e-4
    with pytest.raises(InputError, match="2 blocks need as many"):
        weaver.build(state, neighbours=[4, 4, 4])


def test_sums_over_all_places(batch):
    """`use_counts=False`: the mean counts padding, as many places as the tensors have."""
    features, _, points, mask = batch
    state = state_of(random(ParticleNet(dataclasses.replace(NET, hidden=()))))
    state["fc.0.bias"] = torch.zeros(3)
    with torch.no_grad():
        mean = weaver.logits(weaver.build(state, neighbours=4), points, features, None, mask)
        model = weaver.build(state, neighbours=4, use_counts=False)
        whole = weaver.logits(model, points, features, None, mask)
    share = mask.sum(2) / 12
    assert (whole - mean * share).abs().max() < 1e-5


def without(state, *words):
    return {n: v for n, v in state.items() if not any(word in n for word in words)}


def more(state, names, value=None):
    return state | {n: torch.ones(3) if value is None else value for n in names}


def variants():
    part = state_of(random(ParticleTransformer(SMALL)))
    net = state_of(random(ParticleNet(NET)))
    six = part | {"pair_embed.embed.0.weight": torch.ones(6)}
    swiglu = more(part, ["blocks.0.fc1_g.weight", "cls_blocks.0.fc1_g.weight"])
    return {
        "Give activation": swiglu,
        "Give pair_input_type: ee": six,
        "Give num_heads": without(part, "c_attn", "pair_embed"),
        "fc_params=None": {n: v for n, v in part.items() if not n.startswith("fc.")},
        "for_segmentation": without(part, "cls_token"),
        "ParticleNeXt with an answer for every particle": {
            "layers.0.edge_mlp.0.weight": torch.ones(3), "fc.0.weight": torch.ones(3, 6, 1)},
        "further collections": part | {"lt_embed.embed.0.weight": torch.ones(3)},
        "no batch norms": without(net, "bns"),
        "for_segmentation=True": net | {"fc.1.weight": torch.ones(3, 6, 1)},
        "missing keys 'blocks.0.ls2": more(part, ["blocks.0.ls1.gamma"], torch.ones(16)),
    }  # fmt: skip


@pytest.mark.parametrize("name", variants())
@pytest.mark.parametrize("prefix", ["", "mod."])
def test_what_is_no_tagger_or_cannot_be_told_is_refused_by_name(tmp_path, name, prefix):
    torch.save({prefix + n: v for n, v in variants()[name].items()}, tmp_path / "x.pt")
    with pytest.raises(InputError, match=name) as caught:
        JetTagger.from_weaver(tmp_path / "x.pt")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "options, message",
    [
        ({"activation": "silu"}, "gelu"),
        ({"activation": "swiglu"}, "no fc1_g"),
        ({"num_heads": 2}, "4 heads"),
        ({"pair_input_type": "hadron"}, "pp, ee"),
        ({"pair_input_type": "ee"}, "1, 3, 5, 6"),
        ({"fc_activations": ["gelu"]}, "0"),
        ({"block_ids_with_attn_mask": [3]}, "no block 3"),
        ({"block_ids_with_attn_mask": [-4]}, "no block -4"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        weaver.build(state_of(random(ParticleTransformer(SMALL))), **options)
