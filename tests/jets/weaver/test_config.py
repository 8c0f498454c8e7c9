"""weaver's data configs: exact tensors, weights, labels, and formulas that are refused."""

import awkward as ak
import numpy as np
import pytest
import yaml

from sciml.errors import InputError
from sciml.jets.data import expressions
from sciml.jets.data.io import create, read_jets
from sciml.jets.weaver.config import WeaverConfig


@pytest.fixture
def jets() -> ak.Array:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, 200)
    part = {n: ak.unflatten(rng.normal(0, 3, counts.sum()), counts) for n in ("px", "py")}
    label = rng.integers(0, 2, 200)
    return ak.zip(
        {
            "part_px": part["px"],
            "part_py": part["py"],
            "jet_pt": rng.uniform(500, 1000, 200),
            "jet_sdmass": rng.uniform(0, 200, 200),
            "label_a": label,
            "label_b": 1 - label,
        },
        depth_limit=1,
    )


CONFIG = {
    "selection": "(jet_pt > 600) & (jet_sdmass < 180)",
    "new_variables": {
        "part_mask": "ak.ones_like(part_px)",
        "part_pt": "np.hypot(part_px, part_py)",
        "part_logpt": "np.log(part_pt)",
    },
    "inputs": {
        "features": {
            "length": 5,
            "pad_mode": "wrap",
            "vars": [["part_logpt", 0.5, 2.0], ["part_px", None], ["part_py", 0, 1, -1, 1]],
        },
        "other": {"length": 4, "vars": [["part_px", None, 1, -5, 5, 7.0]]},
        "part_mask": {"length": 5, "pad_mode": "constant", "vars": [["part_mask", None]]},
    },
    "labels": {"type": "simple", "value": ["label_a", "label_b"]},
    "observers": ["jet_pt"],
}


def config(tmp_path, **changes) -> WeaverConfig:
    path = tmp_path / "data.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}))
    return WeaverConfig.load(path)


def test_tensors_by_a_loop(tmp_path, jets):
    batch = config(tmp_path).batch(jets)
    rows = [i for i in range(200) if jets.jet_pt[i] > 600 and jets.jet_sdmass[i] < 180]
    assert batch.rows.tolist() == rows
    assert ak.to_list(batch.observers["jet_pt"]) == ak.to_list(jets.jet_pt[rows])
    for k, i in enumerate(rows):
        px, py = (np.asarray(jets[n][i], np.float32) for n in ("part_px", "part_py"))
        logpt = np.clip((np.log(np.hypot(px, py)) - 0.5) * 2, -5, 5)
        for j in range(5):
            got = batch.inputs["features"][k, :, j]
            if len(px) == 0:
                assert (got == 0).all()
            else:
                m = j % len(px)
                assert np.allclose(got, [logpt[m], px[m], np.clip(py[m], -1, 1)], atol=1e-6)
            assert batch.inputs["part_mask"][k, 0, j] == (j < len(px))
        padded = [*px[:4], *[7.0] * (4 - len(px))]
        assert np.allclose(batch.inputs["other"][k, 0], padded)
        assert batch.labels["_label_"][k] == (0 if jets.label_a[i] else 1)


def test_exactly_the_published_inputs(weaver_reference):
    reference = weaver_reference.net
    for name, path in weaver_reference.configs.items():
        config = WeaverConfig.load(path)
        config.observers = ("jet_pt",)  # these jets have no groomed mass and no tau
        batches = list(config.iterate(weaver_reference.jets, step=64))
        index = slice(None) if name == "full" else reference[f"features_{name}_idx"]
        for key, want in (
            ("pf_features", reference["features"][:, index]),
            ("pf_points", reference["points"]),
            ("pf_vectors", reference["vectors"]),
            ("pf_mask", reference["mask"]),
        ):
            assert np.array_equal(np.concatenate([b.inputs[key] for b in batches]), want)
        labels = np.concatenate([b.labels["_label_"] for b in batches])
        assert np.array_equal(labels, reference["label"])
        assert np.concatenate([b.rows for b in batches]).tolist() == list(range(len(labels)))


