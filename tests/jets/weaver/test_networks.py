"""Every network of weaver-core with every option: the same logits, and the same weights back."""

import json
import runpy
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from sciml.cli import main
from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.data.io import create
from sciml.jets.networks.classifier import WeaverNetwork
from sciml.jets.networks.particle_next import NextLayerConfig, ParticleNeXt, ParticleNeXtConfig
from sciml.jets.weaver import checkpoints as weaver


@pytest.fixture(scope="module")
def script(fixture_script):
    return fixture_script("weaver_networks")


@pytest.fixture(scope="module")
def stored(fixture_file):
    content = np.load(fixture_file("jets/weaver_networks.npz"))
    shapes = json.loads(str(content["shapes"]))
    return {k: content[k] for k in content if k != "shapes"}, shapes


@pytest.fixture(scope="module")
def inputs(script):
    return {name: torch.from_numpy(value) for name, value in script.inputs().items()}


@pytest.fixture(scope="module")
def case(script, stored, fixture_script):
    """Settings, state dict and weaver's logits of a case."""
    draw = fixture_script("weaver_core").draw

    def made(name):
        logits, shapes = stored
        seed = 100 + list(script.CASES).index(name)
        state = {k: torch.from_numpy(v) for k, v in draw(shapes[name], seed).items()}
        kind, settings = script.CASES[name]
        return script.arguments(kind, settings), state, logits[f"{name}/32"], logits[f"{name}/64"]

    return made


SCRIPT = Path(__file__).parents[2] / "fixtures" / "make" / "weaver_networks.py"
NAMES = list(runpy.run_path(str(SCRIPT))["CASES"])


ROUNDING = ("ee", "six pair features", "eight pair features", "next polarisation",
            "next moving with all")  # fmt: skip
"""Networks that read angles of a particle with itself."""


def built(tmp_path, settings, state):
    (tmp_path / "network.json").write_text(json.dumps(settings))
    torch.save({f"module.mod.{k}": v for k, v in state.items()}, tmp_path / "net.pt")
    return JetTagger.from_weaver(tmp_path / "net.pt", network=tmp_path / "network.json")


def run(tagger, inputs):
    taken = tagger.weaver_inputs()
    with torch.no_grad():
        return weaver.run(tagger.network.network, {n: inputs[n] for n in taken})


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_round_trip(name, case, inputs, tmp_path):
    settings, state, single, double = case(name)
    tagger = built(tmp_path, settings, state)
    ours = run(tagger, inputs).numpy()
    tagger.to_weaver(tmp_path / "again.pt")
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert set(again) == set(state)
    assert all(torch.equal(again[k], state[k]) for k in state)
    tagger.save(tmp_path / "ours.safetensors")
    restored = JetTagger.from_pretrained(tmp_path / "ours.safetensors", device="cpu")
    assert np.array_equal(run(restored, inputs).numpy(), ours)
    precise = run(tagger.double(), inputs).numpy()
    assert np.abs(precise - double).max() < 1e-9
    # where features of a particle paired with itself are pure rounding, so is part of weaver's own
    rounding = np.abs(single - double).max()
    assert np.abs(ours - single).max() < max(5e-5, 3 * rounding)
    assert rounding < 5e-5 or name in ROUNDING


def test_every_fixture_is_tested(stored):
    assert {name.rpartition("/")[0] for name in stored[0]} == set(NAMES) == set(stored[1])


@pytest.mark.parametrize(
    "name",
    [
        "version 3.5",
        "part tagger with extra pairs",
        "fusion",
        "xyzt cylindrical",
        "next",
        "next momenta",
        "next tagger with all",
    ],
)
def test_training_is_possible_and_the_fast_path_has_the_gradient(name, case, inputs, tmp_path):
    """With gradients, in evaluation mode: the same logits, and every weight has a gradient."""
    settings, state, single, _ = case(name)
    tagger = built(tmp_path, settings, state)
    taken = {n: inputs[n] for n in tagger.weaver_inputs()}
    logits = tagger.weaver_logits(
        *(taken.pop(f"pf_{n}", None) for n in ("points", "features", "vectors", "mask")), **taken
    )
    assert np.abs(logits.detach().numpy() - single).max() < 5e-5
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in tagger.parameters())
    tagger.train()
    weaver.run(
        tagger.network.network, {n: inputs[n] for n in tagger.weaver_inputs()}
    ).sum().backward()


def test_the_list_of_pairs_is_the_matrix(case, inputs, tmp_path):
    settings, state, single, _ = case("extra pair features")
    tagger = built(tmp_path, settings, state)
    taken = {n: inputs[n] for n in tagger.weaver_inputs()}
    where = torch.cartesian_prod(torch.arange(24), torch.arange(24)).T.expand(10, -1, -1)
    beyond = torch.full((10, 2, 3), 99)  # padding of the list, as weaver's data configs make it
    listed = taken | {
        "pf_uu": torch.cat([inputs["pf_uu"].flatten(2), torch.ones(10, 3, 3)], 2),
        "pf_uu_idx": torch.cat([where, beyond], 2).float(),
    }
    with torch.no_grad():
        assert torch.equal(
            weaver.run(tagger.network.network, listed), weaver.run(tagger.network.network, taken)
        )
    with pytest.raises(InputError, match="pf_uu_idx"):
        weaver.run(tagger.network.network, {n: v for n, v in listed.items() if n != "pf_uu_idx"})


