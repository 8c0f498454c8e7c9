"""A graph that takes raw four-momenta gives the scores and flags of `predict`."""

import json

import awkward as ak
import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.errors import InputError
from sciml.jets import JetMassRegressor, JetTagger
from sciml.jets.data.columns import JET_MOMENTUM
from sciml.jets.deployment import graphs
from sciml.jets.deployment.raw import RawTagger, columns_of
from sciml.jets.networks.classifier import WeaverNetwork
from sciml.jets.networks.particle_net import ParticleNet, ParticleNetConfig
from sciml.jets.networks.particle_transformer import ParTConfig, ParticleTransformer

CLASSES = ("QCD", "Tbqq", "Wqq")


def tagger_of(kind):
    torch.manual_seed(0)
    if kind == "trunk":
        sizes = {"dim": 16, "depth": 1, "heads": 2, "pair_dim": 4}
        return JetTagger.build({"name": "pair_transformer", **sizes}, CLASSES).eval()
    if kind == "part":
        part = ParTConfig(layers=1, embed=(16,), heads=2, pair=(8,), classes=3, features=7)
        return JetTagger(WeaverNetwork(ParticleTransformer(part)), CLASSES).eval()
    net = ParticleNetConfig(channels=((8, 8),), neighbours=4, hidden=(8,), classes=3, features=13)
    return JetTagger(WeaverNetwork(ParticleNet(net)), CLASSES).eval()


@pytest.fixture(scope="module")
def sample(jets):
    """Columns of jets, good and faulty, and their momenta."""
    columns = jets([7, 160, 3, 12, 9, 9, 9, 1, 30], seed=3)
    flat = {n: [np.array(jet, np.float32) for jet in values] for n, values in columns.items()}
    flat["part_px"][2][0] = np.nan
    flat["part_energy"][3] *= 0.5
    for name in ("part_px", "part_py"):
        flat[name][4][:1] = 0.0
    for name in ("part_px", "part_py", "part_pz", "part_energy"):
        flat[name][5][2:4] = 0.0  # candidates without momentum
    flat["part_d0val"][6][0] = -np.inf
    neutral = flat["part_charge"][8] == 0  # no track, written in two ways
    assert neutral.sum() > 2
    flat["part_dzval"][8][neutral], flat["part_d0err"][8][neutral] = np.nan, -999.0
    columns = {n: ak.Array(values) for n, values in flat.items()}
    columns = {n: ak.concatenate([v, ak.Array([[]])]) for n, v in columns.items()}
    total = [ak.to_numpy(ak.nansum(columns[f"part_{k}"], axis=1)) for k in ("px", "py", "pz")]
    pt = np.hypot(total[0], total[1]) * 1.01 + 1
    energy = ak.to_numpy(ak.nansum(columns["part_energy"], axis=1)) * 1.01 + 1
    eta = np.arcsinh(total[2] / pt) - 0.01
    eta[::2] *= -1  # positions are mirrored where the axis has a negative pseudorapidity
    phi = np.arctan2(total[1], total[0]) + 0.02
    return columns, dict(zip(JET_MOMENTUM, (pt, eta, phi, energy), strict=True))


def packed(columns, names, order):
    """[B, N, C] of zeros behind the particles, in another order of particles."""
    lengths = ak.to_numpy(ak.num(columns[names[0]]))
    out = np.zeros((len(lengths), int(lengths.max()), len(names)), np.float32)
    for row, count in enumerate(lengths):
        places = order.permutation(count)
        for index, name in enumerate(names):
            out[row, :count, index] = np.asarray(columns[name][row])[places]
    return torch.from_numpy(out)