def test_four_vectors_cuts_and_formulas_as_labels(fixture_file):
    """weaver's own inputs and labels of a config that makes its momenta by formulas."""
    reference = np.load(fixture_file("jets/vectors.npz"))
    config = WeaverConfig.load(fixture_file("jets/vectors.yaml"))
    events = read_jets(fixture_file("jets/jets.parquet"), config.columns(train=False))
    batch = config.batch(events, train=False)
    assert 20 < len(batch.rows) < len(events)
    for key, values in batch.inputs.items():
        assert np.allclose(values, reference[key], rtol=1e-6, atol=1e-5), key
    for key, values in batch.labels.items():
        assert np.allclose(values, reference[key], rtol=1e-6), key
    assert set(batch.inputs) | set(batch.labels) == set(reference.files)


def test_a_large_published_config(shared):
    folder = shared / "data" / "jets"
    config = WeaverConfig.load(folder / "configs" / "JetClassII_full.yaml")
    events = read_jets(folder / "JetClassII_example.parquet", config.columns(train=False))
    batch = config.batch(events, train=False)
    assert batch.inputs["pf_features"].shape == (85, 17, 128)
    assert (batch.labels["truth_label"] >= 0).all()


def test_numbers_of_the_jet_have_no_axis_of_particles(tmp_path, jets):
    entry = {"length": None, "vars": [["jet_pt", 600, 0.01], ["jet_sdmass", None]]}
    one = {"length": None, "vars": ["jet_pt"]}
    batch = config(tmp_path, selection=None, inputs={"jet": entry, "pt": one}).batch(jets)
    pt, mass = (ak.to_numpy(jets[n]) for n in ("jet_pt", "jet_sdmass"))
    assert np.allclose(batch.inputs["jet"], np.stack([(pt - 600) / 100, mass], 1), atol=1e-4)
    assert np.allclose(batch.inputs["pt"], pt)


def test_base_weights_scale_the_histograms(tmp_path, jets):
    entry = {
        "reweight_method": "flat",
        "reweight_vars": {"jet_pt": [500, 750, 1000], "jet_sdmass": [0, 100, 200]},
        "reweight_classes": ["label_a", "label_b"],
        "reweight_basewgt": "3 + 0 * jet_pt",
    }
    data = config(tmp_path, selection=None, weights=entry)
    data.find_weights(jets)
    assert data.weights is not None
    weights = data.weights.of(data.table(jets)[0], "x")
    # as weaver: the 90th percentile of the weights, base included, is 1
    assert np.percentile(weights, 90) == pytest.approx(1, abs=1e-6)


def test_formulas_of_awkward_0_say_what_to_write():
    with pytest.raises(InputError, match="write ak.ones_like"):
        expressions.evaluate("awkward.JaggedArray.ones_like(x)", COLUMNS)


def test_long_sums_of_conditions(tmp_path):
    formula = " & ".join(f"(y > {i})" for i in range(100))
    assert ak.to_list(expressions.evaluate(formula, {"y": np.array([50, 200])})) == [False, True]


def test_weights_flatten_each_class(tmp_path, jets):
    weights = {
        "reweight_method": "flat",
        "reweight_vars": {"jet_pt": [600, 700, 1000], "jet_sdmass": [0, 90, 180]},
        "reweight_classes": ["label_a", "label_b"],
        "class_weights": [1, 2],
        "reweight_threshold": 0,
    }
    c = config(tmp_path, weights=weights)
    with pytest.raises(InputError, match="find_weights"):
        c.batch(jets)
    c.find_weights(jets)
    batch = c.batch(jets)
    assert batch.weights is not None
    table = jets[batch.rows]
    sums = {}
    for name in ("label_a", "label_b"):
        mine = ak.to_numpy(table[name]) == 1
        bins = [np.array([600, 700, 1000]), np.array([0, 90, 180])]
        x, y = ak.to_numpy(table.jet_pt)[mine], ak.to_numpy(table.jet_sdmass)[mine]
        sums[name] = np.histogram2d(x, y, bins, weights=batch.weights[mine])[0]
        assert np.allclose(sums[name], sums[name][0, 0], rtol=1e-5)  # flat
    assert sums["label_b"].sum() == pytest.approx(2 * sums["label_a"].sum(), rel=1e-5)
    assert batch.weights.max() <= 1
    product = {"use_precomputed_weights": True, "weight_branches": ["jet_pt", "jet_sdmass"]}
    batch = config(tmp_path, weights=product).batch(jets)
    assert batch.weights is not None
    assert np.allclose(batch.weights, table.jet_pt * table.jet_sdmass)


