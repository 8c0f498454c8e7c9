"""Sources of `predict`: scores, or one line with the accepted sources; never silently no rows."""

import awkward as ak
import numpy as np
import pytest
import torch
import uproot

from sciml.errors import InputError
from sciml.jets.data.io import create, open_jets


@pytest.fixture
def tagger(small_tagger):
    return small_tagger


@pytest.fixture(scope="module")
def columns(jets):
    return jets([5, 3, 8, 1])


@pytest.fixture
def root(tmp_path, columns):
    with create(tmp_path / "jets.root") as writer:
        writer.write(columns)
    return tmp_path / "jets.root"


def test_open_trees_are_tagged(tagger, root, columns, tmp_path):
    want = tagger.predict(columns)
    with uproot.open(root) as file:
        assert np.abs(tagger.predict(file["tree"]) - want).max() < 1e-6
        assert file["tree"].num_entries == 4  # still open
        with pytest.raises(InputError, match="Give one of its trees: tree"):
            tagger.predict(file)
        with pytest.raises(InputError, match="is no tree"):
            tagger.predict(file["tree/part_px"])
    with uproot.recreate(tmp_path / "ntuple.root") as file:
        file.mkrntuple("jets", {n: a.type.content for n, a in columns.items()}).extend(columns)
    with uproot.open(tmp_path / "ntuple.root") as file:
        assert np.abs(tagger.predict(file["jets"]) - want).max() < 1e-6


@pytest.mark.parametrize(
    "events",
    [{}, [], [{"part_px": [1.0]}], None, 3, "", b"x", np.zeros((3, 4)), np.zeros(0), object()]
    + [ak.Array([]), ak.Array([1.0]), ak.Array([[1.0], []]), ak.Array([{"a": 1}])[0], {1: [2.0]}]
    + [{"part_px": []}, {"part_px": [[]]}, ak.Array([{"part_px": [1.0]}])[:0], {"part_px": object}]
    + [torch.zeros(3, 4), iter(()), {"part_px": [1.0, [2.0]]}],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:20]}",
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(tagger, events):
    for call in (tagger.predict, lambda e: list(tagger.stream(e))):
        with pytest.raises(InputError) as caught:
            call(events)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


def test_a_frame_is_refused_by_its_name(tagger):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(InputError, match=r"pandas.*DataFrame.*mapping of columns"):
        tagger.predict(pandas.DataFrame({"part_px": [[1.0]]}))


def test_the_right_columns_without_rows_are_no_jets(tagger, columns):
    none = {name: values[:0] for name, values in columns.items()}
    for events in (none, ak.Array(none)):
        assert tagger.predict(events).shape == (0, 2)
    assert tagger.predict(ak.Array(none)).flags.shape == (0,)


def test_columns_of_numpy_in_any_byte_order(tagger, columns):
    dense = {n: ak.to_numpy(ak.fill_none(ak.pad_none(v, 8), 0)) for n, v in columns.items()}
    swapped = {n: v.astype(">f4") for n, v in dense.items()}
    want = tagger.predict(columns)
    assert np.abs(tagger.predict(dense) - want).max() < 1e-6
    assert np.abs(tagger.predict(swapped) - want).max() < 1e-6


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
@pytest.mark.parametrize("out", ["o.root", "o.parquet"])
def test_a_tree_without_entries_has_the_whole_schema(tagger, tmp_path, columns, suffix, out):
    from sciml.cli import main

    none = {n: v[:0] for n, v in columns.items()} | {"event": np.zeros(0, np.int64)}
    with create(tmp_path / f"none{suffix}") as writer:
        writer.write(none)
    tagger.save(tmp_path / "m.safetensors")
    arguments = ["jets", "tag", tmp_path / f"none{suffix}", "-o", tmp_path / out]
    arguments += ["--model", tmp_path / "m.safetensors", "--keep", "event", "part_px"]
    assert main(list(map(str, arguments))) == 0
    with open_jets(tmp_path / out) as reader:
        assert len(reader) == 0
        assert {"event", "part_px", "score_QCD", "score_Tbqq", "flag"} <= set(reader.columns)
        rows = reader.empty(["event", "part_px", "flag"])
    assert "int64" in str(rows.event.type) and "var * float32" in str(rows.part_px.type)