@pytest.mark.filterwarnings("ignore:.*constituents.*", "ignore:.*left out.*", "ignore:.*repaired.*")
@pytest.mark.parametrize("with_momentum", [False, True])
@pytest.mark.parametrize("kind", ["trunk", "part", "net"])
def test_scores_and_flags_are_those_of_columns(kind, with_momentum, sample):
    tagger = tagger_of(kind)
    columns, momenta = sample
    names = columns_of(tagger)
    assert names[:4] == ("part_px", "part_py", "part_pz", "part_energy")
    assert len(names) == {"trunk": 14, "part": 4, "net": 10}[kind]
    read = {n: columns[n] for n in names} | (momenta if with_momentum else {})
    want = tagger.predict(read)
    rows = np.stack([momenta[n] for n in JET_MOMENTUM], 1) * with_momentum
    with torch.inference_mode():
        probabilities, flags = RawTagger(tagger).eval()(
            packed(columns, names, np.random.default_rng(0)),
            torch.from_numpy(rows.astype(np.float32)),
        )
    assert np.array_equal(flags.numpy(), want.flags)
    assert {1, 2, 8} <= set(want.flags.tolist()) and (want.flags == 0).sum() == 6
    assert np.array_equal(np.isnan(probabilities.numpy()), np.isnan(want.probabilities))
    assert np.nanmax(np.abs(probabilities.numpy() - want.probabilities)) < 2e-5


def test_onnx_says_what_it_takes_and_has_the_header_beside_it(tmp_path, sample):
    onnxruntime = pytest.importorskip("onnxruntime")
    columns, momenta = sample
    tagger = tagger_of("part")
    tagger.save(tmp_path / "model")
    out = tmp_path / "m.onnx"
    assert (
        main(["jets", "export", "--model", str(tmp_path / "model"), "--raw", "-o", str(out)]) == 0
    )
    session = onnxruntime.InferenceSession(str(out))
    told = session.get_modelmeta().custom_metadata_map
    assert told["sciml.classes"].split(",") == list(CLASSES)
    names = told["sciml.columns"].split(",")
    described = json.loads((tmp_path / "preprocess.json").read_text())
    assert described["inputs"]["particles"]["columns"] == names
    assert described["checked_against_torch"] < 1e-5
    particles = packed(columns, names, np.random.default_rng(1)).numpy()
    jets = np.zeros((len(particles), 4), np.float32)
    probabilities, flags = session.run(None, {"particles": particles, "jets": jets})
    with torch.inference_mode():
        want = RawTagger(tagger).eval()(torch.from_numpy(particles), torch.from_numpy(jets))
    assert np.array_equal(flags, want[1].numpy())
    assert np.nanmax(np.abs(probabilities - want[0].numpy())) < 1e-5
    header = (tmp_path / "jet_tagger.hpp").read_text()
    assert "class JetTagger" in header and graphs.FORMAT in header


def test_a_model_of_tritons_repository(tmp_path):
    pytest.importorskip("onnxruntime")
    folder = graphs.to_triton(tagger_of("part"), tmp_path / "models" / "jets", max_batch=8)
    assert (folder / "1" / "model.onnx").is_file()
    assert (folder / "classes.txt").read_text().split() == list(CLASSES)
    config = (folder / "config.pbtxt").read_text()
    for words in ('name: "jets"', "max_batch_size: 8", "dims: [ -1, 4 ]", "dims: [ 3 ]"):
        assert words in config
    with pytest.raises(InputError, match="must be >= 1"):
        graphs.to_triton(tagger_of("part"), tmp_path / "models" / "jets", max_batch=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trunk", "part", "net"])
def test_package_of_torch_export(tmp_path, kind):
    """What is written takes other numbers of jets and rows than it was made with."""
    tagger = tagger_of(kind)
    graphs.export(tagger, tmp_path / "m.pt2")
    model = torch.export.load(str(tmp_path / "m.pt2")).module()
    values = graphs.examples(columns_of(tagger), 7, 33, seed=5)
    with torch.no_grad():
        for one, other in zip(model(*values), RawTagger(tagger).eval()(*values), strict=True):
            assert graphs.onnx.difference_of(one.numpy(), other.numpy()) < 1e-5


def test_what_cannot_be_exported_so_is_refused(tmp_path):
    tagger = tagger_of("trunk")
    with pytest.raises(InputError, match=r"must end in \.onnx or \.pt2"):
        graphs.export(tagger, tmp_path / "m.pb")
    with pytest.raises(InputError, match="must be a folder"):
        graphs.to_triton(tagger, tmp_path / "m.onnx")
    regressor = JetMassRegressor.__new__(JetMassRegressor)
    with pytest.raises(InputError, match="only a tagger of classes"):
        graphs.export(regressor, tmp_path / "m.onnx")
