"""Files with one entry per event: their jets, with constituents found through links.

The common part of nanoAOD and Delphes: rows are jets in the order (event, jet of the event), with
the columns `event_index` and `jet_index`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError
from sciml.jets.data.columns import IDENTITY, JET_MOMENTUM, MOMENTUM, TRACK
from sciml.jets.data.readers.base import Reader, guarded

PARTICLES = (*MOMENTUM, *TRACK, *IDENTITY)
JETS = (*JET_MOMENTUM, "jet_nparticles")
ORIGIN = ("event_index", "jet_index")


class EventReader(Reader):
    """Jets of a file of events.

    Args:
        inner: the reader whose rows are the events.
        counts: jets of each event.
    """

    def __init__(self, inner: Reader, counts: NDArray[np.int64]) -> None:
        self.path, self._inner = inner.path, inner
        if (counts < 0).any():
            raise InputError("is damaged: it has a negative number of jets", where=self.path)
        self._offsets = np.concatenate([[0], np.cumsum(counts.astype(np.int64))])

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @abstractmethod
    def _rows(self, columns: list[str], first: int, last: int) -> dict[str, Any]:
        """Columns of all jets of the events first .. last - 1."""

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        event = int(np.searchsorted(self._offsets, start, side="right")) - 1
        while event < len(self._offsets) - 1 and self._offsets[event] < stop:
            reach = self._offsets[event] + step
            last = max(event + 1, int(np.searchsorted(self._offsets, reach, side="right")) - 1)
            last = min(last, event + step)
            base = int(self._offsets[event])
            block = self._rows(columns, event, last)
            low, high = max(start, base), min(stop, int(self._offsets[last]))
            for row in range(low, high, step):
                part = slice(row - base, min(row + step, high) - base)
                yield {name: column[part] for name, column in block.items()}
            event = last

    def _origin(self, first: int, last: int) -> dict[str, NDArray[np.int64]]:
        counts = np.diff(self._offsets[first : last + 1])
        event = np.repeat(np.arange(first, last), counts)
        return {
            "event_index": event,
            "jet_index": np.arange(len(event))
            + self._offsets[first]
            - np.repeat(self._offsets[first:last], counts),
        }

    def empty(self, columns: list[str]) -> ak.Array:
        """See `Reader`."""
        if not len(self._offsets) - 1:
            return super().empty(columns)
        with guarded(self.path, self.format):
            rows = self._rows(columns, 0, 1)
        return ak.Array({name: ak.Array(values)[:0] for name, values in rows.items()})

    def close(self) -> None:
        """Close the file."""
        self._inner.close()


def assemble(
    jet_of: NDArray[np.int64], jets: int, columns: dict[str, NDArray[Any]]
) -> dict[str, ak.Array]:
    """Flat constituents to lists per jet, sorted by falling pT.

    Args:
        jet_of: row of the jet of each constituent.
        jets: number of jets.
        columns: pt, eta, phi, mass and further ones named `part_*`.
    """
    pt, eta = columns.pop("pt"), columns.pop("eta")
    phi, mass = columns.pop("phi"), columns.pop("mass")
    columns["part_px"], columns["part_py"] = pt * np.cos(phi), pt * np.sin(phi)
    with np.errstate(over="ignore", invalid="ignore"):
        # A candidate without momentum has no direction: Delphes gives it the eta 999.9.
        pz = np.where(pt == 0, 0.0, pt * np.sinh(eta))
    columns["part_pz"] = pz
    columns["part_energy"] = np.sqrt(pt**2 + pz**2 + mass**2)
    order = np.lexsort((-pt, jet_of))
    counts = np.bincount(jet_of, minlength=jets)
    return {
        name: ak.unflatten(np.asarray(values)[order].astype(np.float32), counts)
        for name, values in columns.items()
    }


def identity(pid: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The five identity flags from PDG codes (0, 1, 2, 130: neutral hadron; 1, 2: forward)."""
    code = np.abs(pid)
    neutral = np.isin(code, (0, 1, 130, 310, 2112, 3122))
    electron, muon, photon = code == 11, code == 13, (code == 22) | (code == 2)
    return {
        "part_isChargedHadron": ~(neutral | electron | muon | photon),
        "part_isNeutralHadron": neutral,
        "part_isPhoton": photon,
        "part_isElectron": electron,
        "part_isMuon": muon,
    }


def charge(pid: NDArray[Any]) -> NDArray[np.int64]:
    """Charge from PDG codes of long-lived particles: hadrons 211, 321, 2212, leptons 11, 13."""
    code = np.abs(pid)
    hadron, lepton = np.isin(code, (211, 321, 2212)), np.isin(code, (11, 13))
    return np.sign(pid) * (hadron.astype(int) - lepton.astype(int))
