"""Arrays of dask-awkward: the same scores, a partition at a time, reading only what is needed."""

import awkward as ak
import numpy as np
import pytest

from sciml.errors import InputError
from sciml.jets.delayed import Partition

dak = pytest.importorskip("dask_awkward")


def scores_of(records, tagger):
    return np.stack([ak.to_numpy(records[name]) for name in tagger.outputs], 1)


def test_jets_in_partitions_have_the_scores_of_all(jets, small_tagger, tmp_path):
    columns = jets([7, 3, 12, 0, 9, 4, 8], seed=1)
    table = ak.zip(columns | {"unread": np.arange(7)}, depth_limit=1)
    want = small_tagger.predict(table)
    delayed = small_tagger.predict(dak.from_awkward(table, npartitions=3))
    assert delayed.npartitions == 3 and delayed.divisions == (0, 3, 6, 7)
    records = delayed.compute(scheduler="sync")
    np.testing.assert_allclose(scores_of(records, small_tagger), want, atol=1e-6)
    assert records.flag.to_list() == want.flags.tolist() == [0, 0, 0, 1, 0, 0, 0]
    ak.to_parquet(table, tmp_path / "jets.parquet")
    stored = small_tagger.predict(dak.from_parquet(tmp_path / "jets.parquet"))
    (read,) = dak.necessary_columns(stored).values()
    assert any("part_px" in name for name in read) and not any("unread" in name for name in read)
    np.testing.assert_allclose(
        scores_of(stored.compute(scheduler="sync"), small_tagger), want, atol=1e-6
    )


@pytest.fixture(scope="module")
def events():
    """Two events of NanoEvents: two jets and none; some candidates are in no jet."""
    random = np.random.default_rng(0)
    candidates = {
        "pt": random.exponential(20, 9), "eta": random.normal(0, 0.2, 9),
        "phi": random.normal(1, 0.2, 9), "mass": np.full(9, 0.14), "d0": random.normal(0, 0.1, 9),
        "d0Err": np.full(9, 0.01), "dz": random.normal(0, 0.1, 9), "dzErr": np.full(9, 0.01),
        "charge": np.ones(9, np.int32), "pdgId": np.full(9, 211), "other": np.zeros(9),
    }  # fmt: skip
    table = ak.zip({n: ak.unflatten(v, [6, 3]) for n, v in candidates.items()})
    jets = {
        n: ak.unflatten(v, [2, 0])
        for n, v in {
            "pt": [80.0, 60.0],
            "eta": [0.0, 0.1],
            "phi": [1.0, 1.1],
            "mass": [9.0, 8.0],
        }.items()
    }
    links = {
        "jetIdx": ak.Array([[0, 0, 1, 1, 1], []]),
        "pFCandsIdx": ak.Array([[0, 2, 1, 3, 5], []]),
    }
    return ak.zip(
        {"PFCands": table, "FatJet": ak.zip(jets), "FatJetPFCands": ak.zip(links)}, depth_limit=1
    )  # fmt: skip


def test_events_have_a_list_of_scores_each(events, small_tagger):
    want = small_tagger.predict(events, collection="FatJet")
    assert len(want) == 2 and not want.flags.any()
    delayed = small_tagger.predict(dak.from_awkward(events, npartitions=2), collection="FatJet")
    assert delayed.ndim == 2
    records = delayed.compute(scheduler="sync")
    assert ak.num(records).to_list() == [2, 0]
    np.testing.assert_allclose(scores_of(records[0], small_tagger), want, atol=1e-6)


def test_only_the_branches_of_candidates_and_jets_are_touched(events, small_tagger):
    layout, report = ak.typetracer.typetracer_with_report(
        events.layout.form_with_key("node{id}"), highlevel=False
    )
    answer = Partition(small_tagger, "FatJet")(ak.Array(layout))
    assert ak.backend(answer) == "typetracer" and answer.ndim == 2
    keys = {}  # key of a column's data -> its name
    form = events.layout.form_with_key("node{id}")
    for collection in form.fields:
        record = form.content(collection).content
        for name, content in zip(record.fields, record.contents, strict=True):
            keys[content.form_key] = f"{collection}_{name}"
    touched = {keys[k] for k in report.data_touched if k in keys}
    assert {"PFCands_pt", "PFCands_d0", "FatJet_pt", "FatJetPFCands_jetIdx"} <= touched
    assert "PFCands_other" not in touched


def test_what_cannot_be_scored_is_told_before_anything_is_computed(events, jets, small_tagger):
    selected = dak.from_awkward(events.FatJet, npartitions=1)
    with pytest.raises(InputError, match=r'predict\(events, collection="FatJet"\)'):
        small_tagger.predict(selected)
    columns = jets([3])
    del columns["part_py"]
    table = dak.from_awkward(ak.zip(columns, depth_limit=1), npartitions=1)
    with pytest.raises(InputError, match="part_py"):
        small_tagger.predict(table)
    with pytest.raises(InputError, match="options of files"):
        small_tagger.predict(table, tree="Events")
