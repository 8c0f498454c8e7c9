"""Safetensors files: the header is checked against the bytes, equal tensors make equal files.

The format is a length (8 bytes, little-endian), a JSON header of that length, then the tensors'
bytes without gaps (github.com/huggingface/safetensors, "Format"). The library's own writer orders
the metadata at random, so that two equal models have different digests; here the header has one
canonical form. Reading goes through the library, after the header's claims were compared with what
the file holds. A file that was written here carries a digest of its content, so that a changed bit
is noticed wherever the file is read.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.paths import atomic_write, existing_file

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""Types of tensors that are read and written."""
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
SEAL = "sha256"
"""Entry of the metadata with the digest of everything else in the file."""
MAX_HEADER = 1 << 24
"""Longest header [bytes]: 100,000 tensors and their description fit."""


@dataclass(frozen=True)
class Entry:
    """A tensor in a file, by its header alone."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Write tensors atomically; equal tensors and metadata give equal bytes.

    Args:
        path: the file.
        tensors: by name, on any device; those that share memory are written apart.
        metadata: text for the header.

    Returns:
        the sha256 of the file, in hex.

    Raises:
        InputError: the file cannot be written (a full disk, a missing right), or a tensor is of
            a type that `DTYPES` lacks.
    """
    entries: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES or tensor.layout != torch.strided:
            raise InputError(f"{name!r} is a {tensor.layout} tensor of {tensor.dtype}", where=path)
    # Wide types first, so that every tensor starts at a multiple of its width.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    start = 0
    for name in order:
        tensor = tensors[name]
        stop = start + tensor.numel() * tensor.dtype.itemsize
        entries[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    notes = {k: v for k, v in sorted((metadata or {}).items()) if k != SEAL}
    seal = _seal(notes, entries)
    for name in order:
        seal.update(_bytes(tensors[name]))
    content = {"__metadata__": notes | {SEAL: seal.hexdigest()}, **entries}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    try:
        with atomic_write(path) as part, open(part, "wb") as file:
            for piece in (len(text).to_bytes(8, "little"), text):
                file.write(piece)
                digest.update(piece)
            for name in order:
                data = _bytes(tensors[name])
                file.write(data)
                digest.update(data)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", where=path) from error
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> Any:
    """The bytes of a tensor, copied only where they do not lie in order on the CPU."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _seal(metadata: Mapping[str, str], entries: Mapping[str, Any]) -> Any:
    """The digest of a header, to go on with the tensors' bytes."""
    text = json.dumps([metadata, entries], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode())


def header(path: str | os.PathLike[str]) -> tuple[dict[str, Entry], dict[str, str]]:
    """(tensors by name, metadata) of a file, without reading a tensor.

    Raises:
        InputError: no such file, or its header is none or claims other bytes than there are.
    """
    path = existing_file(path, "safetensors file")
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 10 or length > min(size - 8, MAX_HEADER):
                raise _damaged(path, f"its {size} bytes cannot hold a header of {length}")
            content = json.loads(file.read(length), object_pairs_hook=_once)
    except (ValueError, RecursionError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(path, f"its header is no JSON: {str(error)[:120]}") from None
    if not isinstance(content, dict):
        raise _damaged(path, "its header is no mapping")
    metadata = content.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _damaged(path, "its metadata is no mapping from text to text")
    entries: dict[str, Entry] = {}
    spans = []
    for name, entry in content.items():
        entries[name], span = _entry(path, name, entry)
        spans.append(span)
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise _damaged(path, "its tensors overlap or leave gaps")
        end = stop
    if end != size - 8 - length:
        raise _damaged(
            path, f"its header promises {end} bytes of tensors, {size - 8 - length} are there"
        )
    return entries, metadata


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors by name, metadata), on the CPU.

    Raises:
        InputError: see `header`; or the content is not what was written (a file by another
            program carries no digest and is not checked for that).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    entries, metadata = header(path)
    if SEAL in metadata:
        _check_seal(Path(path), metadata.pop(SEAL), metadata)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(Path(path), str(error)) from None
    return {name: tensors[name] for name in entries}, metadata


def _check_seal(path: Path, expected: str, metadata: Mapping[str, str]) -> None:
    """Compare the digest in the metadata with the content of the file."""
    with open(path, "rb") as file:
        content = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        content.pop("__metadata__")
        seal = _seal(metadata, content)
        while piece := file.read(1 << 20):
            seal.update(piece)
    if seal.hexdigest() != expected:
        raise _damaged(path, "its content was changed after it was written (sha256 differs)")


def _entry(path: Path, name: str, entry: Any) -> tuple[Entry, tuple[int, int]]:
    """A tensor's entry in the header, and the bytes that are its."""
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _damaged(path, f"the entry of {name[:60]!r} lacks its type, shape or place") from None
    if str(dtype) not in DTYPES:
        raise InputError(
            f"{name[:60]!r} is of the type {str(dtype)[:20]}", where=path,
            hint=f"Weights are {', '.join(DTYPES)}",
        )  # fmt: skip
    numbers = [*shape, start, stop] if isinstance(shape, list) else [None]
    if len(numbers) > 34 or any(type(n) is not int or not 0 <= n < 1 << 63 for n in numbers):
        raise _damaged(path, f"the shape or place of {name[:60]!r} is not made of whole numbers")
    made = Entry(DTYPES[str(dtype)], tuple(shape))
    if stop - start != made.size:
        raise _damaged(
            path,
            f"{name[:60]!r} claims {made.size} bytes by its shape, {stop - start} by its place",
        )
    return made, (start, stop)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no name occurs twice."""
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a name occurs twice")
    return unique


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"is not a readable safetensors file: {why}", where=path)
