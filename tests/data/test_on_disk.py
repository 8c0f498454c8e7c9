"""Arrays on disk are indexed like arrays, are made once, and leave nothing behind a failure."""

import errno
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sciml.data import on_disk
from sciml.data.on_disk import OnDisk, Spill, key_of, made_once, whole
from sciml.errors import InputError

COLUMNS = {"x": ("float32", (3,)), "n": ("int64", ())}


@pytest.fixture
def stored(tmp_path):
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    values.tofile(tmp_path / "x.bin")
    return values, OnDisk(tmp_path / "x.bin", "float32", (3,))


@pytest.mark.parametrize(
    "key",
    [0, 49, -1, np.int64(7), slice(3, 9), slice(40, 90), slice(9, 3), slice(None, None, 7),
     slice(None, None, -1), [4, 4, 1], np.array([49, 0]), np.zeros(0, np.int64),
     np.arange(50) % 2 == 0],
)  # fmt: skip
def test_indexed_like_an_array(stored, key):
    values, array = stored
    assert np.array_equal(array[key], values[key]) and array[key].dtype == values.dtype
    assert array.shape == values.shape and len(array) == 50


def test_out_of_range_and_shortened(stored):
    _, array = stored
    with pytest.raises(IndexError):
        array[50]
    with open(array.path, "r+b") as file:
        file.truncate(100)
    with pytest.raises(InputError, match="ended while it was read"):
        array[40]


def test_changing_what_was_read_leaves_the_file(stored):
    values, array = stored
    part = array[2:4]
    part += 1
    array[[2, 3]][:] = 0
    assert np.array_equal(array[2:4], values[2:4])


def test_sent_to_another_process(stored):
    values, array = stored
    assert np.array_equal(pickle.loads(pickle.dumps(array))[:], values)


@pytest.mark.parametrize("memory", [10**9, 100, 0])
def test_few_rows_stay_in_memory_and_many_are_made_once(tmp_path, memory):
    calls = []

    def fill(spill):
        calls.append(1)
        for i in range(5):
            spill.append({"x": np.full((4, 3), i), "n": np.array([i])})
            spill.append({"n": np.array([10 * i])})

    for _ in range(2):
        arrays = made_once(tmp_path, COLUMNS, {"a": 1}, fill, memory)
        assert np.asarray(arrays["x"])[:, 0].tolist() == np.repeat(np.arange(5), 4).tolist()
        assert arrays["n"].tolist() == [0, 0, 1, 10, 2, 20, 3, 30, 4, 40]
    on_disk = memory < 10**9
    assert len(calls) == (1 if on_disk else 2)
    assert isinstance(arrays["x"], OnDisk) == on_disk
    assert len(list(tmp_path.iterdir())) == on_disk


def test_one_process_of_a_group_fills_a_store(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    calls = []

    def fill(spill):
        calls.append(1)
        time.sleep(0.2)
        spill.append({"x": np.ones((4, 3)), "n": np.array([3])})

    with ThreadPoolExecutor(3) as pool:  # a lock belongs to an open file, so threads serve
        made = [pool.submit(made_once, tmp_path, COLUMNS, {"a": 1}, fill, 0) for _ in range(3)]
        assert all(one.result()["n"][0] == 3 for one in made)
    assert len(calls) == 1


def test_a_damaged_store_is_made_again(tmp_path, capsys):
    def fill(spill):
        spill.append({"x": np.ones((4, 3)), "n": np.array([3])})

    made_once(tmp_path, COLUMNS, {"a": 1}, fill, 0)
    folder = tmp_path / key_of({"a": 1})
    with open(folder / "x.bin", "ab") as file:
        file.write(b"1234")
    assert whole(folder, COLUMNS) is None and "is damaged" in capsys.readouterr().err
    assert len(made_once(tmp_path, COLUMNS, {"a": 1}, fill, 0)["x"]) == 4


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), Spill(tmp_path / "key", COLUMNS, 0) as spill:
        spill.append({"x": np.ones((4, 3))})
        assert list(tmp_path.iterdir())
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_arrays_of_an_npz_file_are_read_where_they_lie(tmp_path):
    path = tmp_path / "a.npz"
    random = np.random.default_rng(0)
    written: dict[str, np.ndarray] = {
        "bytes": random.integers(0, 256, 1001).astype(np.uint8),  # the next one begins anywhere
        "table": random.normal(size=(40, 3)),
        "empty": np.zeros(0, np.int64),
    }
    np.savez(path, allow_pickle=False, **written)
    arrays = on_disk.stored(path)
    assert list(arrays) == list(written)
    for name, values in written.items():
        assert np.array_equal(arrays[name], values) and arrays[name].dtype == values.dtype
        assert np.array_equal(pickle.loads(pickle.dumps(arrays[name]))[:], values)
    assert np.array_equal(arrays["table"][[7, 3]], written["table"][[7, 3]])

    content = bytearray(path.read_bytes())
    at = content.find(written["bytes"].tobytes()) + 500
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bytes.npy is damaged"):
        on_disk.stored(path)
    for kind in (np.savez_compressed, np.savez):
        kind(path, a=np.array(["text"]) if kind is np.savez else np.zeros(3))
        with pytest.raises(ValueError, match="a.npy is"):
            on_disk.stored(path)


def test_a_file_system_without_locks_is_packed_all_the_same(tmp_path, monkeypatch):
    import fcntl

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setenv("WORLD_SIZE", "2")
    rows: dict[str, np.ndarray] = {"x": np.ones((4, 3), np.float32), "n": np.arange(4)}
    arrays = made_once(tmp_path, COLUMNS, {"a": 1}, lambda spill: spill.append(rows), 0)
    assert isinstance(arrays["n"], OnDisk) and arrays["n"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("moment", ["while rows are added", "at the end"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, moment):
    class Full:
        """A file on a disk that takes a few bytes."""

        def __init__(self, file):
            self.file, self.fileno = file, file.fileno

        def _full(self, *_):
            raise OSError(errno.ENOSPC, "No space left on device")

        flush = _full

        def close(self):
            self.file.close()
            self._full()

        def write(self, content):
            return self._full() if moment == "while rows are added" else len(content)

    def fill(spill):
        for number in range(3):
            spill.append({"x": np.ones((4, 3), np.float32), "n": np.arange(4)})
            if spill._writer is not None and number == 0:
                files = spill._writer.files
                spill._writer.files = {name: Full(file) for name, file in files.items()}

    with pytest.raises(InputError, match="No space left.*Free disk space"):
        on_disk.made_once(tmp_path / "cache", COLUMNS, {"a": 1}, fill, 0)
    assert not list((tmp_path / "cache").iterdir())