def test_automatic_standardisation(tmp_path, jets):
    inputs = {"x": {"length": 8, "vars": ["part_px", ["part_py", 0.0, 1.0]]}}
    c = config(tmp_path, inputs=inputs, preprocess={"method": "auto"})
    c.standardise(jets)
    table, _ = c.table(jets)
    low, middle, high = np.percentile(ak.to_numpy(ak.flatten(table.part_px)), [16, 50, 84])
    assert c.inputs["x"].variables[0].center == pytest.approx(middle)
    scale = 1 / max(high - middle, middle - low)
    assert c.inputs["x"].variables[0].scale == pytest.approx(scale)
    assert c.inputs["x"].variables[1].center == 0.0


@pytest.mark.parametrize("center", ["auto", None])
def test_a_config_that_is_not_standardised_is_refused(tmp_path, jets, center):
    """Unscaled GeV would enter the network without a warning."""
    row = "part_px" if center is None else ["part_px", center]
    inputs = {"x": {"length": 8, "vars": [row, ["part_py", 0.0, 1.0]]}}
    c = config(tmp_path, inputs=inputs, preprocess={"method": "auto", "data_fraction": 0.5})
    with pytest.raises(InputError, match="part_px.*`standardise`"):
        c.batch(jets)


def test_a_standardised_config_is_written_and_read_back(tmp_path, jets, capsys):
    from sciml.cli import main

    inputs = {
        "x": {"length": 8, "pad_mode": "wrap", "vars": ["part_px", ["part_py", 0.0, 1.0]]},
        "x_mask": {"length": 8, "vars": ["part_mask"]},
    }
    auto = {"method": "auto", "data_fraction": 1.0}
    weights = {
        "reweight_method": "flat",
        "reweight_vars": {"jet_pt": [600, 700, 1000], "jet_sdmass": [0, 90, 180]},
        "reweight_classes": ["label_a", "label_b"],
    }
    c = config(tmp_path, inputs=inputs, preprocess=auto, weights=weights)
    c.standardise(jets)
    c.find_weights(jets)
    c.save(tmp_path / "fitted.yaml")
    again = WeaverConfig.load(tmp_path / "fitted.yaml")
    assert again.inputs == c.inputs
    one, other = c.batch(jets), again.batch(jets)
    for name, tensor in one.inputs.items():
        assert np.array_equal(tensor, other.inputs[name])
    assert one.weights is not None and other.weights is not None
    assert np.array_equal(one.weights, other.weights)
    filled = ak.to_numpy(ak.num(jets.part_px[one.rows]) > 0)
    assert np.array_equal(one.inputs["x_mask"].max(axis=(1, 2)), filled)

    with create(tmp_path / "jets.root") as writer:
        writer.write(jets)
    config(tmp_path, inputs=inputs, preprocess=auto, weights=weights)
    command = ["jets", "standardise", str(tmp_path / "data.yaml"), str(tmp_path / "jets.root")]
    assert main([*command, "-o", str(tmp_path / "out.yaml")]) == 0
    written = WeaverConfig.load(tmp_path / "out.yaml")
    assert written.inputs == c.inputs and written.weights is not None and c.weights is not None
    for name, histogram in c.weights.histograms.items():
        assert np.array_equal(written.weights.histograms[name], histogram)
    assert main([*command, "-o", str(tmp_path / "data.yaml")]) == 2
    assert "replace the input" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int32, bool])
