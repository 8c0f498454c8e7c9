"""From collisions to a table of small-radius jets for flavour tagging, with the truth of tracks.

Jets of R = 0.4 as at the LHC experiments: class by ghost association, track parameters with impact
parameters, per track its origin and vertex (GN1, ATL-PHYS-PUB-2022-027), the true pT of the jet.
As for large jets, a chunk is a pure function of (process, chunk number, seed, options).
"""

from __future__ import annotations

import json
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sciml.jets.data.columns import COLUMNS, FLAVOURS, HARD_EVENT, JET_MOMENTUM
from sciml.jets.simulation import cluster
from sciml.jets.simulation import flavour_truth as truth
from sciml.jets.simulation.detector import DETECTORS, simulate_with_sources
from sciml.jets.simulation.jet_table import (
    arrow_table,
    chunk_seeds,
    constituent_columns,
    first_event_id,
    list_of,
)
from sciml.jets.simulation.pileup import Events, PileUp, of_selected_collision

RADIUS, PT_MIN, PT_MAX, ETA_MAX = 0.4, 20.0, 300.0, 2.5
"""Selection: anti-kT radius, jet pT [GeV], |eta|."""
TRUTH_PT_MIN, TRUTH_ANGLE = 8.0, 0.2
"""Smallest pT [GeV] of a jet of stable particles, and its largest angle to the measured jet."""
SAME_VERTEX = 0.1
"""Tracks whose production vertices are nearer than this [mm] share one."""
BATCH = 32
"""Events that are clustered together."""

SCHEMA = pa.schema(
    [
        pa.field(name, dtype, nullable=False)
        for names, dtype in (
            (COLUMNS, list_of(pa.float32())),
            (("part_origin", "part_vertex"), list_of(pa.int32())),
            ((*JET_MOMENTUM, "jet_nparticles"), pa.float32()),
            (tuple(f"label_{name}" for name in FLAVOURS), pa.int32()),
            (("aux_truth_pt",), pa.float32()),
            (("aux_pileup",), pa.int32()),
            ((HARD_EVENT,), pa.int64()),
        )
        for name in names
    ]
)
"""Columns of small-radius jets. The truth: see `columns.TRUTH` (`aux_truth_pt` is 0 where no jet of
stable visible particles is near); `aux_pileup`: collisions that were overlaid; `aux_collision`:
jets of one event share it."""


def jets_of_chunk(
    name: str, chunk: int, count: int, seed: int, *,
    detector: str = "measured", shower: str = "pythia", pileup: float = 0.0,
) -> pa.Table:  # fmt: skip
    """The first `count` jets of one chunk.

    Args:
        name: a key of `flavour_truth.PROCESSES`.
        chunk: its number.
        count: number of jets; fewer jets are a prefix of more.
        seed: of the data set.
        detector: a key of `detector.DETECTORS`.
        shower: a key of `processes.SHOWERS`.
        pileup: mean number of further collisions.

    Returns:
        Table with `SCHEMA`.
    """
    pythia_seed, rng = chunk_seeds(f"R04 {name}", chunk, seed)
    options = {"seed": seed, "detector": detector, "shower": shower, "pileup": pileup}
    first_id = first_event_id(f"R04 {name}", chunk, options)
    events, overlaid = Events(name, pythia_seed, shower), PileUp(pileup, pythia_seed % 10**8 + 1)
    rows: list[dict[str, Any]] = []
    number = 0
    while len(rows) < count:
        batch = []
        for _ in range(BATCH):
            event = next(events)
            particles, more = overlaid.overlay(event.particles, rng)
            added = np.full(len(particles.px) - len(event.origin), truth.PILE_UP)
            origin = np.concatenate([event.origin, added])
            candidates, source = simulate_with_sources(particles, DETECTORS[detector], rng)
            keep = of_selected_collision(candidates, source)
            batch.append((event, particles, origin, more, candidates[keep], source[keep]))
        for row in _select(batch):
            row["event"] = first_id + number + row["event"]
            rows.append(row)
        number += BATCH
    facts = {"process": name, "chunk": chunk, **options, "events": number}
    metadata = {"sciml.jets": json.dumps(facts, sort_keys=True)}
    return _table(rows[:count]).replace_schema_metadata(metadata)


