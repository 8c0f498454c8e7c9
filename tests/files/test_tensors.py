"""Safetensors files: canonical bytes, checked headers."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sciml.errors import InputError
from sciml.files import tensors

SOME = {
    "b": torch.arange(6.0).reshape(2, 3),
    "a": torch.tensor(3, dtype=torch.int64),
    "h": torch.randn(3, 1).bfloat16(),
    "none": torch.zeros(0, 4),
    "flag": torch.tensor([True, False, True]),
}


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    digest = tensors.write(path, SOME, {"z": "\n\u00e9\U0001f600", "a": "1"})
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    for loaded in (load_file(path), tensors.read(path)[0]):
        assert loaded.keys() == SOME.keys()
        assert all(
            torch.equal(loaded[k], v) and loaded[k].dtype == v.dtype for k, v in SOME.items()
        )
    with safe_open(str(path), "pt") as file:
        notes = file.metadata()
    assert len(notes.pop(tensors.SEAL)) == 64
    assert notes == {"z": "\n\u00e9\U0001f600", "a": "1"} == tensors.read(path)[1]


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(SOME, path, {"k": "v"})
    loaded, metadata = tensors.read(path)
    assert metadata == {"k": "v"} and all(torch.equal(loaded[k], v) for k, v in SOME.items())


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    notes = {f"key{i}": str(i) for i in range(20)}
    one = tensors.write(tmp_path / "1.safetensors", SOME, notes)
    other = tensors.write(
        tmp_path / "2.safetensors", dict(reversed(SOME.items())), dict(reversed(notes.items()))
    )
    assert one == other
    assert one != tensors.write(tmp_path / "3.safetensors", SOME | {"a": torch.tensor(4)}, notes)


def test_views_and_tied_tensors_are_written_apart(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors.write(tmp_path / "x.safetensors", {"t": base.T, "u": base, "v": base[1:]})
    loaded, _ = tensors.read(tmp_path / "x.safetensors")
    assert torch.equal(loaded["t"], base.T) and torch.equal(loaded["v"], base[1:])


@pytest.mark.parametrize("bad", [torch.zeros(2, dtype=torch.complex64), torch.eye(3).to_sparse()])
def test_other_tensors_are_refused(bad: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tensor of"):
        tensors.write(tmp_path / "x.safetensors", {"x": bad})
    assert not list(tmp_path.iterdir())


def _file(path: Path, header: object, data: bytes = b"\0" * 8) -> Path:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def _x(**changed: object) -> dict[str, object]:
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changed}}


@pytest.mark.parametrize(
    "header",
    [
        _x(shape=[10**12]), _x(shape=[10**9, 10**9]), _x(shape=[-2]), _x(shape=[2.0]),
        _x(shape=[True, 2]), _x(shape="2"), _x(shape=[1] * 99 + [2]), _x(dtype="C64"),
        _x(dtype=["F32"] * 2), _x(data_offsets=[0, 4]), _x(data_offsets=[8, 16]),
        _x(data_offsets=[-8, 0]),
        _x(data_offsets=None), {"x": []}, [], 3, None, b"", b"{", b"[" * 100_000, b"\xff\xfe",
        {**_x(), "y": _x()["x"]}, {**_x(), "__metadata__": {"a": 1}}, {"__metadata__": [1]} | _x(),
        b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    ],
    ids=lambda header: str(header)[:40],
)  # fmt: skip
def test_headers_that_lie(header: object, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        tensors.read(_file(tmp_path / "x.safetensors", header))


def test_lengths_that_lie(tmp_path: Path) -> None:
    for content in (b"", b"\xff" * 8, b"\xff" * 64, (1 << 40).to_bytes(8, "little") + b"{}"):
        (tmp_path / "x.safetensors").write_bytes(content)
        with pytest.raises(InputError, match="readable safetensors"):
            tensors.header(tmp_path / "x.safetensors")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_is_an_error_or_nothing(place: float, byte: int, cut: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors.write(path, SOME, {"kind": "test"})
    raw = bytearray(path.read_bytes())
    at = int(place * len(raw))
    if cut:
        del raw[at:]
    else:
        raw[at] = byte
    path.write_bytes(raw)
    try:
        loaded, notes = tensors.read(path)
    except InputError as error:
        assert "x.safetensors" in str(error)
    else:  # the byte was the same, or white space, or in the name of the digest
        assert not cut and notes["kind"] == "test" and loaded.keys() == SOME.keys()
        assert all(torch.equal(loaded[name], value) for name, value in SOME.items())
