"""Jets as coffea's NanoEvents have them give the scores of the file; coffea itself where it is."""

import awkward as ak
import numpy as np
import pytest
import uproot

from sciml.errors import InputError
from sciml.jets.data.nanoevents import LINK

BEHAVIOR: dict = {}


@ak.mixin_class(BEHAVIOR)
class FatJet:
    """The behaviour of coffea's class: constituents by their places in the table of links."""

    @property
    def constituents(self):
        return self["linked"]  # type: ignore[index]


@ak.mixin_class(BEHAVIOR)
class Unlinked(ak.Array):
    """A collection that knows its events and its name, as coffea's `NanoCollection`."""

    def _events(self):
        return self.behavior["events"]

    def _collection_name(self):
        return "FatJet"


@pytest.fixture(scope="module")
def file(tmp_path_factory, fixture_file, fixture_script):
    folder = tmp_path_factory.mktemp("nano")
    fixture_script("jet_files").write(folder, fixture_file("jets/jets.parquet"))
    return folder / "n_candIdx.root"


@pytest.fixture(scope="module")
def events(file):
    """Records of collections, from the branches."""
    with uproot.open(file) as opened:
        tree = opened["Events"]
        branches = {name: tree[name].array() for name in tree.keys()}
    groups: dict[str, dict[str, ak.Array]] = {}
    for name, values in branches.items():
        prefix, _, rest = name.partition("_")
        if rest and values.ndim > 1:
            groups.setdefault(prefix, {})[rest] = values
    table = next(n for n in groups if n.startswith("FatJetPFCand"))
    link = next(n for n in groups[table] if n.lower().endswith("candidx"))
    groups[table]["pFCandsIdx"] = groups[table].pop(link)
    return ak.zip({n: ak.zip(f) for n, f in groups.items()} | {"run": branches["run"]},
                  depth_limit=1)  # fmt: skip


@pytest.fixture(scope="module")
def linked(events):
    """`events.FatJet` with the constituents that coffea links."""
    pf, links = events.PFCands, events.FatJetPFCands
    jets = [
        [
            pf[e][links[e].pFCandsIdx[links[e].jetIdx == j]]
            for j in range(len(events.FatJet[e]))
        ]
        for e in range(len(events))
    ]  # fmt: skip
    nested = ak.Array([[ak.to_list(j) for j in e] for e in jets])
    columns = {n: events.FatJet[n] for n in events.FatJet.fields}
    counts = ak.num(nested, axis=2)
    columns |= {LINK: ak.local_index(nested.pt, axis=2), "linked": ak.zip({"pf": nested},
                depth_limit=2), "nConstituents": counts}  # fmt: skip
    return ak.zip(columns, depth_limit=2, with_name="FatJet", behavior=BEHAVIOR)


def test_linked_jets_give_the_scores_of_the_file(linked, file, small_tagger):
    want = small_tagger.predict(file)
    scores = small_tagger.predict(linked)
    assert len(want) == 6 and not scores.flags.any()
    assert np.abs(scores - want).max() < 1e-6
    chosen = np.asarray(ak.flatten(linked.pt)) > np.median(ak.flatten(linked.pt))
    selected = linked[ak.unflatten(chosen, ak.num(linked))]
    assert np.abs(small_tagger.predict(selected) - want[chosen]).max() < 1e-6
    assert np.abs(small_tagger.predict(ak.flatten(linked)) - want).max() < 1e-6


def test_events_give_the_scores_of_the_file(events, file, small_tagger):
    want = small_tagger.predict(file)
    assert np.abs(small_tagger.predict(events, collection="FatJet") - want).max() < 1e-6
    some = ak.num(events.FatJet) > 0
    assert np.abs(small_tagger.predict(events[some]) - want).max() < 1e-6
    with pytest.raises(InputError, match="FatJet"):
        small_tagger.predict(events, collection="FatJets")


def test_unlinked_jets_find_their_events_unless_they_are_selected(events, file, small_tagger):
    behavior = BEHAVIOR | {"events": events}
    jets = ak.with_name(events.FatJet, "Unlinked", behavior=behavior)
    want = small_tagger.predict(file)
    assert np.abs(small_tagger.predict(jets) - want).max() < 1e-6
    with pytest.raises(InputError, match=r'predict\(events\[selected\], collection="FatJet"\)'):
        small_tagger.predict(jets[:, :1])


@pytest.mark.filterwarnings("ignore")
def test_coffea_gives_the_scores_of_the_file(file, small_tagger):
    factory = pytest.importorskip("coffea.nanoevents")
    made = factory.NanoEventsFactory.from_root(
        {str(file): "Events"}, schemaclass=factory.PFNanoAODSchema, mode="eager"
    )
    events = made.events()
    scores = small_tagger.predict(events, collection="FatJet")
    assert np.abs(scores - small_tagger.predict(file)).max() < 1e-6
