"""Jets in ROOT files: a TTree or an RNTuple with one entry a jet, as JetClass has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sciml.errors import InputError, unknown
from sciml.jets.readers.base import Reader, guarded, plain

PREFERRED = ("tree", "Events", "Delphes", "deepntuplizer/tree", "events", "Events;1")


class RootReader(Reader):
    """One tree of a ROOT file.

    Args:
        path: the file.
        tree: name of the TTree or RNTuple; the only one, or the first of `PREFERRED`, if None.
    """

    format = "ROOT"

    def __init__(self, path: Path, tree: str | None = None) -> None:
        self.path = path
        with guarded(path, self.format):
            self._file, self._tree = open_tree(path, tree)
            self._entries = int(self._tree.num_entries)
            if not 0 <= self._entries < 1 << 40:
                raise ValueError(f"{self._entries} entries")
            self.columns = tuple(
                dict.fromkeys(name.split("/")[0] for name in self._tree.keys(recursive=False))
            )

    def __len__(self) -> int:
        return self._entries

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        for array in self._tree.iterate(
            columns, step_size=step, entry_start=start, entry_stop=stop, library="ak"
        ):
            yield {name: plain(array[name]) for name in columns}

    def close(self) -> None:
        self._file.close()


def open_tree(path: Path, tree: str | None) -> tuple[Any, Any]:
    """The open file and one of its TTrees or RNTuples.

    Raises:
        InputError: there is no such tree, none at all, or several and none of them preferred.
    """
    import uproot

    # Mapped, not fetched by threads: faster for local files, and nothing is left behind by errors.
    file = uproot.open(path, handler=uproot.MemmapSource)
    try:
        return file, _tree(file, path, tree)
    except BaseException:
        file.close()
        raise


def _tree(file: Any, path: Path, tree: str | None) -> Any:
    kinds = file.classnames(recursive=True, cycle=False)
    trees = [name for name, kind in kinds.items() if kind == "TTree" or "RNTuple" in kind]
    if not trees:
        raise InputError("holds no TTree and no RNTuple", where=path)
    if tree is None:
        preferred = [name for name in PREFERRED if name in trees]
        if not preferred and len(trees) > 1:
            raise InputError(
                f"holds several trees: {', '.join(trees)}", where=path, hint="Say which one"
            )
        tree = (preferred or trees)[0]
    elif tree not in trees:
        raise unknown("tree", tree, trees, where=path)
    return file[tree]