def test_custom_labels_keep_their_fraction(tmp_path, jets, kind):
    """A regression target of -2.633 is no class."""
    value = (ak.to_numpy(jets.jet_pt) - 750.633).astype(kind)
    labels = {"type": "custom", "value": {"target": "jet_target", "twice": "jet_target * 2"}}
    c = config(tmp_path, labels=labels, selection=None)
    batch = c.batch(ak.with_field(jets, value, "jet_target"))
    got = batch.labels["target"]
    if np.issubdtype(kind, np.floating):
        assert got.dtype == kind and np.array_equal(got, value)
        assert np.array_equal(batch.labels["twice"], value * 2)
    else:
        assert got.dtype == np.int64 and np.array_equal(got, value.astype(int))
    with pytest.raises(InputError, match="'many' is not one number per jet"):
        c = config(tmp_path, labels={"type": "custom", "value": {"many": "part_px"}})
        c.batch(jets)


def test_four_vectors_in_formulas(tmp_path):
    """As weaver's examples of AK4 jets have them: lists of pt, eta, phi and E to px, py, pz."""
    rng = np.random.default_rng(3)
    counts = [3, 0, 5, 1]
    made = {n: ak.unflatten(rng.normal(0, 1, 9).astype(np.float32), counts) for n in ("eta", "phi")}
    made["pt"] = ak.unflatten(rng.exponential(20, 9).astype(np.float32), counts)
    made["e"] = made["pt"] * np.cosh(made["eta"]) * 1.1
    columns = {"pt": made["pt"], "eta": made["eta"], "phi": made["phi"], "e": made["e"]}
    p4 = expressions.evaluate("_p4_from_ptetaphie(pt, eta, phi, e)", columns)
    expected = {
        "px": made["pt"] * np.cos(made["phi"]),
        "py": made["pt"] * np.sin(made["phi"]),
        "pz": made["pt"] * np.sinh(made["eta"]),
        "energy": made["e"],
        "pt": made["pt"],
        "eta": made["eta"],
        "phi": made["phi"],
        "mass": np.sqrt(made["e"] ** 2 - (made["pt"] * np.cosh(made["eta"])) ** 2),
    }
    for name, want in expected.items():
        got = expressions.evaluate(f"p4.{name}", {"p4": p4})
        assert ak.num(got).tolist() == counts
        assert ak.all(abs(got - want) <= 2e-4 * (1 + abs(want))), name
    back = "_p4_from_pxpypze(p.px, p.py, p.pz, p.energy).mass"
    mass = expressions.evaluate(back, {"p": p4})
    assert ak.all(abs(mass - expected["mass"]) < 1e-2 * (1 + expected["mass"]))


@pytest.mark.parametrize(
    "formula",
    ["x.px", "y.pt", "k.mass", "(x + 1).eta", "_p4_from_ptetaphie(x, x).px", "_p4_from_pxpypze.px",
     "_p4_from_ptetaphie(x, x, x, x).behavior", "_p4_from_ptetaphie(x, x, x, x).to_xyzt()",
     "_p4_from_ptetaphie(x, x, x, x).layout", "x.deltaR(x)", "np.pt", "np.px"],
)  # fmt: skip
def test_only_four_vectors_have_attributes(formula):
    with pytest.raises(InputError):
        expressions.evaluate(formula, COLUMNS)


def test_distance_of_four_vectors_goes_round():
    formula = (
        "_p4_from_ptetaphim(y, 0*y, 3.1 + 0*y, 0*y).deltaR(_p4_from_ptetaphim(y, 0*y, z, 0*y))"
    )
    columns = {"y": np.array([1.0]), "z": np.array([-3.1])}
    got = expressions.evaluate(formula, columns)
    assert np.asarray(got)[0] == pytest.approx(2 * np.pi - 6.2, abs=1e-9)


