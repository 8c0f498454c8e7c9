"""CMS nanoAOD with particle-flow candidates (PFNano): `PFCands_*` and `FatJetPFCands_*`.

BTVNano writes `PFCand_*` and `JetPFCand_*` instead; an RNTuple has structures of these names.

The link table says which candidate belongs to which jet. CMS measures impact parameters in cm and
signs d0 the other way round (dxy = (y px - x py) / pT); here they become mm and JetClass's sign.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError, unknown
from sciml.jets.data.readers.base import guarded, plain, require
from sciml.jets.data.readers.events import (
    JETS,
    ORIGIN,
    PARTICLES,
    EventReader,
    assemble,
    charge,
    identity,
)

TRACK_BRANCHES = {
    "part_d0val": ("d0", -10.0),
    "part_d0err": ("d0Err", 10.0),
    "part_dzval": ("dz", 10.0),
    "part_dzerr": ("dzErr", 10.0),
}
"""Column -> quantity of nanoAOD's candidates, factor."""


_LINK = re.compile(r"(\w+?)(PFCands?)_(?:pFCandsIdx|pFCandIdx|pfCandsIdx|pfCandIdx|candIdx)")
"""A column of a table of links: collection, candidates."""


def links(columns: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """The jet collections that candidates are linked to: name -> candidates, column of links."""
    matches = [(match, name) for name in columns if (match := _LINK.fullmatch(name))]
    return {
        match[1]: (match[2], name)
        for match, name in matches
        if f"{match[2]}_pt" in columns and f"{match[1]}{match[2]}_jetIdx" in columns
    }


class NanoAODReader(EventReader):
    """Jets of a nanoAOD file.

    Columns: `part_*` and `jet_*` as in JetClass, `event_index`, `jet_index`, the jet collection's
    own branches (`FatJet_*`) and the numbers of the event (`run`, `event`, ...).

    Args:
        root: the opened `Events` tree.
        collection: name of the jet collection; if None the only one with links, or FatJet.
    """

    format = "nanoAOD"

    def __init__(self, root: Any, collection: str | None = None) -> None:
        names = set(root.columns)
        linked = links(root.columns)
        if collection is None:
            collection = "FatJet" if "FatJet" in linked or not linked else next(iter(linked))
            if "FatJet" not in linked and len(linked) > 1:
                raise InputError(
                    f"links candidates to several jet collections: {', '.join(linked)}",
                    where=root.path,
                    hint="Say which one (`--collection`)",
                )
        elif linked and collection not in linked:
            raise unknown("jet collection", collection, linked, where=root.path)
        self.collection = self._jets = jets = collection
        self._table, self._index = linked.get(jets, ("PFCands", f"{jets}PFCands_pFCandsIdx"))
        self._owner = f"{jets}{self._table}_jetIdx"
        kinematics = [f"{c}_{k}" for c in (self._table, jets) for k in ("pt", "eta", "phi", "mass")]
        require([self._index, self._owner, *kinematics], root.columns, root.path)
        with guarded(root.path, self.format):
            counts = root.sizes(f"n{jets}" if f"n{jets}" in names else f"{jets}_pt")
        super().__init__(root, counts)
        self._root = root
        self._own = tuple(n for n in root.columns if n.startswith(f"{jets}_"))
        self._scalars = tuple(n for n in ("run", "luminosityBlock", "event") if n in names)
        particles = [
            n
            for n in PARTICLES
            if n not in TRACK_BRANCHES or f"{self._table}_{TRACK_BRANCHES[n][0]}" in names
            if not (n.startswith("part_is") and f"{self._table}_pdgId" not in names)
            if n != "part_charge" or {f"{self._table}_{k}" for k in ("charge", "pdgId")} & names
        ]
        if f"{self._table}_puppiWeight" in names:
            particles.append("part_puppi")
        self._extra = {
            f"jet_{new}": f"{jets}_{old}"
            for new, old in (("sdmass", "msoftdrop"), *((f"tau{i}",) * 2 for i in (1, 2, 3, 4)))
            if f"{jets}_{old}" in names
        }
        self.columns = (*particles, *JETS, *self._extra, *ORIGIN, *self._own, *self._scalars)

    def branches(self, columns: Sequence[str]) -> list[str]:
        """The branches of the file that these columns are made of."""
        jets, table = self._jets, self._table
        branches = {f"{jets}_{k}" for k in ("pt", "eta", "phi", "mass")}
        if _of_particles(columns):
            branches |= {self._index, self._owner}
            branches |= {f"{table}_{k}" for k in ("pt", "eta", "phi", "mass")}
        branches |= {f"{table}_{TRACK_BRANCHES[n][0]}" for n in columns if n in TRACK_BRANCHES}
        branches |= {f"{table}_pdgId" for n in columns if n.startswith("part_is")}
        branches |= {f"{table}_puppiWeight" for n in columns if n == "part_puppi"}
        charged = f"{table}_charge" in self._root.columns
        branches |= {
            f"{table}_{'charge' if charged else 'pdgId'}" for n in columns if n == "part_charge"
        }
        branches |= {self._extra[n] for n in columns if n in self._extra}
        branches |= {n for n in columns if n in self._own or n in self._scalars}
        return sorted(branches)

    def _rows(self, columns: list[str], first: int, last: int) -> dict[str, Any]:
        jets = self._jets
        events = self._root.arrays(self.branches(columns), first, last)
        counts = np.diff(self._offsets[first : last + 1])
        out: dict[str, Any] = dict(self._origin(first, last))
        for name in columns:
            source = self._extra.get(name, name)
            if source in self._own:
                out[name] = plain(ak.flatten(events[source]))
            elif name in self._scalars:
                out[name] = np.repeat(np.asarray(events[name]), counts)
        pt, eta, phi, mass = (
            ak.to_numpy(ak.flatten(events[f"{jets}_{k}"])).astype(np.float64)
            for k in ("pt", "eta", "phi", "mass")
        )
        energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
        for name, values in zip(JETS, (pt, eta, phi, energy), strict=False):
            out[name] = values.astype(np.float32)
        if _of_particles(columns):
            out |= self._constituents(events, columns, counts, first)
        return {name: out[name] for name in columns}

    def _constituents(
        self, events: dict[str, ak.Array], columns: list[str], counts: Any, first: int
    ) -> dict[str, Any]:
        candidates = ak.to_numpy(ak.num(events[f"{self._table}_pt"]))
        start = np.concatenate([[0], np.cumsum(candidates)])[:-1]
        jet_start = np.concatenate([[0], np.cumsum(counts)])[:-1]
        links = ak.to_numpy(ak.num(events[self._index]))
        event = np.repeat(np.arange(len(links)), links)
        index = ak.to_numpy(ak.flatten(events[self._index])).astype(np.int64)
        owner = ak.to_numpy(ak.flatten(events[self._owner])).astype(np.int64)
        used = owner >= 0
        event, index, owner = event[used], index[used], owner[used]
        wrong = (index < 0) | (index >= candidates[event]) | (owner >= counts[event])
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"event {first + event[at]} links candidate {index[at]} to jet {owner[at]}, but "
                f"has {candidates[event[at]]} candidates and {counts[event[at]]} jets",
                where=self.path,
            )
        chosen = start[event] + index

        def candidate(key: str) -> Any:
            flat = ak.to_numpy(ak.flatten(events[f"{self._table}_{key}"]))
            return flat[chosen].astype(np.float64)

        charged = f"{self._table}_charge" in events
        jet_of = jet_start[event] + owner
        return constituents(candidate, columns, jet_of, int(np.sum(counts)), charged)