@pytest.mark.parametrize(
    "name",
    [
        "part tagger",
        "particle net tagger",
        "extra pair features",
        "next tagger",
        "next dilated",
        "next max and sum",
    ],
)
def test_order_and_padding_do_not_matter(name, case, inputs, tmp_path):
    """Real constituents anywhere in a row, wider padding: the same logits."""
    settings, state, single, _ = case(name)
    tagger = built(tmp_path, settings, state)
    shuffled = {}
    for side in ("pf", "sv"):
        width = inputs[f"{side}_mask"].shape[-1]
        order = torch.randperm(width + 3)
        for n in ("points", "features", "vectors", "mask"):
            wide = torch.nn.functional.pad(inputs[f"{side}_{n}"], (0, 3))
            shuffled[f"{side}_{n}"] = wide[..., order]
        if side == "pf":
            wide = torch.nn.functional.pad(inputs["pf_uu"], (0, 3, 0, 3))
            shuffled["pf_uu"] = wide[:, :, order][..., order]
    assert np.abs(run(tagger, shuffled).numpy() - single).max() < 5e-5


@pytest.mark.parametrize(
    "name",
    [
        "version 3.5",
        "mean",
        "part tagger",
        "particle net tagger",
        "fusion",
        "next tagger",
        "next moving with distance",
        "next mean and max",
    ],
)
def test_jets_without_constituents_have_no_answer(name, case, inputs, tmp_path):
    """They get NaN, others what they get without them; so does a batch of nothing else."""
    settings, state, single, _ = case(name)
    tagger = built(tmp_path, settings, state)
    with_empty = {n: torch.cat([v[:1] * 0, v]) for n, v in inputs.items()}
    logits = run(tagger, with_empty).numpy()
    assert np.isnan(logits[0]).all() and np.abs(logits[1:] - single).max() < 5e-5
    assert np.isnan(run(tagger, {n: v * 0 for n, v in inputs.items()}).numpy()).all()


def test_two_collections_do_not_read_files_of_particles(case, jets, tmp_path):
    tagger = built(tmp_path, *case("part tagger")[:2])
    with pytest.raises(InputError, match="secondary vertices.*data config"):
        tagger.predict(jets([3, 4]))
    with pytest.raises(InputError, match="needs `sv_features`, of the inputs pf_features"):
        tagger.weaver_logits(None, torch.ones(1, 6, 2), torch.ones(1, 4, 2), torch.ones(1, 1, 2))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_layers": 8}, "num_layers = 8, the weights have 2"),
        ({"embed_dims": [16, 24, 32]}, "embed_dims"),
        ({"num_clases": 3}, "num_clases.*Did you mean num_classes"),
        ({"for_segmentation": True}, "every particle"),
        ({"fc_params": [[8, 0.1]]}, "1 hidden layers, the classifier has 0"),
        ({"conv_params": 3}, "conv_params"),
        ({"activation": "silu"}, "gelu"),
    ],
)
def test_settings_that_are_not_those_of_the_weights(change, message, case, tmp_path):
    settings, state, *_ = case("version 1")
    with pytest.raises(InputError, match=message) as caught:
        built(tmp_path, settings | change, state)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("next", {"layer_params": [[8, 24]]}, "2 layers need as many|has 1 scales"),
        ("next", {"layer_params": None}, "do not tell the scales .*Give reduction_dilation"),
        ("next", {"node_dim": 16}, "node_dim = 16, the weights have 12"),
        ("next", {"edge_input_dim": 2}, "inputs of edges is not built here"),
        (
            "next",
            {"edge_aggregation": "sum"},
            "edge_aggregation is sum, the weights have attention",
        ),
        ("next", {"for_segmentation": True}, "every particle"),
        ("next", {"use_rel_dist": True}, "edges with 4 features"),
        ("next", {"layer_params": [[3, 24, [[4, 1], [2, 1], [1, 1]]]] * 2}, "exceed 3 neighbours"),
        (
            "next sum and mean",
            {"edge_aggregation": None},
            "Give edge_aggregation: sum, mean or max",
        ),
        ("next moving with distance", {"use_rel_dist": None}, "Give use_rel_dist"),
        ("next moving with distance", {"update_coords": False}, "update_coords = False"),
    ],
)
def test_settings_that_are_not_those_of_a_particle_next(name, change, message, case, tmp_path):
    settings, state, *_ = case(name)
    settings = {n: v for n, v in (settings | change).items() if v is not None}
    with pytest.raises(InputError, match=message) as caught:
        built(tmp_path, settings, state)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["next", "next moving with all", "next sum and mean"])
