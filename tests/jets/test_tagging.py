"""`sciml jets tag` with variations, working points and calibrations, and what evaluates them."""

import json

import awkward as ak
import numpy as np
import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.jets import variations
from sciml.jets.data.io import create, read_jets
from sciml.jets.data.sample import shipped
from sciml.jets.scores import Tally
from sciml.jets.variations import NAMES, parse, vary


@pytest.fixture(scope="module")
def events():
    jets = read_jets(shipped("test"))
    return jets[:: max(1, len(jets) // 60)][:60]


@pytest.fixture(scope="module")
def place(tmp_path_factory, events, small_tagger):
    folder = tmp_path_factory.mktemp("tagging")
    with create(folder / "jets.parquet") as writer:
        writer.write(events)
    small_tagger.save(folder / "model.safetensors")
    return folder


def tag(place, out, *more, file="jets.parquet"):
    model = place / "model.safetensors"
    arguments = ["jets", "tag", place / file, "-o", out, "--model", model, *more]
    return main(list(map(str, arguments)))


def same(one, other):
    return ak.to_numpy(one).tobytes() == ak.to_numpy(other).tobytes()


def test_one_pass_is_bitwise_one_run_for_each(place, tmp_path):
    assert tag(place, tmp_path / "all.parquet", "--variations", ",".join(NAMES)) == 0
    every = read_jets(tmp_path / "all.parquet")
    nominal = every["score_Tbqq"]
    for name in NAMES:
        out = tmp_path / f"{name}.parquet"
        assert tag(place, out, "--variations", name) == 0
        one = read_jets(out)
        for column in ("score_QCD", "score_Tbqq", "flag"):
            assert same(one[f"{column}_{name}"], every[f"{column}_{name}"])
            assert same(one[column], every[column])
        assert not same(one[f"score_Tbqq_{name}"], nominal), name
    assert tag(place, tmp_path / "none.parquet") == 0
    assert same(read_jets(tmp_path / "none.parquet").score_Tbqq, nominal)


def test_a_jet_is_varied_alike_whatever_is_read_with_it(events):
    whole = {name: vary(events, name) for name in NAMES}
    for name, varied in whole.items():
        part = vary(events[20:30], name, first=20)
        assert part.tolist() == varied[20:30].tolist()
    moved = vary(events[20:30], "jer_up")
    assert moved.tolist() != whole["jer_up"][20:30].tolist()


def test_what_each_variation_changes(events):
    px, jet_pt = ak.flatten(events.part_px), np.asarray(events.jet_pt)
    up, down = vary(events, "jes_up=0.02"), vary(events, "jes_down=0.02")
    assert np.allclose(ak.flatten(up.part_px), px * 1.02, rtol=1e-6)
    assert np.allclose(down.jet_pt, jet_pt * 0.98, rtol=1e-5)
    assert up.part_charge.tolist() == events.part_charge.tolist()
    smeared, mirrored = (np.asarray(vary(events, n).jet_pt) / jet_pt for n in
                         ("jer_up=0.1", "jer_down=0.1"))  # fmt: skip
    assert np.allclose(smeared + mirrored, 2, atol=1e-4) and 0.05 < np.std(smeared) < 0.2
    photon = ak.flatten(events.part_isPhoton) > 0
    ratio = ak.to_numpy(ak.flatten(vary(events, "photon_up").part_energy)) / ak.to_numpy(
        ak.flatten(events.part_energy)
    )
    assert np.allclose(ratio[photon], 1.01) and np.allclose(ratio[~photon], 1)
    lossy = vary(events, "tracking_down=0.5")
    charged = ak.to_numpy(ak.flatten(events.part_charge)) != 0
    gone = ak.to_numpy(ak.flatten(lossy.part_energy)) == 0
    assert not gone[~charged].any() and 0.4 < gone[charged].mean() < 0.6
    assert (np.asarray(lossy.jet_pt) < jet_pt).mean() > 0.9
    d0 = ak.flatten(vary(events, "impact_up").part_d0val)
    assert np.allclose(d0, ak.flatten(events.part_d0val) * 1.1, rtol=1e-5)


def test_random_numbers_are_uniform_and_independent():
    rows, places = np.divmod(np.arange(100_000), 100)
    values = variations._uniform(rows, places, 1)
    assert ((values > 0) & (values < 1)).all() and len(np.unique(values)) == len(values)
    counts = np.histogram(values, 20, (0, 1))[0]
    assert ((counts - 5000) ** 2 / 5000).sum() < 45  # chi2 of 19
    other = variations._uniform(rows, places, 2)
    for shifted in (other, np.roll(values, 1), np.roll(values, 100)):
        assert abs(np.corrcoef(values, shifted)[0, 1]) < 0.01
    assert abs(variations._normal(rows, places, 1).std() - 1) < 0.02


def test_variations_do_not_mind_padding(events, small_tagger):
    """Arrays of fixed length, padded with zeros or -999, are varied as the lists that they were."""
    jets = events[:12]
    lists = [name for name in jets.fields if name.startswith("part_")]
    longest = int(ak.max(ak.num(jets.part_px))) + 2
    for fill in (0, -999):
        padded = {n: jets[n] for n in jets.fields if n not in lists}
        for name in lists:
            full = ak.to_numpy(ak.fill_none(ak.pad_none(jets[name], longest), fill))
            padded[name] = full.astype(np.float32)
        for name in ("jes_up", "tracking_down", "neutral_down"):
            want = small_tagger.predict_array(vary(jets, name))
            got = small_tagger.predict_array(vary(ak.Array(padded), name))
            assert np.array_equal(got.flags, want.flags)
            assert np.abs(got - want).max() < 1e-5, (fill, name)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["jec_up"], "jes_up"), (["jes"], "jes_up"), (["jes_up=0"], "within"), (["jes_up=x"], "x"),
        (["jes_up", "jes_up=0.1"], "twice"), (["tracking_up"], "tracking_down"),
        ([""], "variation"),
        (["jes_up=1e400"], "within"), (["jes_up=1e"], "number"),
    ],
)  # fmt: skip
def test_wrong_variations_are_named(names, words):
    with pytest.raises(InputError, match=words):
        parse(names)