def _of_particles(columns: Sequence[str]) -> bool:
    return any(name.startswith("part_") or name == "jet_nparticles" for name in columns)


def constituents(
    candidate: Callable[[str], NDArray[np.float64]], columns: Sequence[str],
    jet_of: NDArray[np.int64], jets: int, charged: bool,
) -> dict[str, Any]:  # fmt: skip
    """Columns of particles, as lists per jet, from nanoAOD's quantities of candidates.

    Args:
        candidate: nanoAOD's name of a quantity -> its values [S].
        columns: the columns that are needed beside the momenta.
        jet_of: [S] row of the jet of each candidate.
        jets: number of jets.
        charged: the candidates have a charge; else it is that of their PDG code.
    """
    flat: dict[str, Any] = {key: candidate(key) for key in ("pt", "eta", "phi", "mass")}
    for name, (key, factor) in TRACK_BRANCHES.items():
        if name in columns:
            # Candidates without a track carry -1 as the error.
            values = candidate(key)
            flat[name] = np.where(values < 0, 0.0, values) if key.endswith("Err") else values
            flat[name] = flat[name] * factor
    if "part_puppi" in columns:
        flat["part_puppi"] = candidate("puppiWeight")
    if "part_charge" in columns:
        if charged:
            flat["part_charge"] = candidate("charge")
        else:  # nanoAOD's own table of candidates has no charge
            flat["part_charge"] = charge(candidate("pdgId").astype(np.int64))
    if any(name.startswith("part_is") for name in columns):
        flat |= identity(candidate("pdgId").astype(np.int64))
    out: dict[str, Any] = assemble(jet_of, jets, flat)
    out["jet_nparticles"] = np.bincount(jet_of, minlength=jets).astype(np.float32)
    return out
