"""Delphes files: jets and the particle-flow candidates that their references point to."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError, unknown
from sciml.jets.data.columns import TRACK
from sciml.jets.data.readers.base import guarded
from sciml.jets.data.readers.events import JETS, ORIGIN, PARTICLES, EventReader, assemble, identity
from sciml.jets.data.readers.root import RootReader

COLLECTIONS = ("FatJet", "JetPUPPIAK8", "JetAK8", "Jet")
"""Jet collections, the preferred ones first."""
_FLOW = ("EFlowTrack", "EFlowPhoton", "EFlowNeutralHadron")


class DelphesReader(EventReader):
    """Jets of a Delphes file, one of its jet collections.

    Args:
        root: the opened `Delphes` tree.
        collection: name of the jet collection; the first of `COLLECTIONS` in the file if None.
    """

    format = "Delphes"

    def __init__(self, root: RootReader, collection: str | None = None) -> None:
        names = set(root.columns)
        keys = set(root._tree.keys(recursive=True))
        able = sorted(n for n in names if f"{n}/{n}.Constituents" in keys and n != "Vertex")
        if collection is None:
            collection = next((name for name in (*COLLECTIONS, *able) if name in able), None)
        if collection is None:
            raise InputError("holds no jets with constituents", where=root.path)
        if collection not in able:
            raise unknown("jet collection", collection, able, where=root.path)
        self._jets = collection
        flow = ["ParticleFlowCandidate"] if "ParticleFlowCandidate" in names else list(_FLOW)
        self._flow = [name for name in flow if name in names]
        if not self._flow:
            raise InputError("holds no particle-flow candidates", where=root.path)
        with guarded(root.path, self.format):
            counts = root.sizes(f"{collection}_size")
        super().__init__(root, counts)
        self._root, self._keys = root, keys
        taus = [f"jet_tau{i}" for i in (1, 2, 3, 4)] if self._has("Tau[5]") else []
        groomed = ["jet_sdmass"] if self._has("SoftDroppedP4[5]") else []
        self.columns = (*PARTICLES, *JETS, *groomed, *taus, *ORIGIN)

    def _has(self, leaf: str) -> bool:
        return f"{self._jets}/{self._jets}.{leaf}" in self._keys

    def _read(self, name: str, leaf: str, first: int, last: int) -> ak.Array:
        return self._root._tree[f"{name}/{name}.{leaf}"].array(entry_start=first, entry_stop=last)

    def _rows(self, columns: list[str], first: int, last: int) -> dict[str, Any]:
        out: dict[str, Any] = dict(self._origin(first, last))
        jets = self._jets

        def jet(leaf: str) -> NDArray[np.float64]:
            return ak.to_numpy(ak.flatten(self._read(jets, leaf, first, last))).astype(np.float64)

        pt, eta, phi, mass = (jet(leaf) for leaf in ("PT", "Eta", "Phi", "Mass"))
        energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
        for name, values in zip(JETS, (pt, eta, phi, energy), strict=False):
            out[name] = values.astype(np.float32)
        if any(name.startswith("jet_tau") for name in columns):
            taus = ak.to_numpy(ak.flatten(self._read(jets, "Tau[5]", first, last)))
            out |= {f"jet_tau{i + 1}": taus[:, i].astype(np.float32) for i in range(4)}
        if "jet_sdmass" in columns:
            p4 = ak.flatten(self._read(jets, "SoftDroppedP4[5]", first, last))[:, 0]
            square = p4.fE**2 - p4.fP.fX**2 - p4.fP.fY**2 - p4.fP.fZ**2
            out["jet_sdmass"] = np.sqrt(np.maximum(ak.to_numpy(square), 0)).astype(np.float32)
        if any(name.startswith("part_") or name == "jet_nparticles" for name in columns):
            out |= self._constituents(first, last, len(pt))
        return {name: out[name] for name in columns}

    def _constituents(self, first: int, last: int, jets: int) -> dict[str, Any]:
        references = self._read(self._jets, "Constituents", first, last).refs
        counts = [ak.to_list(ak.num(event)) for event in references]
        numbers = [ak.to_numpy(ak.flatten(event)).astype(np.int64) for event in references]
        flow = self._candidates(first, last)
        jet_of, chosen, base, row = [], [], 0, 0
        for event, sought in enumerate(numbers):
            identifiers = ak.to_numpy(flow["id"][event]).astype(np.int64)
            order = np.argsort(identifiers, kind="stable")
            position = np.searchsorted(identifiers[order], sought)
            inside = position < len(order)
            exists = np.zeros(len(sought), bool)
            exists[inside] = identifiers[order[position[inside]]] == sought[inside]
            owner = row + np.repeat(np.arange(len(counts[event])), counts[event])
            jet_of.append(owner[exists])
            chosen.append(base + order[position[exists]])
            base += len(identifiers)
            row += len(counts[event])
        index = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
        owners = np.concatenate(jet_of) if jet_of else np.zeros(0, np.int64)
        flat = {
            key: ak.to_numpy(ak.flatten(flow[key]))[index].astype(np.float64)
            for key in ("pt", "eta", "phi", "mass", "charge", "d0", "d0e", "dz", "dze", "pid")
        }
        pid = flat.pop("pid").astype(np.int64)
        for new, old in zip(TRACK, ("d0", "d0e", "dz", "dze"), strict=True):
            flat[new] = flat.pop(old)
        flat["part_charge"] = flat.pop("charge")
        out: dict[str, Any] = assemble(owners, jets, flat | identity(pid))
        out["jet_nparticles"] = np.bincount(owners, minlength=jets).astype(np.float32)
        return out

    def _candidates(self, first: int, last: int) -> dict[str, ak.Array]:
        """All candidates of each event; several collections follow each other."""
        leaves = {
            "id": "fUniqueID",
            "pt": "PT",
            "eta": "Eta",
            "phi": "Phi",
            "mass": "Mass",
            "charge": "Charge",
            "d0": "D0",
            "d0e": "ErrorD0",
            "dz": "DZ",
            "dze": "ErrorDZ",
            "pid": "PID",
        }
        parts: dict[str, list[ak.Array]] = {key: [] for key in leaves}
        for name in self._flow:
            identifiers = self._read(name, "fUniqueID", first, last)
            for key, leaf in leaves.items():
                if name != "EFlowTrack" and key == "pt" and f"{name}/{name}.PT" not in self._keys:
                    leaf = "ET"
                if f"{name}/{name}.{leaf}" in self._keys:
                    parts[key].append(self._read(name, leaf, first, last))
                else:  # towers have neither charge nor track; the collection names the photons
                    code = 22 if key == "pid" and name == "EFlowPhoton" else 0
                    parts[key].append(ak.full_like(identifiers, code, dtype=np.float64))
        return {
            key: ak.concatenate(values, axis=1) if len(values) > 1 else values[0]
            for key, values in parts.items()
        }
