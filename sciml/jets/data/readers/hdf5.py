"""Jets in HDF5: the top tagging reference set (pandas tables) and JetNet.

Nothing is unpickled: the column names that pandas stores as a pickle are looked for in its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError, load_extra
from sciml.jets.data.columns import JET_MOMENTUM, MOMENTUM, POSITION
from sciml.jets.data.readers.base import Reader, guarded
from sciml.jets.data.readers.index_sizes import check_hdf5
from sciml.jets.data.remote import opened

_NAME = re.compile(rb"(?:E|PX|PY|PZ)_\d+|truth(?:E|PX|PY|PZ)|is_signal_new|ttv")
_AXES = {"part_energy": "E", "part_px": "PX", "part_py": "PY", "part_pz": "PZ"}


def open_hdf5(path: Path, format: str | None, arrays: bool = False) -> Reader:
    """The reader for the content of an HDF5 file.

    Args:
        path: the file.
        format: which kind it is; recognised if None.
        arrays: its data sets as they are, whatever their names: a branch map says what they are.

    Raises:
        InputError: damaged, or of neither kind.
    """
    h5py = load_extra("h5py", "jets", "reading HDF5 files")
    with guarded(path, "HDF5"):
        file = h5py.File(opened(path), "r")
        names: list[str] = []
        file.visit(names.append)
        check_hdf5(path, file)
    if format in (None, "jetnet") and "particle_features" in file and not arrays:
        return JetNetReader(path, file)
    if "part_px" in file or arrays:
        from sciml.jets.data.readers.arrays import ArraysReader

        return ArraysReader(path, "HDF5", file)
    tables = [n for n in names if n.endswith("table") and isinstance(file[n], h5py.Dataset)]
    if format in (None, "top-tagging") and tables:
        return TopTaggingReader(path, file, tables[0])
    file.close()
    raise InputError(
        f"holds no pandas table (top tagging), particle_features (JetNet) or part_px, but "
        f"{', '.join(names[:8]) or 'nothing'}",
        where=path,
    )


class _Hdf5Reader(Reader):
    format = "HDF5"
    _file: Any
    _rows: int

    def __len__(self) -> int:
        return self._rows

    def close(self) -> None:
        self._file.close()


class TopTaggingReader(_Hdf5Reader):
    """The top tagging reference data set: 200 zero-padded four-momenta per jet."""

    def __init__(self, path: Path, file: Any, table: str) -> None:
        self.path, self._file = path, file
        with guarded(path, self.format):
            self._table = file[table]
            self._rows = int(self._table.shape[0])
            self._where: dict[str, tuple[str, int]] = {}
            for block in self._table.dtype.names or ():
                kind = self._table.attrs.get(f"{block}_kind")
                width = int(np.prod(self._table.dtype[block].shape, dtype=int))
                if kind is None or not block.startswith("values_block"):
                    continue
                names = [name.decode() for name in _NAME.findall(np.asarray(kind).tobytes())]
                if len(names) == width:
                    self._where |= {name: (block, k) for k, name in enumerate(names)}
        self._size = sum(name.startswith("E_") for name in self._where)
        needed = [f"{axis}_{i}" for axis in _AXES.values() for i in range(self._size)]
        if not self._size or any(name not in self._where for name in needed):
            raise InputError(
                "its table has no columns E_0, PX_0, PY_0, PZ_0, ... of the top tagging data set",
                where=path,
            )
        labels = ("label_QCD", "label_Tbqq") if "is_signal_new" in self._where else ()
        others = [n for n in self._where if not re.fullmatch(r"(E|P[XYZ])_\d+", n)]
        self.columns = (*_AXES, *labels, *others)

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        for first in range(start, stop, step):
            rows = self._table[first : min(first + step, stop)]

            def value(name: str, rows: Any = rows) -> NDArray[Any]:
                block, k = self._where[name]
                values = rows[block].reshape(len(rows), -1)[:, k]
                return values.astype(values.dtype.newbyteorder("="), copy=False)

            out: dict[str, Any] = {}
            padded = {
                name: np.stack([value(f"{axis}_{i}") for i in range(self._size)], axis=1)
                for name, axis in _AXES.items()
                if name in columns or name == "part_energy"
            }
            real = padded["part_energy"] != 0
            for name in columns:
                if name in padded:
                    out[name] = ak.unflatten(padded[name][real], real.sum(1))
                elif name == "label_Tbqq":
                    out[name] = value("is_signal_new").astype(np.int32)
                elif name == "label_QCD":
                    out[name] = 1 - value("is_signal_new").astype(np.int32)
                else:
                    out[name] = value(name)
            yield out


class JetNetReader(_Hdf5Reader):
    """JetNet: particles relative to their jet, massless; the jet's azimuth is not stored (0).

    A file is one kind of jet; its name (g, q, t, w, z, with 150 for 150 particles) gives labels.
    """

    _KINDS = {"g": "QCD", "q": "QCD", "t": "Tbqq", "w": "Wqq", "z": "Zqq"}

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self._file = path, file
        with guarded(path, self.format):
            self._particles, self._jets = file["particle_features"], file["jet_features"]
            self._rows = int(self._particles.shape[0])
            if self._particles.ndim != 3 or self._particles.shape[2] < 3:
                raise ValueError(f"particle_features of shape {self._particles.shape}")
            if self._jets.shape[0] != self._rows or self._jets.shape[1] < 3:
                raise ValueError(f"jet_features of shape {self._jets.shape}")
        kind = self._KINDS.get(re.sub(r"(30|150)$", "", path.stem))
        self._label = kind
        labels = ("label_QCD", "label_Zqq", "label_Wqq", "label_Tbqq") if kind else ()
        self.columns = (
            *MOMENTUM, *POSITION, *JET_MOMENTUM, "jet_nparticles", "jet_mass", *labels,
        )  # fmt: skip

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        for first in range(start, stop, step):
            block = self._particles[first : min(first + step, stop)].astype(np.float64)
            jets = self._jets[first : min(first + step, stop)].astype(np.float64)
            jet_pt, jet_eta, mass = jets[:, 0], jets[:, 1], jets[:, 2]
            mask = block[..., 3] > 0.5 if block.shape[2] > 3 else block[..., 2] != 0
            counts = mask.sum(1)
            of = np.repeat(np.arange(len(jets)), counts)
            eta_rel, phi, pt_rel = (block[..., k][mask] for k in range(3))
            pt, eta = pt_rel * jet_pt[of], eta_rel + jet_eta[of]
            flat = {
                "part_px": pt * np.cos(phi),
                "part_py": pt * np.sin(phi),
                "part_pz": pt * np.sinh(eta),
                "part_energy": pt * np.cosh(eta),
                "part_deta": eta_rel * np.where(jet_eta[of] < 0, -1, 1),
                "part_dphi": phi,
            }
            single = {
                "jet_pt": jet_pt,
                "jet_eta": jet_eta,
                "jet_phi": np.zeros(len(jets)),
                "jet_energy": np.sqrt((jet_pt * np.cosh(jet_eta)) ** 2 + mass**2),
                "jet_nparticles": counts,
                "jet_mass": mass,
            }
            out: dict[str, Any] = {}
            for name in columns:
                if name in flat:
                    out[name] = ak.unflatten(flat[name].astype(np.float32), counts)
                elif name in single:
                    out[name] = single[name].astype(np.float32)
                else:
                    out[name] = np.full(len(jets), int(name == f"label_{self._label}"), np.int32)
            yield out
