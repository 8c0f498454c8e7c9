"""Every hostile file ends in one line that says what is wrong, or in jets with their faults marked.

The files are made by tests/corpus/jets/make.py.
"""

from pathlib import Path

import pytest

from sciml.errors import InputError
from sciml.jets.data.features import Flag
from sciml.jets.data.io import open_jets, read_jets
from sciml.jets.data.ragged import to_dense

CORPUS = Path(__file__).parents[1] / "corpus" / "jets"

FLAGS: dict[str, list[int]] = {
    "good.parquet": [0] * 6,
    "good.root": [0] * 6,
    "empty_jet.parquet": [0, Flag.EMPTY, 0, 0, 0, 0],
    "all_jets_empty.root": [Flag.EMPTY] * 3,
    "nan.parquet": [0, 0, Flag.NOT_FINITE, 0, 0, 0],
    "inf.root": [0, 0, 0, Flag.NOT_FINITE, 0, 0],
    "zero_pt.parquet": [0, Flag.ZERO_PT, 0, 0, 0, 0],
    "energy_below_momentum.parquet": [0, 0, 0, 0, Flag.ENERGY_BELOW_MOMENTUM, 0],
    "overflow.parquet": [Flag.NOT_FINITE, 0, 0, 0, 0, 0],
    "many.parquet": [0, 0, 0],
    "phi_wrap.parquet": [0] * 6,
    "one_jet.root": [0],
    "nulls.parquet": [0, Flag.NOT_FINITE, 0, Flag.EMPTY, 0, 0],
    "no_rows.parquet": [],
}
"""Files that are read: the flags of their jets (those expected to be set)."""

FAULTS = {
    "missing_column.parquet": "part_energy",
    "jagged_mismatch.parquet": "jet 2 has 8 values",
    "text_column.parquet": "part_px",
    "truncated.parquet": "damaged or truncated",
    "truncated.root": "damaged or truncated",
    "head_only.parquet": "damaged or truncated",
    "head_only.root": "damaged or truncated",
    "zeroed.root": "damaged or truncated",
    "empty.root": "is empty",
    "empty.parquet": "is empty",
    "text.root": "not a ROOT, Parquet, HDF5 or npz file",
    "text.parquet": "damaged or truncated",
    "text.h5": "damaged or truncated",
    "text.npz": "damaged or truncated",
    "no_tree.root": "no TTree",
}
"""Files that are refused: what the message says."""


def test_every_file_of_the_corpus_is_expected():
    files = {path.name for path in CORPUS.iterdir() if path.is_file()} - {"make.py"}
    assert files == FLAGS.keys() | FAULTS.keys()


@pytest.mark.parametrize("name", FLAGS)
def test_faults_of_jets_keep_their_place(name):
    events = read_jets(CORPUS / name)
    jets = to_dense(events, where=name)
    assert len(jets) == len(FLAGS[name])
    for got, expected in zip(jets.flags.tolist(), FLAGS[name], strict=True):
        assert (got & expected) == expected and bool(got) == bool(expected)
    assert jets.mask.shape[1] <= 128
    if name == "many.parquet":
        assert jets.cut.tolist() == [0, 72, 0]
    if name == "phi_wrap.parquet":
        assert jets.particles[..., 5].abs().max() < 1.5  # dphi near the axis, not near 2 pi


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_files_are_one_line(name):
    with pytest.raises(InputError, match=FAULTS[name]) as caught:
        to_dense(read_jets(CORPUS / name), where=CORPUS / name)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600 and name in message


@pytest.mark.parametrize("name", sorted(FLAGS))
def test_any_step_gives_the_same_jets(name):
    with open_jets(CORPUS / name) as reader:
        size = len(reader)
        for step in (1, 4):
            seen = sum(len(batch) for batch in reader.iterate(["event"], step))
            assert seen == size
