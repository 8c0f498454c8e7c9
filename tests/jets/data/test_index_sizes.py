"""A file of jets that unpacks to far more than it is: refused before it is unpacked."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from sciml.errors import InputError
from sciml.files import unpack
from sciml.jets.data.io import open_jets
from sciml.jets.data.sample import shipped

JETS, LONG = 2, 3_000_000


def root(path: Path) -> None:
    rows = ak.unflatten(np.zeros(JETS * LONG, np.float32), [LONG] * JETS)
    with uproot.recreate(path, compression=uproot.ZLIB(9)) as file:
        file["tree"] = {"part_px": rows, "part_py": rows, "part_pz": rows, "part_energy": rows}


def rntuple(path: Path) -> None:
    rows = ak.unflatten(np.zeros(JETS * LONG, np.float32), [LONG] * JETS)
    with uproot.recreate(path, compression=uproot.ZLIB(9)) as file:
        file.mkrntuple("tree", ak.Array({"part_px": rows, "part_py": rows}))


def parquet(path: Path) -> None:
    rows = pa.array([np.zeros(LONG, np.float32)] * JETS)
    pq.write_table(pa.table({f"part_{a}": rows for a in ("px", "py", "pz", "energy")}), path)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        many = dict(shape=(500_000, 30, 4), dtype="f4", chunks=(1000, 30, 4), compression="gzip")
        file.create_dataset("particle_features", **many)
        file.create_dataset("jet_features", data=np.zeros((500_000, 4), "f4"), compression="gzip")


def npz(path: Path) -> None:
    np.savez_compressed(path, X=np.zeros((40_000, 100, 4)), y=np.zeros(40_000))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (root, "a.root"),
        (rntuple, "b.root"),
        (parquet, "a.parquet"),
        (hdf5, "g.hdf5"),
        (npz, "a.npz"),
    ],
)
def test_bombs_are_refused(
    make: Callable[[Path], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    make(path)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(InputError, match=unpack.SETTING):
        with open_jets(path) as jets:
            next(iter(jets.iterate()))
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
    monkeypatch.setenv(unpack.SETTING, "4G")
    with open_jets(path) as jets:
        assert len(jets) > 0


def test_honest_files_pass() -> None:
    with open_jets(shipped("test")) as jets:
        assert len(jets) > 100
