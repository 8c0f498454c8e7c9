"""Files that `torch.save` wrote: plain tensors and containers, no larger than the file.

torch's safe loader runs no code, but it trusts sizes: a tensor that claims more than its bytes is
filled up with new memory, and a few of the functions that it does call (bytearray, encode, sparse
tensors) allocate terabytes. So the pickle's instructions are checked first: only those that make
dense tensors pass. A zip file's members must be stored as they are, as torch
writes them.
"""

from __future__ import annotations

import argparse
import io
import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.paths import existing_file
from sciml.weights.loading import Watch

MAX_PICKLE = 1 << 22
"""Longest pickle [bytes]: a tensor takes some 200."""
_ALLOWED = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\.nn\.parameter Parameter|torch (Size|device)|builtins set|__builtin__ set"
    r"|torch(\.storage)? (Double|Float|Half|BFloat16|Long|Int|Short|Char|Byte|Bool|Untyped)Storage"
    r"|torch (float(16|32|64)|bfloat16|u?int(8|16|32|64)|bool)"
)
_SETTINGS = re.compile(r"argparse Namespace")
"""What holds the settings of an old checkpoint: an object with attributes and no code."""
_LEGACY = 4
"""Pickles at the start of a file from before torch 1.6: magic number, version, system, content."""


def read(
    path: str | os.PathLike[str],
    what: str = "file of weights",
    *,
    verify: bool = True,
    settings: bool = False,
) -> Any:
    """The content of a `torch.save` file, on the CPU; a zip file's tensors stay in it until used.

    Args:
        path: the file.
        what: the kind of file, for messages.
        verify: read a zip file to its end to compare checksums; not needed for sizes alone.
        settings: `argparse.Namespace` may be in it, too, as settings in old checkpoints are.

    Raises:
        InputError: no such file, a damaged one, or one with anything but dense tensors, numbers,
            text, lists and dictionaries.
    """
    path = existing_file(path, what)
    size = path.stat().st_size
    zipped = zipfile.is_zipfile(path)
    try:
        if zipped:
            _check_archive(path, size, verify, settings)
        else:
            with open(path, "rb") as file:
                if file.read(2) == b"PK":
                    raise InputError("is cut off: a zip file without its end")
                file.seek(0)
                for _ in range(_LEGACY):
                    _check_pickle(file, settings)
        safe: list[Any] = [argparse.Namespace] if settings else []
        watch = Watch(numbers=size, tensors=size, steps=size + 1000)
        with watch, torch.serialization.safe_globals(safe):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except InputError as error:
        if error.where is not None:
            raise
        raise InputError(error.what, where=path, hint=error.hint) from None
    except pickle.UnpicklingError as error:
        raise InputError(
            f"holds more than tensors and plain values ({_first(error)})",
            where=path,
            hint="Save its state dict alone, on a machine you trust it on",
        ) from None
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        raise InputError(
            f"is no {what} that can be read safely ({type(error).__name__}: {_first(error)})",
            where=path,
        ) from None


def state_dict(content: Any, keys: tuple[str, ...], where: object) -> dict[str, Tensor]:
    """The dictionary of tensors in a checkpoint, itself or under one of `keys`.

    Raises:
        InputError: there is none.
    """
    for key in keys:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    ):
        raise InputError("holds no state dict (a mapping from names to tensors)", where=where)
    return dict(content)


def _check_archive(path: Path, size: int, verify: bool, settings: bool) -> None:
    """Check that members are stored uncompressed, each once, no larger than the file."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise InputError("has compressed members, which torch does not write")
        if sum(member.file_size for member in members) > size:
            raise InputError("has members that are larger than the file")
        if len({member.filename for member in members}) < len(members):
            raise InputError("has two members of one name")
        pickles = [m for m in members if m.filename.endswith("data.pkl")]
        if len(pickles) != 1:
            raise InputError("is no file of torch.save: a zip file without its data.pkl")
        if verify:
            for member in members:  # reading to the end compares the checksum
                with archive.open(member) as file:
                    while file.read(1 << 20):
                        pass
        if pickles[0].file_size > MAX_PICKLE:
            raise InputError(f"holds a pickle of more than {MAX_PICKLE} bytes")
        _check_pickle(io.BytesIO(archive.read(pickles[0])), settings)


def _check_pickle(file: IO[bytes], settings: bool) -> None:
    """Check that the next pickle of a file calls only functions that make dense tensors."""
    start, at = file.tell(), 0
    for code, argument, position in pickletools.genops(file):
        at = position or 0
        if at - start > MAX_PICKLE:
            raise InputError(f"holds a pickle of more than {MAX_PICKLE} bytes")
        if code.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4") or (
            code.name == "GLOBAL"
            and not _ALLOWED.fullmatch(str(argument))
            and not (settings and _SETTINGS.fullmatch(str(argument)))
        ):
            named = str(argument or code.name).replace(" ", ".")[:80]
            raise InputError(
                f"holds more than tensors: it calls {named}, and only plain tensors, numbers, "
                "text and containers are read",
                hint="Save its state dict alone, on a machine you trust it on",
            )


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:120]
