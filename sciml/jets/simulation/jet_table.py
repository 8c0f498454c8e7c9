"""From simulated events to a table of jets with JetClass's columns: selection, truth, constituents.

One chunk of jets is a pure function of (class, chunk number, seed, options): chunks can be made in
any order, by any number of processes, and the data set stays the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sciml.jets.data.columns import CLASSES, COLUMNS, HARD_EVENT, JET_MOMENTUM
from sciml.jets.simulation import cluster, processes
from sciml.jets.simulation.detector import (
    CANDIDATE,
    DETECTORS,
    Detector,
    Particles,
    simulate_with_sources,
)
from sciml.jets.simulation.events import Collisions
from sciml.jets.simulation.pileup import PileUp, of_selected_collision

CHUNK = 1000
"""Jets in a chunk; part of the definition of a data set, since each chunk has its own seed."""
BATCH = 64
"""Events that are clustered together."""
RADIUS, PT_MIN, PT_MAX, ETA_MAX = 0.8, 500.0, 1000.0, 2.0
"""JetClass's selection: anti-kT radius, jet pT [GeV], |eta|."""
SAME_AXIS = RADIUS / 2
"""Largest angle between the axes of a jet in two showers of one hard-scatter event."""

OBSERVABLES = (
    *JET_MOMENTUM,
    "jet_nparticles",
    "jet_sdmass",
    "jet_tau1",
    "jet_tau2",
    "jet_tau3",
    "jet_tau4",
)
LABEL_COLUMNS = tuple(f"label_{name}" for name in CLASSES)
TRUTH_COLUMNS = ("aux_genpart_pt", "aux_genpart_eta", "aux_genpart_phi", "aux_genpart_pid")
DECAY_COLUMNS = ("aux_decay_pt", "aux_decay_eta", "aux_decay_phi", "aux_decay_mass")


def list_of(dtype: pa.DataType) -> pa.DataType:
    """A column of one list per jet, without missing items."""
    return pa.list_(pa.field("item", dtype, nullable=False))


SCHEMA = pa.schema(
    [
        pa.field(name, dtype, nullable=False)
        for names, dtype in (
            (COLUMNS, list_of(pa.float32())),
            (OBSERVABLES, pa.float32()),
            (LABEL_COLUMNS, pa.int32()),
            (TRUTH_COLUMNS, pa.float32()),
            (("aux_truth_match",), pa.int32()),
            (DECAY_COLUMNS, list_of(pa.float32())),
            (("aux_decay_pid",), list_of(pa.int32())),
        )
        for name in names
    ]
)
"""Columns of generated jets. `aux_genpart_*`: the resonance in the jet (0 for background), as in
JetClass; `aux_decay_*`: its decay products before showering, which JetClass does not keep."""


def chunk_seeds(name: str, chunk: int, seed: int) -> tuple[int, np.random.Generator]:
    """Pythia's seed and the detector's generator for one chunk."""
    # The class enters by its name, not by its index in a list: seeds do not depend on the others.
    sequence = np.random.SeedSequence([seed, chunk, *name.encode()])
    pythia = int(sequence.generate_state(1, np.uint64)[0] % 900_000_000) + 1
    return pythia, np.random.default_rng(sequence.spawn(1)[0])


def jets_of_chunk(
    name: str,
    chunk: int,
    count: int,
    seed: int,
    *,
    detector: str = "jetclass",
    shower: str = "pythia",
    pileup: float = 0.0,
    veto: bool = True,
    views: int = 1,
) -> pa.Table:
    """The first `count` jets of one chunk.

    Args:
        name: class.
        chunk: its number.
        count: number of jets, at most `CHUNK`; fewer jets are a prefix of more.
        seed: of the data set.
        detector: a key of `detector.DETECTORS`.
        shower: a key of `processes.SHOWERS`.
        pileup: mean number of further collisions in the bunch crossing; tracks more than
            `pileup.MAX_DZ` away are left out (charged-hadron subtraction).
        veto: reject events early that cannot give a jet (off only to test that it changes nothing).
        views: number of showers per hard-scatter event; with more than one, only jets that occur in
            every view are kept, side by side, with the event's id in `aux_collision`.

    Returns:
        Table with `SCHEMA`; the metadata hold the options and the number of events.
    """
    pythia_seed, rng = chunk_seeds(name, chunk, seed)
    collisions = Collisions(name, pythia_seed, variant=chunk, shower=shower, veto=veto, views=views)
    overlaid = PileUp(pileup, pythia_seed % 10**8 + 1)
    constants = DETECTORS[detector]
    rows: list[dict[str, Any]] = []
    events = 0
    while len(rows) < count:
        batch: list[NDArray[np.float64]] = []
        truths: list[list[processes.Truth]] = []
        while len(batch) < BATCH:
            for particles, truth in next(collisions):
                batch.append(_measured(particles, overlaid, constants, rng))
                truths.append(truth)
        events += len(batch)
        selected = _select(batch, truths, name)
        rows += selected if views == 1 else _in_every_view(selected, views)
    table = _table(rows[:count], name)
    if views > 1:
        options = {"seed": seed, "detector": detector, "shower": shower}
        options |= {"pileup": pileup} if pileup else {}
        event_ids = first_event_id(name, chunk, options) + np.arange(count) // views
        table = table.append_column(HARD_EVENT, pa.array(event_ids))
    settings = {
        "class": name,
        "chunk": chunk,
        "seed": seed,
        "detector": detector,
        "shower": shower,
        "events": events,
    }
    if views > 1:
        settings["views"] = views
    if pileup:
        settings["pileup"] = pileup
    return table.replace_schema_metadata({"sciml.jets": json.dumps(settings, sort_keys=True)})


