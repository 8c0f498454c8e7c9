"""Scores of dask-awkward arrays: nothing is read before `compute`, and then a partition at a time.

    events = NanoEventsFactory.from_root(files, schemaclass=PFNanoAODSchema, mode="dask").events()
    scores = tagger.predict(events, collection="FatJet")   # dask_awkward.Array [events][jets]
    events["FatJet", "top"] = scores.score_Tbqq            # lazily, too

A partition is read whole and goes through the network in steps, so the memory that is needed is
that of one partition. From the file only those columns are read that the model needs; dask-awkward
learns them by calling the function on arrays without data.
"""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from sciml.errors import InputError, load_extra
from sciml.jets.data.nanoevents import EventFields, holds_candidates
from sciml.jets.data.readers.nanoaod import NanoAODReader


def predict(model: Any, events: Any, options: dict[str, Any]) -> Any:
    """The predictions of a dask-awkward array, delayed.

    Args:
        model: a `JetTagger` or `JetMassRegressor`.
        events: dask-awkward array of jets with JetClass's columns, or of NanoEvents with links to
            candidates.
        options: `collection` of NanoEvents.

    Returns:
        dask-awkward array of records with the columns that `sciml jets tag` writes (`score_QCD`,
        ..., `flag`): one per jet, and of NanoEvents a list of those per event.

    Raises:
        InputError: another option, or jets that are not linked to their candidates.
    """
    dask_awkward = load_extra("dask_awkward", "hep", "Delayed prediction")
    if wrong := set(options) - {"collection"}:
        raise InputError(f"options of files do not go with a dask array: {', '.join(wrong)}")
    mapped = Partition(model, options.get("collection"))
    mapped(events._meta)  # faults are told now
    return dask_awkward.map_partitions(mapped, events, label="sciml-jets", output_divisions=1)


class Partition:
    """The function that is mapped over partitions."""

    def __init__(self, model: Any, collection: str | None) -> None:
        self.model, self.collection = model, collection

    def __call__(self, events: ak.Array) -> ak.Array:
        """Events or jets -> records of the outputs; without data if they have none."""
        if ak.backend(events) != "typetracer":
            return self._scored(events)
        empty = ak.Array(events.layout.form.length_zero_array())
        for column in self._needed(empty):
            ak.typetracer.touch_data(EventFields(events).column(column))
        return ak.Array(self._scored(empty).layout.to_typetracer(forget_length=True))

    def _needed(self, events: ak.Array) -> list[str]:
        """The columns that are read of such events."""
        if not holds_candidates(events):
            return [n for n in self.model.columns_of(events.fields) if n in events.fields]
        reader = NanoAODReader(EventFields(events), self.collection)
        return reader.branches(self.model.columns_of(reader.columns))

    def _scored(self, events: ak.Array) -> ak.Array:
        if holds_candidates(events):
            fields = EventFields(events)
            reader = NanoAODReader(fields, self.collection)
            return ak.unflatten(self._records(reader), fields.sizes(f"{reader.collection}_pt"))
        if "part_px" in events.fields:
            return self._records(events)
        raise InputError(
            "the dask array holds neither jets with JetClass's columns nor NanoEvents with links "
            "to candidates",
            hint='Of coffea\'s events give predict(events, collection="FatJet")',
        )

    def _records(self, events: Any) -> ak.Array:
        parts = [prediction for _, prediction in self.model.stream(events)]
        merged = self.model.RESULT.concatenate(parts)
        columns = {
            name: np.ascontiguousarray(np.asarray(merged)[:, i])
            for i, name in enumerate(self.model.outputs)
        }
        return ak.zip({**columns, "flag": merged.flags.astype(np.int32)}, depth_limit=1)
