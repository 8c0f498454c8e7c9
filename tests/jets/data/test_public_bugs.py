"""Kinds of files that public bug reports are about: read as they are meant, or refused by name.

Each is made here from the same forty jets, whose scores are known.
"""

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from sciml.cli import main
from sciml.errors import InputError

TRACKS = ("part_d0val", "part_d0err", "part_dzval", "part_dzerr")


@pytest.fixture(scope="module")
def columns(jets):
    return jets(np.random.default_rng(1).integers(1, 30, 40))


@pytest.fixture(scope="module")
def want(small_tagger, columns):
    return small_tagger.predict(columns).probabilities


def equal(got, want):
    return np.abs(np.asarray(got.probabilities) - want).max() < 1e-6


def test_baskets_of_any_size(columns, small_tagger, want, tmp_path):
    """UnROOT #59 (lists beyond the first basket are wrong), and an empty basket at the end."""
    with uproot.recreate(tmp_path / "x.root") as file:
        for start, stop in ((0, 3), (3, 4), (4, 29), (29, 40), (40, 40)):
            part = {name: value[start:stop] for name, value in columns.items()}
            if start:
                file["tree"].extend(part)
            else:
                file["tree"] = part
    assert equal(small_tagger.predict(tmp_path / "x.root"), want)


def test_an_older_cycle_of_a_tree_is_read_by_name_alone(columns, small_tagger, want, tmp_path):
    """uproot lists an unfinished job's `tree;1` beside `tree;2`, and so do users."""
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        file["folder/tree"] = {name: value[:7] for name, value in columns.items()}
        file["folder/tree"] = dict(columns)
    assert equal(small_tagger.predict(path), want)
    assert equal(small_tagger.predict(path, tree="folder/tree;2"), want)
    assert equal(small_tagger.predict(path, tree="folder/tree;1"), want[:7])
    with pytest.raises(InputError, match="cycle of a tree 'folder/tree;3'.*folder/tree;[12]"):
        small_tagger.predict(path, tree="folder/tree;3")


def test_row_groups_and_slices_of_tables(columns, small_tagger, want, tmp_path):
    """coffea #1578, item 4: Parquet from an entry on gave shifted lists."""
    table = ak.to_arrow_table(ak.Array(columns), extensionarray=False)
    parts = pa.concat_tables([table.slice(33), table.slice(0, 33)])
    pq.write_table(parts, tmp_path / "x.parquet", row_group_size=11)
    got = small_tagger.predict(tmp_path / "x.parquet")
    assert equal(got, np.concatenate([want[33:], want[:33]]))
    array = ak.Array(columns)
    assert equal(small_tagger.predict(array[5:33]), want[5:33])
    assert equal(small_tagger.predict(array[::-3]), want[::-3])


def test_a_jet_that_is_masked_keeps_its_place(columns, small_tagger, want, tmp_path):
    """awkward's `ak.mask` and Parquet's nulls: no answer for that jet, and the others stay."""
    array = ak.mask(ak.Array(columns), np.arange(40) != 4)
    ak.to_parquet(array, tmp_path / "x.parquet")
    for events in (array, tmp_path / "x.parquet"):
        got = small_tagger.predict(events)
        assert np.isnan(got.probabilities[4]).all() and got.flags[4] != 0
        others = np.delete(np.arange(40), 4)
        assert np.abs(got.probabilities[others] - want[others]).max() < 1e-6


@pytest.mark.parametrize("absent", [np.nan, -999.0, -99.0])
def test_neutral_candidates_have_no_track(absent, columns, small_tagger, tmp_path):
    """FCCAnalyses #224: NaN (or -999) where there is no track; a real track's fault stays one."""
    neutral = columns["part_charge"] == 0
    marked = columns | {n: ak.where(neutral, absent, columns[n]) for n in TRACKS}
    zero = columns | {n: ak.where(neutral, 0.0, columns[n]) for n in TRACKS}
    with pytest.warns(UserWarning, match="or one of a neutral candidate"):
        got = small_tagger.predict(marked)
    assert np.array_equal(got.probabilities, small_tagger.predict(zero).probabilities)
    assert got.repaired.sum() == 4 * ak.sum(neutral)
    charged = columns | {n: ak.where(neutral, columns[n], np.nan) for n in TRACKS}
    flagged = small_tagger.predict(charged).flags != 0
    assert np.array_equal(flagged, ak.to_numpy(ak.any(~neutral, axis=1)))


def test_momenta_in_mev_are_noticed(columns, small_tagger):
    """ATLAS's files have MeV, and scores without a word would be wrong."""
    energies = ("part_px", "part_py", "part_pz", "part_energy")
    mev = columns | {name: 1000 * columns[name] for name in energies}
    with pytest.warns(UserWarning, match="must be in GeV, these look like MeV"):
        small_tagger.predict(mev)


def test_types_of_numbers(columns, small_tagger, want, tmp_path):
    """Double precision, charges of 8 bits and flags as truth values, in memory and in ROOT."""
    other = {name: ak.values_astype(value, np.float64) for name, value in columns.items()}
    other["part_charge"] = ak.values_astype(columns["part_charge"], np.int8)
    other["part_isPhoton"] = ak.values_astype(columns["part_isPhoton"], bool)
    with uproot.recreate(tmp_path / "x.root") as file:
        file["tree"] = other
    for events in (other, tmp_path / "x.root"):
        assert equal(small_tagger.predict(events), want)


def test_options_without_a_missing_value(columns, small_tagger, want):
    optional = {n: ak.mask(v, ak.ones_like(v) == 1) for n, v in columns.items()}
    assert equal(small_tagger.predict(optional), want)


def test_events_without_jets_between_others(columns, small_tagger, want):
    """uproot #42: lists in lists, some of them empty."""
    events = {n: ak.unflatten(v, [3, 0, 7, 30, 0]) for n, v in columns.items()}
    assert equal(small_tagger.predict(ak.Array(events)), want)


def test_names_in_capitals_are_refused_with_the_right_ones(columns, tmp_path, capsys):
    with uproot.recreate(tmp_path / "x.root") as file:
        file["tree"] = {name.upper(): value for name, value in columns.items()}
    command = ["jets", "tag", str(tmp_path / "x.root"), "--model", "jets-tiny"]
    assert main([*command, "-o", str(tmp_path / "out.parquet")]) == 2
    assert "part_px" in (error := capsys.readouterr().err) and "PART_PX" in error
    assert "Traceback" not in error
