"""Quark and gluon jets of the energyflow package (npz): pT, rapidity, azimuth, PDG code."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError
from sciml.jets.data.readers.base import Reader, guarded
from sciml.jets.data.readers.events import PARTICLES, charge, identity
from sciml.jets.data.readers.index_sizes import check_zip
from sciml.jets.data.readers.npy import header, rows_of
from sciml.jets.data.remote import opened

MASSES = {
    11: 0.000511, 13: 0.10566, 22: 0.0, 130: 0.49761, 211: 0.13957, 310: 0.49761, 321: 0.49368,
    2112: 0.93957, 2212: 0.93827,
}  # fmt: skip
"""Masses [GeV] of the codes that occur."""


def open_npz(path: Path, arrays: bool = False) -> Reader:
    """The reader for what this npz holds: energyflow's X and y, or columns by name.

    Args:
        path: the file.
        arrays: columns by whatever name: a branch map says what they are.

    Raises:
        InputError: damaged, or neither.
    """
    with guarded(path, "npz"):
        archive = zipfile.ZipFile(opened(path))
        names = archive.namelist()
        check_zip(path, archive)
    if "part_px.npy" in names or arrays:
        from sciml.jets.data.readers.arrays import ArraysReader

        return ArraysReader(path, "npz", archive)
    return EnergyFlowReader(path, archive)


class EnergyFlowReader(Reader):
    """X [jets, particles, 4], zero-padded, and y [jets]: 1 quark, 0 gluon."""

    format = "npz"

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self._archive = path, archive
        with guarded(path, self.format):
            members = self._archive.namelist()
            if "X.npy" not in members:
                raise InputError(
                    f"holds no array X, but {', '.join(members[:6]) or 'nothing'}", where=path
                )
            with self._archive.open("X.npy") as stream:
                self._shape, _ = header(stream)
            if len(self._shape) != 3 or self._shape[2] < 3:
                raise ValueError(f"X has shape {self._shape}")
            self._labels: NDArray[Any] | None = None
            if "y.npy" in members:
                with self._archive.open("y.npy") as stream:
                    shape, dtype = header(stream)
                    self._labels = np.frombuffer(stream.read(shape[0] * dtype.itemsize), dtype)
                if len(self._labels) != self._shape[0]:
                    raise ValueError(f"{self._shape[0]} jets and {len(self._labels)} labels")
        has_pid = self._shape[2] > 3
        trackless = [n for n in PARTICLES if "_d0" not in n and "_dz" not in n]
        particles = trackless if has_pid else trackless[:4]
        labels = ("label_quark", "label_gluon") if self._labels is not None else ()
        self.columns = (*particles, "jet_nparticles", *labels)

    def __len__(self) -> int:
        return int(self._shape[0])

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        first = start
        for block in rows_of(self._archive, "X.npy", step, start, stop):
            yield self._convert(block, columns, first)
            first += len(block)

    def _convert(self, block: NDArray[Any], columns: list[str], first: int) -> dict[str, Any]:
        mask = block[..., 0] > 0
        counts = mask.sum(1)
        pt, y, phi = (block[..., k][mask].astype(np.float64) for k in range(3))
        flat: dict[str, Any] = {}
        mass: Any = 0.0
        if self._shape[2] > 3:
            pid = np.round(block[..., 3][mask]).astype(np.int64)
            mass = np.zeros(len(pid))
            for code, value in MASSES.items():
                mass[np.abs(pid) == code] = value
            flat |= identity(pid)
            flat["part_charge"] = charge(pid)
        mt = np.sqrt(pt**2 + mass**2)
        flat |= {
            "part_px": pt * np.cos(phi),
            "part_py": pt * np.sin(phi),
            "part_pz": mt * np.sinh(y),
            "part_energy": mt * np.cosh(y),
        }
        order = np.lexsort((-pt, np.repeat(np.arange(len(counts)), counts)))
        out: dict[str, Any] = {}
        for name in columns:
            if name in flat:
                out[name] = ak.unflatten(flat[name][order].astype(np.float32), counts)
            elif name == "jet_nparticles":
                out[name] = counts.astype(np.float32)
            elif self._labels is not None:
                quark = self._labels[first : first + len(counts)].astype(np.int32)
                out[name] = quark if name == "label_quark" else 1 - quark
        return out

    def close(self) -> None:
        self._archive.close()