def _select(batch: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The jets of a batch of events that pass the selection and have a flavour."""
    momenta = [np.concatenate([event[4][:, :4], 1e-18 * event[0].ghosts.momenta])
               for event in batch]  # fmt: skip
    jets, members = _clustered(momenta, PT_MIN)
    true = [np.stack([getattr(event[0].particles, n) for n in ("px", "py", "pz", "energy")], 1)
            for event in batch]  # fmt: skip
    true_jets, _ = _clustered(true, TRUTH_PT_MIN)
    rows = []
    for number, (event, particles, origin, more, candidates, source) in enumerate(batch):
        true_pt, true_eta, true_phi, _ = true_jets[number]
        for k in np.argsort(-jets[number][0], kind="stable"):
            pt, eta, phi, energy = (float(values[k]) for values in jets[number])
            index = members[number][k]
            kind = truth.flavour(event.ghosts, index[index >= len(candidates)] - len(candidates))
            index = index[index < len(candidates)]
            if not (PT_MIN < pt < PT_MAX and abs(eta) < ETA_MAX) or kind < 0 or not len(index):
                continue
            if (_angle(event.leptons[:, 0], event.leptons[:, 1], eta, phi) < RADIUS).any():
                continue
            near = _angle(true_eta, true_phi, eta, phi)
            matched = len(near) and near.min() < TRUTH_ANGLE
            of_pt = np.hypot(candidates[index, 0], candidates[index, 1])
            index = index[np.argsort(-of_pt, kind="stable")]
            track = source[index]
            points = np.stack([particles.x, particles.y, particles.z], 1)[track]
            rows.append({
                "event": number, "jet": (pt, eta, phi, energy), "flavour": kind,
                "particles": candidates[index],
                "origin": np.where(track >= 0, origin[track], truth.NO_TRUTH),
                "vertex": vertices(points, track >= 0),
                "truth_pt": float(true_pt[near.argmin()]) if matched else 0.0, "pileup": more,
            })  # fmt: skip
    return rows


def _clustered(momenta: list[NDArray[np.float64]], pt_min: float) -> tuple[list[Any], list[Any]]:
    """Per event, (pT, eta, phi, energy) of its jets and the constituents of each."""
    table = np.concatenate(momenta)
    events = ak.zip({key: table[:, k].copy() for k, key in enumerate(("px", "py", "pz", "energy"))})
    counts = np.array([len(event) for event in momenta])
    jets, index = cluster.anti_kt(ak.unflatten(events, counts), RADIUS, pt_min)
    px, py, pz, energy = (ak.to_numpy(ak.flatten(jets[k])) for k in ("px", "py", "pz", "E"))
    pt = np.hypot(px, py)
    of_event = np.cumsum(ak.to_numpy(ak.num(jets)))[:-1]
    columns = (pt, np.arcsinh(pz / pt), np.arctan2(py, px), energy)
    kinematics = zip(*(np.split(column, of_event) for column in columns), strict=True)
    sizes = ak.to_numpy(ak.flatten(ak.num(index, axis=2)))
    members = np.split(ak.to_numpy(ak.flatten(index, axis=None)), np.cumsum(sizes)[:-1])
    ends = [0, *of_event, len(sizes)]
    of_jets = [members[i:j] for i, j in zip(ends, ends[1:], strict=False)]
    return list(kinematics), of_jets


def _angle(eta: Any, phi: Any, eta2: float, phi2: float) -> NDArray[np.float64]:
    turn = phi - phi2
    return np.hypot(eta - eta2, turn - 2 * np.pi * np.round(turn / (2 * np.pi)))


def vertices(points: NDArray[np.float64], tracks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of the vertex of each constituent: 0 the primary one, then as they come.

    Args:
        points: [n, 3] production vertices, mm.
        tracks: [n] which constituents have one; the others get -1.
    """
    out = np.full(len(points), truth.NO_TRUTH)
    seen = np.zeros((1, 3))
    for k in np.flatnonzero(tracks):
        distance = np.linalg.norm(seen - points[k], axis=1)
        if distance.min() < SAME_VERTEX:
            out[k] = int(distance.argmin())
        else:
            out[k] = len(seen)
            seen = np.concatenate([seen, points[k : k + 1]])
    return out


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table with `SCHEMA`."""
    counts = np.array([len(row["particles"]) for row in rows])
    jets = np.array([row["jet"] for row in rows])
    particles = np.concatenate([row["particles"] for row in rows])
    particles[:, 5] = np.abs(particles[:, 5])
    flat = constituent_columns(
        particles, np.repeat(jets[:, 1], counts), np.repeat(jets[:, 2], counts)
    )
    for key in ("origin", "vertex"):
        flat[f"part_{key}"] = np.concatenate([row[key] for row in rows])
    flavour = np.array([row["flavour"] for row in rows])
    values: dict[str, Any] = dict(zip(JET_MOMENTUM, jets.T, strict=True))
    values |= {f"label_{name}": flavour == k for k, name in enumerate(FLAVOURS)}
    values["jet_nparticles"] = counts
    values["aux_truth_pt"] = np.array([row["truth_pt"] for row in rows])
    values["aux_pileup"] = np.array([row["pileup"] for row in rows])
    values[HARD_EVENT] = np.array([row["event"] for row in rows])
    return arrow_table(SCHEMA, values, {key: (counts, value) for key, value in flat.items()})
