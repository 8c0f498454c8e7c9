"""The folder of a folding run: finished chains, the ranking, alignments that a search found.

One run works in it at a time, and a file that no folding run made is never overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sciml.errors import InputError
from sciml.files import kept
from sciml.files.locks import locked, remove_leftovers
from sciml.paths import atomic_write
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import read_alignment

BEGUN = ".sciml.fold.json"
"""Holds the names of the chains that a run has begun to write and not finished."""
ENDS = (".cif .pdb _pae.json _scores.json _distances.npz _unrelaxed.cif _unrelaxed.pdb").split()
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
                "exists already, and no folding run made it",
                where=path,
                hint="Choose another folder by -o, or move the file away",
            )


def write_finished(
    folder: Path, name: str, sequence: str, row: dict[str, Any], files: dict[str, Path]
) -> Path:
    """Write NAME_confidence.json, the last file of a chain, with digests of the others."""
    path = folder / f"{name}_confidence.json"
    digests = kept.digests(folder, *files.values())
    kept.write(path, row | {"sequence": sequence, "files": digests})
    return path


def read_finished(folder: Path, name: str) -> dict[str, Any] | None:
    """What `write_finished` wrote, if the chain's files are as they were written; else None, with a
    warning where they were there."""
    path = folder / f"{name}_confidence.json"
    try:
        row = kept.read(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        kept.warn(f"{path} is damaged ({error}): the chain is folded again")
        return None
    files = row.pop("files", None)
    if isinstance(files, dict):
        return row if kept.intact(folder, files) else None
    models = [folder / f"{name}{end}" for end in (".cif", ".pdb")]  # of version 0.1
    return row if all(file.is_file() and file.stat().st_size for file in models) else None


def rank(row: dict[str, Any]) -> float:
    """By which results are ranked, 0 to 1: pLDDT of a chain, ipTM and pTM of a complex."""
    confidence = row.get("ranking_confidence")
    return float((row.get("mean_plddt") or 0) / 100 if confidence is None else confidence)


def write_ranking(predictions: list[dict[str, Any]], path: str | Path) -> None:
    """Ranking JSON of the rows of chains, best first, and the best of each chain."""
    ranked = sorted(predictions, key=lambda row: (-rank(row), row["name"]))
    best: dict[str, str] = {}
    for row in ranked:
        best.setdefault(str(row["name"]).rpartition("/")[2], row["name"])
    ranking = {"order": [row["name"] for row in ranked], "best": best, "predictions": ranked}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(ranking, allow_nan=False), encoding="utf-8")


SHARD = "shard_{}_of_{}"
"""Name of the folder of a shard."""


def adopt_shards(out: Path) -> None:
    """Move what shards have finished, and the alignments that they found, from their folders to
    where one run would have put it.

    Raises:
        InputError: a shard is still at work.
    """
    for shard in sorted(out.glob(SHARD.format("*", "*"))):
        if not shard.is_dir():
            continue
        with locked(shard):
            for note in sorted(shard.rglob("*_confidence.json")):
                name, here = note.name.removesuffix("_confidence.json"), note.parent
                there = out / here.relative_to(shard)
                if (there / note.name).exists() or read_finished(here, name) is None:
                    continue
                there.mkdir(parents=True, exist_ok=True)
                for file in [here / f"{name}{end}" for end in ENDS] + [note]:
                    if file.exists():
                        file.replace(there / file.name)
            for file in sorted(shard.rglob("*.a3m")):
                there = out / file.relative_to(shard)
                if not there.exists():
                    there.parent.mkdir(parents=True, exist_ok=True)
                    file.replace(there)
                    if _note(file).exists():
                        _note(file).replace(_note(there))


def write_search_result(path: Path, alignment: Alignment) -> None:
    """Save the homologues that a search found, with their digest in a file beside them."""
    alignment.write(path)
    kept.write(_note(path), {"sha256": kept.sha256(path)})


def earlier_search_result(path: Path, query: Alignment) -> Alignment | None:
    """The alignment at `path`, of an earlier search or put there by somebody, if there is one.

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
    alignment = read_alignment(path)
    if alignment.row(0) != query.row(0):
        raise InputError(
            "is an alignment of another chain",
            where=path,
            hint="Choose another folder by -o, or move the file away",
        )
    return alignment


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")
