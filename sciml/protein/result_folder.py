"""The folder of a folding run: one run at a time, and no file in it that another hand has made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sciml.errors import InputError
from sciml.files import kept
from sciml.files.locks import locked, remove_leftovers
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import read_alignment

BEGUN = ".sciml.fold.json"
"""Names of the chains that a run has begun to write and not finished, while there are any."""
ENDS = (".cif", ".pdb", "_pae.json", "_distances.npz", "_unrelaxed.cif", "_unrelaxed.pdb")
"""Files of a chain beside NAME_confidence.json, which is the last."""
PAGES = ("report.html", "ranking.json")


@contextmanager
def working(out: Path, names: Collection[str]) -> Iterator[None]:
    """Write the files of chains into `out`, alone.

    Args:
        out: the folder, made if it is missing.
        names: chains that have yet to be folded.

    Raises:
        InputError: another process works there, or a file that would be written is there and was
            not made by a folding run.
    """
    with locked(out):
        begun, ours = _names(out / BEGUN, "names"), _names(out / "ranking.json", "order")
        for name in set(names) - begun - ours:
            if not (out / f"{name}_confidence.json").exists():
                _refuse_foreign(out / f"{name}{end}" for end in ENDS)
        if not begun and not ours and not next(out.rglob("*_confidence.json"), None):
            _refuse_foreign(out / name for name in PAGES)
        begun |= set(names)
        if begun:
            kept.write(out / BEGUN, {"names": sorted(begun)})
        try:
            yield
            remove_leftovers(out)
        finally:
            half = (n for n in begun if not (out / f"{n}_confidence.json").exists())
            if not any((out / f"{n}{end}").exists() for n in half for end in ENDS):
                (out / BEGUN).unlink(missing_ok=True)


def _names(path: Path, key: str) -> set[str]:
    try:
        return {str(name) for name in kept.read(path)[key]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _refuse_foreign(files: Iterable[Path]) -> None:
    for path in files:
        if path.exists():
            raise InputError(
                "is there, and no folding run made it",
                where=path,
                hint="Choose another folder by -o, or move the file away",
            )


def write_found(path: Path, alignment: Alignment) -> None:
    """Keep the relatives that a search found, and their digest beside them."""
    alignment.write(path)
    kept.write(_note(path), {"sha256": kept.sha256(path)})


def found_before(path: Path, query: Alignment) -> Alignment | None:
    """The alignment that an earlier search has left at `path`, or another hand, if there is one.

    Raises:
        InputError: it is of another chain.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    try:
        changed = kept.read(_note(path)).get("sha256") != kept.sha256(path)
    except (OSError, ValueError) as error:
        changed = not isinstance(error, FileNotFoundError)
    if changed:
        kept.warn(f"{path} was changed after the search; it is taken as it is")
    found = read_alignment(path)
    if found.row(0) != query.row(0):
        raise InputError(
            "is an alignment of another chain",
            where=path,
            hint="Choose another folder by -o, or move the file away",
        )
    return found


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")
