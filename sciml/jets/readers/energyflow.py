"""Quark and gluon jets of the energyflow package (npz): pT, rapidity, azimuth, PDG code.

The arrays in an npz are compressed as a stream; they are read row by row, never as a whole.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError
from sciml.jets.readers.base import Reader, guarded
from sciml.jets.readers.events import PARTICLES, charge, identity

MASSES = {
    11: 0.000511, 13: 0.10566, 22: 0.0, 130: 0.49761, 211: 0.13957, 310: 0.49761, 321: 0.49368,
    2112: 0.93957, 2212: 0.93827,
}  # fmt: skip
"""Masses [GeV] of the codes that occur."""
LIMIT = 1 << 33
"""Largest array [bytes]: a damaged header must not promise more."""


class EnergyFlowReader(Reader):
    """X [jets, particles, 4], zero-padded, and y [jets]: 1 quark, 0 gluon."""

    format = "npz"

    def __init__(self, path: Path) -> None:
        self.path = path
        with guarded(path, self.format):
            self._archive = zipfile.ZipFile(path)
            members = self._archive.namelist()
            if "X.npy" not in members:
                raise InputError(
                    f"holds no array X, but {', '.join(members[:6]) or 'nothing'}", where=path
                )
            with self._archive.open("X.npy") as stream:
                self._shape, self._dtype = _header(stream)
            if len(self._shape) != 3 or self._shape[2] < 3:
                raise ValueError(f"X has shape {self._shape}")
            self._labels: NDArray[Any] | None = None
            if "y.npy" in members:
                with self._archive.open("y.npy") as stream:
                    shape, dtype = _header(stream)
                    self._labels = np.frombuffer(stream.read(shape[0] * dtype.itemsize), dtype)
                if len(self._labels) != self._shape[0]:
                    raise ValueError(f"{self._shape[0]} jets and {len(self._labels)} labels")
        known = self._shape[2] > 3
        trackless = [n for n in PARTICLES if "_d0" not in n and "_dz" not in n]
        particles = trackless if known else trackless[:4]
        labels = ("label_quark", "label_gluon") if self._labels is not None else ()
        self.columns = (*particles, "jet_nparticles", *labels)

    def __len__(self) -> int:
        return int(self._shape[0])

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        row_bytes = int(np.prod(self._shape[1:])) * self._dtype.itemsize
        with self._archive.open("X.npy") as stream:
            _header(stream)
            left = start * row_bytes
            while left > 0:
                skipped = len(stream.read(min(left, 1 << 22)))
                if not skipped:
                    raise EOFError("the array X ends early")
                left -= skipped
            for first in range(start, stop, step):
                rows = min(step, stop - first)
                data = stream.read(rows * row_bytes)
                if len(data) < rows * row_bytes:
                    raise EOFError("the array X ends early")
                block = np.frombuffer(data, self._dtype).reshape(rows, *self._shape[1:])
                yield self._convert(block, columns, first)

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


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array in .npy format; refuses pickled objects and absurd sizes."""
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(stream)
    if dtype.hasobject or fortran or not np.issubdtype(dtype, np.number):
        raise ValueError(f"an array of {dtype}, order {'F' if fortran else 'C'}")
    if any(n < 0 for n in shape) or np.prod(shape, dtype=float) * dtype.itemsize > LIMIT:
        raise ValueError(f"an array of shape {shape}")
    return shape, dtype
