"""Sources of jets that models take (paths, array, columns, open tree), as batches of jets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Unpack

from sciml.errors import InputError
from sciml.jets.data.io import OpenOptions, open_jets
from sciml.jets.data.readers.base import Reader
from sciml.jets.data.remote import RemoteFile

ACCEPTED = (
    "Give a path or several, an awkward record array, a mapping of columns, a TTree or RNTuple "
    "that uproot opened, or what open_jets gave"
)


def batches(
    events: Any,
    columns_of: Callable[[Sequence[str]], list[str]],
    *,
    keep: Sequence[str] = (),
    step: int,
    **options: Unpack[OpenOptions],
) -> Iterator[Any]:
    """Awkward arrays of at most `step` jets, in order; one without jets if there are none.

    Args:
        events: see the module.
        columns_of: available columns -> those to read.
        keep: further columns to read.
        step: jets at a time.
        options: of a file, see `sciml.jets.data.io.open_jets`.

    Raises:
        InputError: something else, or a missing column, though there were no jets at all.
    """
    with _reader(events, options) as reader:
        names = list(dict.fromkeys([*columns_of(reader.columns), *keep]))
        reader.require(names)
        seen = 0
        for array in reader.iterate(names, step=step):
            seen += len(array)
            yield array
        if not seen:
            yield reader.empty(names)


def _reader(events: Any, options: OpenOptions) -> AbstractContextManager[Any]:
    if isinstance(events, str | os.PathLike | RemoteFile) or _are_paths(events):
        return open_jets(events, **options)
    if isinstance(events, Reader):
        return nullcontext(events)
    if type(events).__module__.startswith("uproot."):
        return nullcontext(_tree(events, options.get("format"), options.get("collection")))
    import awkward as ak

    if isinstance(events, ak.Record):
        raise InputError("one jet was given, not an array of jets", hint="events[i : i + 1] is one")
    if isinstance(events, Mapping) and not isinstance(events, ak.Array):
        from sciml.jets.data.readers.base import record

        if not events:
            raise InputError("the mapping holds no columns")
        if bad := next((name for name in events if not isinstance(name, str)), None):
            raise InputError(f"names of columns must be text, got {bad!r}")
        try:
            events = record(dict(events))
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"the columns cannot be read as arrays ({reason})") from error
    from sciml.jets.data.nanoevents import reader_of

    if (reader := reader_of(events, options.get("collection"))) is not None:
        return nullcontext(reader)
    if not isinstance(events, ak.Array):
        kind = f"{type(events).__module__}.{type(events).__name__}".removeprefix("builtins.")
        raise InputError(f"events of the type {kind} cannot be read", hint=ACCEPTED)
    if not events.fields or events.ndim != 1 and not _jets_inside(events):
        raise InputError(f"the array holds {_type(events)}, not records of jets", hint=ACCEPTED)
    from sciml.jets.data.readers.nested import in_memory

    return nullcontext(in_memory(events))


def _are_paths(events: Any) -> bool:
    return (
        isinstance(events, list | tuple)
        and len(events) > 0
        and all(isinstance(path, str | os.PathLike | RemoteFile) for path in events)
    )


def _jets_inside(events: Any) -> bool:
    """Whether the array has a list of records per event."""
    return events.ndim == 2


def _type(events: Any) -> str:
    text = str(events.type)
    return text if len(text) <= 60 else text[:57] + "..."


def _tree(events: Any, format: str | None, collection: str | None) -> Any:
    """A reader of an open TTree or RNTuple."""
    from pathlib import Path

    import uproot

    from sciml.jets.data.io import open_root

    if not isinstance(events, uproot.TTree | uproot.behaviors.RNTuple.RNTuple):
        kind = type(events).__name__
        trees = [n for n, k in events.classnames().items() if k == "TTree" or "RNTuple" in k] if (
            hasattr(events, "classnames")
        ) else []  # fmt: skip
        raise InputError(
            f"an open {kind} is no tree",
            hint=f"Give one of its trees: {', '.join(trees)}" if trees else ACCEPTED,
        )
    path = Path(getattr(getattr(events, "file", None), "file_path", "tree"))
    return open_root(path, format, events, collection)