def test_a_variation_without_its_column_is_named(events):
    with pytest.raises(InputError, match="part_charge"):
        vary(events[[n for n in events.fields if n != "part_charge"]], "tracking_down")


def test_working_points_from_the_command_line(place, tmp_path, capsys):
    model = ["--model", str(place / "model.safetensors")]
    jets, points = str(place / "jets.parquet"), str(tmp_path / "wp.json")
    command = ["jets", "working-points", jets, "-o", points, "--wp", "0.3", "0.2", *model]
    assert main(command) == 0
    assert "background 0.3" in capsys.readouterr().out
    content = json.loads((tmp_path / "wp.json").read_text())
    corrections = json.loads((tmp_path / "wp.correctionlib.json").read_text())
    assert {c["name"] for c in corrections["corrections"]} == {
        "threshold", "efficiency", "scale_factor"
    }  # fmt: skip
    out = tmp_path / "o.root"
    more = ["--working-points", points, "--variations", "jes_up"]
    assert tag(place, out, "--wp", "0.2", *more) == 0
    tagged, threshold = read_jets(out), content["signals"]["Tbqq"][1]["threshold"]
    assert "pass_Tbqq_0p3" not in tagged.fields
    for side in ("", "_jes_up"):
        s, b = (np.asarray(tagged[f"score_{n}{side}"], np.float64) for n in ("Tbqq", "QCD"))
        passed = np.asarray(tagged[f"pass_Tbqq_0p2{side}"]) == 1
        sure = np.abs(s / (s + b) - threshold) > 1e-6
        assert (passed == (s / (s + b) >= threshold))[sure].all() and passed.any()
    beside = tmp_path / "q.parquet"
    assert tag(place, beside, "--wp", "0.3", "0.2") == 0
    assert json.loads((tmp_path / "q.wp.json").read_text())["signals"] == content["signals"]
    assert read_jets(beside)["pass_Tbqq_0p2"].tolist() == tagged["pass_Tbqq_0p2"].tolist()
    assert tag(place, tmp_path / "r.parquet", "--wp", "0.4", "--working-points", points) == 2
    assert "Measured are 0.3, 0.2" in capsys.readouterr().err


def test_calibration_per_class_from_the_command_line(place, tmp_path, capsys):
    model = ["--model", str(place / "model.safetensors")]
    jets, fit = str(place / "jets.parquet"), str(tmp_path / "fit.json")
    first = ["jets", "evaluate", jets, *model, "-o", str(tmp_path / "1.json")]
    assert main([*first, "--calibrate-classes", fit]) == 0
    again = ["jets", "evaluate", jets, *model, "-o", str(tmp_path / "2.json")]
    assert main([*again, "--calibration", fit]) == 0
    before, after = (json.loads((tmp_path / f"{i}.json").read_text()) for i in (1, 2))
    assert after["calibration_error"] < before["calibration_error"]
    assert tag(place, tmp_path / "o.parquet", "--calibration", fit) == 0
    tagged = read_jets(tmp_path / "o.parquet")
    assert np.allclose(np.asarray(tagged.score_QCD) + np.asarray(tagged.score_Tbqq), 1)
    (tmp_path / "bad.json").write_text("{}")
    assert tag(place, tmp_path / "p.parquet", "--calibration", tmp_path / "bad.json") == 2
    assert "--calibrate-classes" in capsys.readouterr().err


def test_weights_of_jets_from_the_command_line(place, events, tmp_path):
    weight = np.arange(len(events)) % 3
    columns = {name: events[name] for name in events.fields}
    with create(tmp_path / "weighted.parquet") as writer:
        writer.write(columns | {"w": weight.astype(float)})
    rows = np.repeat(np.arange(len(events)), weight)
    with create(tmp_path / "copies.parquet") as writer:
        writer.write({name: values[rows] for name, values in columns.items()})
    model = ["--model", str(place / "model.safetensors")]
    measured = []
    for name, more in (("weighted", ["--weight", "w"]), ("copies", [])):
        out = tmp_path / f"{name}.json"
        command = ["jets", "evaluate", str(tmp_path / f"{name}.parquet"), "-o", str(out)]
        assert main([*command, *model, *more]) == 0
        measured.append(json.loads(out.read_text()))
    for key in ("accuracy", "auc_Tbqq", "calibration_error"):
        assert measured[0][key] == pytest.approx(measured[1][key], abs=1e-6)


def test_counts_are_of_the_jets_as_they_are(place, tmp_path, capsys):
    """Tracks that a variation loses are not reported as candidates without momentum."""
    assert tag(place, tmp_path / "o.parquet", "--variations", "tracking_down=0.5") == 0
    assert "without momentum" not in capsys.readouterr().err
    assert Tally(128).remarks() == []
