"""Jets of coffea's NanoEvents, as its `PFNanoAODSchema` makes them from PFNano.

`events.FatJet`, also after a selection of jets or events, where the file counts the constituents of
each jet (`FatJet_nConstituents`), so that coffea links them; else the events with the name of the
collection, from its table of links. Nothing of coffea is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError
from sciml.jets.data.columns import IDENTITY, JET_MOMENTUM
from sciml.jets.data.readers.base import Reader, lengths
from sciml.jets.data.readers.nanoaod import TRACK_BRANCHES, NanoAODReader, constituents
from sciml.jets.data.readers.nested import in_memory

LINK = "pFCandsIdxG"
"""Field of jets with candidates: their places in the table of links."""


def reader_of(events: Any, collection: str | None) -> Reader | None:
    """A reader of the jets of NanoEvents or of one of their collections; None for other arrays.

    Raises:
        InputError: selected jets without links to their candidates.
    """
    if not isinstance(events, ak.Array) or "part_px" in events.fields:
        return None
    if LINK in events.fields:
        return in_memory(columns_of(events))
    if holds_candidates(events):
        return NanoAODReader(EventFields(events), collection)
    if not (hasattr(events, "_events") and hasattr(events, "_collection_name")):
        return None
    everything, name = events._events(), events._collection_name()
    if not holds_candidates(everything) or name not in everything.fields:
        return None
    if len(events) != len(everything) or ak.any(ak.num(events) != ak.num(everything[name])):
        raise InputError(
            f"a selection of events.{name}, whose candidates coffea has not linked "
            f"(the file has no {name}_nConstituents)",
            hint=f'Give predict(events[selected], collection="{name}") and select jets afterwards',
        )
    return NanoAODReader(EventFields(everything), name)


def holds_candidates(events: ak.Array) -> bool:
    """Whether these are events with a table of candidates."""
    return bool({"PFCands", "PFCand"} & set(events.fields))


class EventFields:
    """Events in memory with the methods of `RootReader` that `NanoAODReader` uses."""

    def __init__(self, events: ak.Array) -> None:
        self.path, self._events = Path("events"), events
        self._places: dict[str, tuple[str, ...]] = {}
        for name in events.fields:
            fields = events[name].fields
            for field in fields:
                self._places[f"{name}_{field}"] = (name, field)
            if not fields:
                self._places[name] = (name,)
        self.columns = tuple(self._places)

    def __len__(self) -> int:
        return len(self._events)

    def arrays(self, columns: Sequence[str], first: int, last: int) -> dict[str, ak.Array]:
        """Columns of the events first .. last - 1."""
        out = {}
        for name in columns:
            values = self.column(name)[first:last]
            out[name] = ak.without_parameters(ak.to_packed(values))
        return out

    def column(self, name: str) -> ak.Array:
        """A column of all events, as it is."""
        values: Any = self._events
        for part in self._places[name]:
            values = values[part]
        return values

    def sizes(self, column: str) -> NDArray[np.int64]:
        """Length of each event's list."""
        (values,) = self.arrays([column], 0, len(self)).values()
        return lengths(values)

    def close(self) -> None:
        """Nothing is open."""


def columns_of(jets: ak.Array) -> ak.Array:
    """The jets of all events, one after the other, as a record array with JetClass's columns.

    Args:
        jets: [events][jets] or [jets], with `pt`, `eta`, `phi`, `mass` and `constituents.pf`.

    Raises:
        InputError: their candidates cannot be found.
    """
    if jets.ndim > 1:
        jets = ak.flatten(ak.drop_none(jets, axis=1), axis=1)
    try:
        candidates = jets.constituents.pf
    except (AttributeError, RuntimeError) as error:
        raise InputError(
            "these jets are not linked to their candidates",
            hint="Open the file with coffea's PFNanoAODSchema",
        ) from error
    candidates = ak.without_parameters(candidates)
    counts = ak.to_numpy(ak.num(candidates, axis=1))
    jet_of = np.repeat(np.arange(len(counts)), counts)
    present = candidates.fields
    wanted = [name for name, (branch, _) in TRACK_BRANCHES.items() if branch in present]
    wanted += [name for name in IDENTITY if name == "part_charge" or "pdgId" in present]
    wanted += ["part_puppi"] if "puppiWeight" in present else []

    def candidate(name: str) -> Any:
        return ak.to_numpy(ak.flatten(candidates[name], axis=1)).astype(np.float64)

    out = constituents(candidate, wanted, jet_of, len(counts), "charge" in present)
    pt, eta, phi, mass = (
        ak.to_numpy(jets[name]).astype(np.float64) for name in ("pt", "eta", "phi", "mass")
    )
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    for name, values in zip(JET_MOMENTUM, (pt, eta, phi, energy), strict=True):
        out[name] = values.astype(np.float32)
    return ak.zip(out, depth_limit=1)