def _measured(
    particles: Particles, overlaid: PileUp, constants: Detector, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Candidates of an event and its pile-up."""
    together, _ = overlaid.overlay(particles, rng)
    candidates, source = simulate_with_sources(together, constants, rng)
    return candidates[of_selected_collision(candidates, source)] if overlaid.mean else candidates


def _select(
    batch: list[NDArray[np.float64]], truths: list[list[processes.Truth]], name: str
) -> list[dict[str, Any]]:
    """The jets of a batch of events that pass the selection and carry the truth."""
    table = np.concatenate(batch)
    table[:, 5] = np.abs(table[:, 5])
    counts = np.array([len(event) for event in batch])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    momenta = ak.zip(
        {key: table[:, k].copy() for k, key in enumerate(("px", "py", "pz", "energy"))}
    )
    jets, index = cluster.anti_kt(ak.unflatten(momenta, counts), RADIUS, PT_MIN)
    rows = []
    for event in np.flatnonzero(ak.to_numpy(ak.num(jets))):
        by_pt = sorted(
            zip(jets[event].to_list(), index[event], strict=True),
            key=lambda pair: -math.hypot(pair[0]["px"], pair[0]["py"]),
        )
        for jet, members in by_pt:
            pt = math.hypot(jet["px"], jet["py"])
            eta, phi = math.asinh(jet["pz"] / pt), math.atan2(jet["py"], jet["px"])
            if not (PT_MIN < pt < PT_MAX and abs(eta) < ETA_MAX):
                continue
            truth = _match(truths[event], eta, phi)
            if truth is None and processes.process(name).parent is not None:
                continue
            particles = table[offsets[event] + ak.to_numpy(members)]
            rows.append(
                {
                    "event": int(event),
                    "jet": (pt, eta, phi, jet["E"]),
                    "truth": truth,
                    "particles": constituents_by_pt(particles),
                }
            )
    return rows


def _in_every_view(rows: list[dict[str, Any]], views: int) -> list[dict[str, Any]]:
    """The jets that occur in each view of their event with nearly the same axis; side by side."""
    of_event: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        of_event.setdefault(row["event"], []).append(row)
    matched = []
    for row in rows:
        if row["event"] % views == 0:
            same = [row]
            for other in range(row["event"] + 1, row["event"] + views):
                near = [one for one in of_event.get(other, []) if _apart(row, one) < SAME_AXIS]
                same += sorted(near, key=lambda one: _apart(row, one))[:1]
            if len(same) == views:
                matched += same
    return matched


def _apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Angle between the axes of two jets."""
    (_, eta, phi, _), (_, eta2, phi2, _) = one["jet"], other["jet"]
    return math.hypot(eta - eta2, math.remainder(phi - phi2, 2 * math.pi))


def first_event_id(name: str, chunk: int, options: dict[str, Any]) -> int:
    """The id of a chunk's first hard-scatter event, of 52 bits (exact in a double).

    A hash of class, chunk and options, so that files of several data sets can be read together:
    two of a thousand chunks share ids with a probability of 1e-7.
    """
    text = json.dumps([name, chunk, options], sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 12


def _match(truths: list[processes.Truth], eta: float, phi: float) -> processes.Truth | None:
    """The resonance all of whose visible decay products lie in the jet."""
    for truth in truths:
        if all(
            math.hypot(p[1] - eta, math.remainder(p[2] - phi, 2 * math.pi)) < RADIUS
            for p in truth.products
        ):
            return truth
    return None


def constituents_by_pt(particles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Constituents within JetClass's cuts (|pz| <= 10 TeV, |eta| <= 5), sorted by falling pT."""
    pt = np.hypot(particles[:, 0], particles[:, 1])
    keep = (np.abs(particles[:, 2]) <= 1e4) & (np.abs(particles[:, 2]) <= pt * np.sinh(5.0))
    order = np.argsort(-pt[keep], kind="stable")
    return particles[keep][order]


def _table(rows: list[dict[str, Any]], name: str) -> pa.Table:
    """Rows as a table with `SCHEMA`."""
    counts = np.array([len(row["particles"]) for row in rows])
    parts = np.concatenate([row["particles"] for row in rows])
    jets = np.array([row["jet"] for row in rows])
    column = {key: parts[:, k] for k, key in enumerate(CANDIDATE)}
    flat = constituent_columns(parts, np.repeat(jets[:, 1], counts), np.repeat(jets[:, 2], counts))
    shapes = cluster.substructure(
        ak.unflatten(ak.zip({key: column[key] for key in ("px", "py", "pz", "energy")}), counts),
        RADIUS,
    )
    values: dict[str, Any] = {
        "jet_pt": jets[:, 0],
        "jet_eta": jets[:, 1],
        "jet_phi": jets[:, 2],
        "jet_energy": jets[:, 3],
        "jet_nparticles": counts,
    }
    values |= {f"jet_{key}": value for key, value in shapes.items()}
    for label in CLASSES:
        matches = label == ("QCD" if processes.process(name).parent is None else name)
        values[f"label_{label}"] = np.full(len(rows), int(matches))
    truths: list[processes.Truth | None] = [row["truth"] for row in rows]
    for k, key in enumerate(TRUTH_COLUMNS[:3]):
        values[key] = np.array([t.momentum[k] if t else 0.0 for t in truths])
    values["aux_genpart_pid"] = np.array([t.pid if t else 0 for t in truths])
    values["aux_truth_match"] = np.array([t.code if t else 50 for t in truths])
    decays = np.array([len(t.products) if t else 0 for t in truths])
    lists = {key: (counts, flat[key]) for key in COLUMNS}
    for k, key in enumerate(DECAY_COLUMNS):
        lists[key] = (decays, np.array([p[k] for t in truths if t for p in t.products]))
    pids = np.array([pid for t in truths if t for pid in t.product_pids])
    lists["aux_decay_pid"] = (decays, pids)
    return arrow_table(SCHEMA, values, lists)


def constituent_columns(
    particles: NDArray[np.float64], eta: NDArray[np.float64], phi: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """`columns.COLUMNS` of constituents.

    Args:
        particles: [S, 10] `detector.CANDIDATE`, with |PDG code|.
        eta, phi: [S] of the axis of each one's jet.
    """
    column = {key: particles[:, k] for k, key in enumerate(CANDIDATE)}
    pt, pid = np.hypot(column["px"], column["py"]), column["pid"]
    dphi = np.arctan2(column["py"], column["px"]) - phi
    flat = {f"part_{key}": column[key] for key in CANDIDATE if key != "pid"}
    return flat | {
        "part_deta": np.where(eta > 0, 1.0, -1.0) * (np.arcsinh(column["pz"] / pt) - eta),
        "part_dphi": dphi - 2 * np.pi * np.round(dphi / (2 * np.pi)),
        "part_isChargedHadron": np.isin(pid, (211, 321, 2212)),
        "part_isNeutralHadron": pid == 0,
        "part_isPhoton": pid == 22,
        "part_isElectron": pid == 11,
        "part_isMuon": pid == 13,
    }


def arrow_table(
    schema: pa.Schema, values: dict[str, Any], lists: dict[str, tuple[Any, Any]]
) -> pa.Table:
    """A table of columns with one number per jet, and of lists (lengths, flat values)."""
    arrays = []
    for field in schema:
        if field.name in lists:
            number, content = lists[field.name]
            offsets = np.concatenate([[0], np.cumsum(number)]).astype(np.int32)
            dtype = field.type.value_type.to_pandas_dtype()
            arrays.append(
                pa.ListArray.from_arrays(offsets, pa.array(content.astype(dtype)), type=field.type)
            )
        else:
            dtype = field.type.to_pandas_dtype()
            arrays.append(pa.array(np.asarray(values[field.name]).astype(dtype)))
    return pa.Table.from_arrays(arrays, schema=schema)