def test_padding_takes_no_part_in_training(name, case, inputs, tmp_path):
    """Logits, gradients and running statistics are those of narrower batches."""
    settings, state, *_ = case(name)
    results = []
    for more in (0, 9):
        network = built(tmp_path, settings, state).train().network.get_submodule("network")
        wide = {n: torch.nn.functional.pad(inputs[n], (0, more)) for n in inputs if n != "pf_uu"}
        torch.manual_seed(0)  # of the dropout
        logits = weaver.run(network, wide)
        logits.square().sum().backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        results.append([logits.detach(), *gradients, *network.buffers()])
    assert len(results[0]) > 40
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


def test_a_particle_next_reads_files_of_particles(jets):
    """Through the tagger: what the network says of the same features, points and momenta."""
    sizes = ParticleNeXtConfig(layers=(NextLayerConfig(24, 16, 8, attention=4),), hidden=())
    network = ParticleNeXt(sizes).eval()
    torch.nn.init.normal_(network.head.bias)
    tagger = JetTagger(WeaverNetwork(network), CLASSES * 2).eval()
    table = jets([3, 40, 0])
    scores = tagger.predict(table)
    assert np.isnan(scores[2]).all() and np.isfinite(scores[:2]).all()
    backwards = {n: v[:, ::-1] if n.startswith("part_") else v for n, v in table.items()}
    assert np.abs(tagger.predict(backwards)[:2] - scores[:2]).max() < 1e-5
    assert np.abs(scores[0] - scores[1]).max() > 1e-4


def test_settings_as_yaml(case, inputs, tmp_path):
    settings, state, single, _ = case("pre-activation")
    torch.save(state, tmp_path / "x.pt")
    (tmp_path / "net.yaml").write_text(yaml.safe_dump(settings))
    tagger = JetTagger.from_weaver(tmp_path / "x.pt", network=tmp_path / "net.yaml")
    assert np.abs(run(tagger, inputs).numpy() - single).max() < 5e-5
    other = JetTagger.from_weaver(
        tmp_path / "x.pt", network=tmp_path / "net.yaml", use_pre_activation_pair=True
    )
    assert np.abs(run(other, inputs).numpy() - single).max() > 1e-3  # a named option goes first


def file_of(inputs, path):
    """The inputs as a file of lists, and a data config that makes them from it."""
    columns: dict[str, Any] = {}
    config: dict[str, Any] = {"preprocess": {"method": "manual"}, "inputs": {}}
    for side in ("pf", "sv"):
        lengths = inputs[f"{side}_mask"][:, 0].sum(1).int().tolist()
        for kind in ("points", "features", "vectors", "mask"):
            value, names = inputs[f"{side}_{kind}"].numpy(), []
            for row in range(value.shape[1]):
                names.append(f"{side}_{kind}_{row}")
                lists = [value[jet, row, :n] for jet, n in enumerate(lengths)]
                columns[names[-1]] = ak.Array(lists)
            config["inputs"][f"{side}_{kind}"] = {
                "length": value.shape[2], "vars": [[name, None] for name in names]
            }  # fmt: skip
    for name in CLASSES:
        columns[name] = np.zeros(len(lengths), np.int32)
    config["labels"] = {"type": "simple", "value": list(CLASSES)}
    with create(path / "jets.parquet") as writer:
        writer.write(columns)
    (path / "data.yaml").write_text(yaml.safe_dump(config))


CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q")


@pytest.mark.parametrize(
    "name", ["part tagger with relu", "particle net tagger with all", "next tagger"]
)
def test_the_command_line_tags_and_exports_two_collections(name, case, inputs, tmp_path, capsys):
    settings, state, single, _ = case(name)
    torch.save(state, tmp_path / "net.pt")
    (tmp_path / "net.json").write_text(json.dumps(settings))
    file_of(inputs, tmp_path)
    model = ["--model", str(tmp_path / "net.pt"), "--data-config", str(tmp_path / "data.yaml")]
    if "relu" in name:
        flags = ["--weaver.activation", "relu"]
    elif "next" in name:
        flags = ["--weaver.neighbours", "8", "--weaver.reduction-dilation", *"412111"]
    else:
        flags = ["--weaver.neighbours", "4", "--weaver.use-counts", "False"]
    tag = ["jets", "tag", str(tmp_path / "jets.parquet"), "-o", str(tmp_path / "out.parquet")]
    for options in (flags, ["--weaver.network", str(tmp_path / "net.json")]):
        assert main([*tag, *model, *options]) == 0
        table = pq.read_table(tmp_path / "out.parquet").to_pandas()
        scores = table[[f"score_{name}" for name in CLASSES]].to_numpy()
        assert np.abs(scores - torch.from_numpy(single).softmax(-1).numpy()).max() < 1e-5
    assert main([*tag, *model[:2], *flags]) == 2  # without the config
    assert "--data-config" in capsys.readouterr().err
    assert main([*tag, *model[2:], *flags, "--model", "jets-tiny"]) == 2
    assert "--weaver.* are options of a weaver state dict" in capsys.readouterr().err
    pytest.importorskip("onnxruntime")
    assert main(["jets", "export", "-o", str(tmp_path / "x.onnx"), *model, *flags]) == 0
    described = json.loads((tmp_path / "preprocess.json").read_text())
    assert described["sv_features"]["var_length"] == 5
    assert described["output_names"] == list(CLASSES)