def test_from_files_in_any_step(tmp_path, jets):
    with create(tmp_path / "jets.root") as writer:
        writer.write(jets)
    c = config(tmp_path)
    one = c.batch(jets)
    many = list(c.iterate([tmp_path / "jets.root"], step=33))
    for name, tensor in one.inputs.items():
        assert np.array_equal(np.concatenate([b.inputs[name] for b in many]), tensor)
    assert np.array_equal(np.concatenate([b.rows for b in many]), one.rows)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"inptus": {}}, "inputs"),
        ({"inputs": {}}, "no inputs"),
        ({"inputs": {"x": {"length": -1, "vars": ["part_px"]}}}, "length"),
        ({"inputs": {"x": {"length": 4, "vars": "part_px"}}}, "vars"),
        ({"inputs": {"x": {"length": 4, "pad_mode": "edge", "vars": ["part_px"]}}}, "pad_mode"),
        ({"inputs": {"x_mask": {"length": 4, "pad_mode": "wrap", "vars": ["a"]}}}, "mask"),
        ({"new_variables": {"part_mask": "a+1", "a": "part_mask*2"}}, "circle"),
        ({"new_variables": {"part_mask": "open('x')"}}, "not allowed"),
        ({"selection": "jet_pt > 500 and jet_pt < 600"}, "&"),
        ({"labels": {"type": "strange", "value": []}}, "simple"),
        ({"labels": {"type": "simple", "value": {"a": 1}}}, "simple"),
        ({"weights": {"reweight_method": "odd"}}, "flat or ref"),
        ({"weights": {"reweight_vars": {"jet_pt": [1, 2]}, "reweight_classes": []}}, "two"),
        ({"file_magic": {"x": {}}}, "not supported"),
        ({"new_variables": ["a"]}, "mapping"),
    ],
)
def test_configs_that_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        config(tmp_path, **changes)


def test_missing_column_and_double_label(tmp_path, jets):
    with pytest.raises(InputError, match="'part_py'"):
        config(tmp_path).batch(jets[[n for n in jets.fields if n != "part_py"]])
    double = ak.with_field(jets, jets.label_a * 0 + 1, "label_b")
    with pytest.raises(InputError, match="exactly one"):
        config(tmp_path).batch(double)
    with pytest.raises(InputError, match="not YAML"):
        (tmp_path / "bad.yaml").write_text("a: [")
        WeaverConfig.load(tmp_path / "bad.yaml")


COLUMNS = {"x": ak.Array([[1.0, -2.0], [3.0]]), "y": ak.Array([2.0, 5.0]), "k": np.array([1, 0])}


@pytest.mark.parametrize(
    "formula, value",
    [
        ("np.abs(x) + y", [[3.0, 4.0], [8.0]]),
        ("(x > 0) & (y < 3)", [[True, False], [False]]),
        ("~(k == 1) | (y >= 5)", [False, True]),
        ("1 < y <= 5", [True, True]),
        ("ak.sum(x, axis=1)", [-1.0, 3.0]),
        ("x[:, 0] * -1", [-1.0, -3.0]),
        ("np.where(y > 3, y, -y)", [-2.0, 5.0]),
        ("np.stack([k, 1 - k], axis=1).argmax(1)", [0, 1]),
        ("math.sqrt(y) ** 2 % 3", [2.0, 2.0]),
        ("np.clip(x, 0, 2)", [[1.0, 0.0], [2.0]]),
        ("ak.num(x) // 2 + np.pi * 0", [1.0, 0.0]),
        ("(y>3).astype('int32')", [0, 1]),
        ("x.sum(axis=1)", [-1.0, 3.0]),
    ],
)
def test_formulas(formula, value):
    got = expressions.evaluate(formula, COLUMNS)
    assert ak.to_list(ak.isclose(ak.Array(got), ak.Array(value), atol=1e-9)) == ak.to_list(
        ak.ones_like(ak.Array(value), dtype=bool)
    )


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('true')",
        "().__class__.__base__.__subclasses__()",
        "x.__class__",
        "np.load('file')",
        "np.fromfile('file')",
        "np.linalg.inv(x)",
        "ak.from_parquet('file')",
        "open('file')",
        "(lambda: 1)()",
        "[a for a in x]",
        "x if y else k",
        "f'{x}'",
        "x := 3",
        "x @ y",
        "'a' * 999999999",
        "[1] * 999999999",
        "9 ** 999999999",
        "ak.pad_none(x, 999999999)",
        "np.sum(**x)",
        "x and y",
        "y +",
        "",
        "1; 2",
        "z + 1",
        "(" * 100 + "y" + ")" * 100 + "-" * 220 + "y",
        "b'x'",
        "y * 'text'",
        "np.log(x, y, k, x)",
    ],
)
def test_formulas_that_are_refused(formula):
    with pytest.raises(InputError):
        expressions.evaluate(formula, COLUMNS)
