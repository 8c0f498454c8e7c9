"""Jets in ROOT files: a TTree or an RNTuple with one entry per jet, as JetClass has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError, load_extra, unknown
from sciml.jets.data.readers.base import Reader, guarded, lengths, plain
from sciml.jets.data.readers.index_sizes import check_root
from sciml.jets.data.readers.nested import Leaf, leaves
from sciml.jets.data.remote import opened

PREFERRED = ("tree", "Events", "Delphes", "deepntuplizer/tree", "events", "Events;1")
_OF_EVENTS = re.compile(r"vector<.*vector<|\[\].*\[\]|RVec<.*RVec<")
"""Types of particle columns whose rows are events: lists of lists."""


class RootReader(Reader):
    """One tree of a ROOT file.

    Fields of an RNTuple's structures become columns of nanoAOD's names: `FatJet.pt` is `FatJet_pt`.

    Args:
        path: the file.
        tree: name of the TTree or RNTuple, perhaps with its cycle (`tree;1`, the newest without);
            the only one, or the first of `PREFERRED`, if None. Or the TTree or RNTuple itself,
            which stays open.
    """

    format = "ROOT"

    def __init__(self, path: Path, tree: Any = None) -> None:
        self.path, self._file = path, None
        with guarded(path, self.format):
            if tree is None or isinstance(tree, str):
                self._file, self._tree = open_tree(path, tree)
            else:
                self._tree = tree
            self._entries = int(self._tree.num_entries)
            if not 0 <= self._entries < 1 << 40:
                raise ValueError(f"{self._entries} entries")
            names = dict.fromkeys(n.split("/")[0] for n in self._tree.keys(recursive=False))
            self._leaves = {name: Leaf(name) for name in names}
            if "RNTuple" in type(self._tree).__name__:
                self._leaves = leaves(self._tree.arrays(entry_stop=0))
            elif _OF_EVENTS.search(getattr(self._tree.get("part_px"), "typename", "")):
                self._leaves = leaves(self._tree.arrays(list(names), entry_stop=0))
            self.columns = tuple(self._leaves)
        linked = any(n in names for n in ("nFatJet", "nJet", "FatJet", "Jet"))
        if linked and "part_px" not in self._leaves:
            self.hint = (
                "It has jets and no particle-flow candidates (PFCands), of which scores are made: "
                "nanoAOD as it is published lacks them, PFNano and BTVNano have them"
            )

    def __len__(self) -> int:
        return self._entries

    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        for array in self._tree.iterate(
            self._sources(columns), step_size=step, entry_start=start, entry_stop=stop, library="ak"
        ):
            yield {name: plain(self._leaves[name].of(array)) for name in columns}

    def _sources(self, columns: Sequence[str]) -> list[str]:
        """The branches or fields to read for these columns; of structures the needed members."""
        leaves = [self._leaves[name] for name in columns]
        return list(dict.fromkeys(".".join((leaf.source, *leaf.path)) for leaf in leaves))

    def arrays(self, columns: Sequence[str], first: int, last: int) -> dict[str, ak.Array]:
        """Columns of the entries first .. last - 1, unchanged."""
        rows = self._tree.arrays(self._sources(columns), entry_start=first, entry_stop=last)
        return {name: self._leaves[name].of(rows) for name in columns}

    def sizes(self, column: str) -> NDArray[np.int64]:
        """Length of each entry's list; a column of counts gives the counts."""
        (values,) = self.arrays([column], 0, self._entries).values()
        return lengths(values) if values.ndim > 1 else ak.to_numpy(values).astype(np.int64)

    def empty(self, columns: list[str]) -> ak.Array:
        """See `Reader`."""
        with guarded(self.path, self.format):
            return ak.Array({n: plain(v) for n, v in self.arrays(columns, 0, 0).items()})

    def close(self) -> None:
        """Close the file, unless it is the caller's."""
        if self._file is not None:
            self._file.close()


def open_tree(path: Path, tree: str | None) -> tuple[Any, Any]:
    """The open file and one of its TTrees or RNTuples.

    Raises:
        InputError: there is no such tree, none at all, or several and none of them preferred.
    """
    uproot = load_extra("uproot", "jets", "reading ROOT files")
    # Memory-mapped, not read by threads: faster for local files, and errors leave no thread behind.
    source = opened(path)
    local = {"handler": uproot.MemmapSource} if isinstance(source, Path) else {}
    file = uproot.open(source, **local)
    try:
        chosen = _tree(file, path, tree)
        check_root(path, chosen)
        return file, chosen
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
                f"holds several trees: {', '.join(trees)}",
                where=path,
                hint="Say which one (`--tree`)",
            )
        tree = (preferred or trees)[0]
    elif tree.partition(";")[0] not in trees:
        raise unknown("tree", tree, trees, where=path)
    elif ";" in tree and tree not in (cycles := file.keys(recursive=True)):
        # an older cycle is what an unfinished job had saved
        raise unknown("cycle of a tree", tree, cycles, where=path)
    return file[tree]
