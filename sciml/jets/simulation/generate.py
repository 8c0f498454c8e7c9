"""`sciml data make jets`: JetClass-like jets from Pythia 8, FastJet and a parametrised detector.

The data set consists of chunks of 1000 jets of one class, each with its own seed, so it does not
depend on the number of workers. During the work, chunks are Parquet files in OUT.chunks/: the same
command after an interruption makes only the missing ones. At the end they are merged into one file,
classes mixed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from numpy.typing import NDArray

from sciml.data import shards as files_of_shards
from sciml.errors import InputError
from sciml.files.kept import warn
from sciml.files.locks import locked_file, remove_empty, remove_leftovers
from sciml.jets.data.columns import CLASSES, MOMENTUM, TRACK
from sciml.jets.data.writers import create
from sciml.jets.simulation.jet_table import CHUNK, jets_of_chunk
from sciml.jets.simulation.processes import process
from sciml.paths import atomic_write

NOTE = "options.json"
"""File with the options that the chunks of a folder were made with."""
GROUP = 4096
"""Jets that are shuffled together, and rows in a row group."""


@dataclass(frozen=True)
class Task:
    """One chunk to make."""

    name: str
    chunk: int
    jets: int
    position: float
    """Position of the chunk in the data set, 0 .. 1; classes are interleaved by it."""
    table: Callable[..., pa.Table] = jets_of_chunk
    """Makes it of (name, chunk, jets) and options."""

    @property
    def file(self) -> str:
        return f"{self.name}-{self.chunk:05d}-{self.jets}.parquet"


def plan(
    classes: tuple[str, ...], jets: int, known: Callable[[str], object] = process,
    flag: str = "--classes", table: Callable[..., pa.Table] = jets_of_chunk,
) -> list[Task]:  # fmt: skip
    """The chunks of a data set of `jets` jets, in the order of the merged file.

    Args:
        classes: class names, each with an optional weight ("QCD:3").
        jets: their total number.
        known: refuses a name that is not one.
        flag: the option that they come from, for messages.
        table: makes the table of a chunk.

    Raises:
        InputError: unknown class, bad weight, class named twice, fewer jets than classes.
    """
    weights: dict[str, float] = {}
    for word in classes:
        name, colon, weight = word.partition(":")
        known(name)
        try:
            number = float(weight) if colon else 1.0
        except ValueError:
            number = -1.0
        if not 0 < number < float("inf"):
            raise InputError(f"the weight in {word!r} must be a number > 0", where=flag)
        if name in weights:
            raise InputError(f"{name!r} is named twice", where=flag)
        weights[name] = number
    if not weights or jets < len(weights):
        raise InputError(
            f"must be at least the number of classes ({len(weights)}, at least 1), got {jets}",
            where="--jets",
        )
    # Largest remainders, so that the counts add up to `jets`.
    exact = {name: jets * weight / sum(weights.values()) for name, weight in weights.items()}
    counts = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda n: counts[n] - exact[n])[: jets - sum(counts.values())]:
        counts[name] += 1
    tasks = []
    for name, count in counts.items():
        for chunk, first in enumerate(range(0, count, CHUNK)):
            size = min(CHUNK, count - first)
            tasks.append(Task(name, chunk, size, (first + size / 2) / count, table))
    return sorted(tasks, key=lambda task: (task.position, task.name))


def make(
    classes: tuple[str, ...] = CLASSES,
    jets: int = 10_000,
    seed: int = 0,
    workers: int = 1,
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("jets.parquet"),
    detector: Literal["jetclass", "measured", "shifted"] = "jetclass",
    shower: Literal["pythia", "vincia"] = "pythia",
    pileup: float = 0.0,
    views: int = 1,
    compact: bool = False,
    keep_chunks: bool = False,
    shards: int = 0,
    shard: int | None = None,
) -> None:
    """Generate jets of the ten JetClass classes with Pythia 8, a detector and FastJet.

    Args:
        classes: Class names, each with an optional weight, as in QCD:3 Tbqq:1.
        jets: Number of jets, all classes together.
        seed: Seed of the data set; the result does not depend on the number of workers.
        workers: Processes to use; 0 for one per core.
        out: The file to write, .parquet or .root (with JetClass's branch names).
        detector: jetclass: as JetClass; measured: tracks weighted by their resolution;
            shifted: worse tracks and calorimeters, for studies of domain shift.
        shower: Parton shower: Pythia's default, or Vincia to estimate the model uncertainty.
        pileup: Mean number of further collisions in the bunch crossing, for studies of domain
            shift; tracks more than 5 mm away along the beam are left out.
        views: Number of showers per hard-scatter event. Jets of one event have the same id in the
            column aux_collision, and `sciml run pretrain` learns from pairs of them.
        compact: Write a file of a third of the size: momenta rounded to 16 significant bits, track
            parameters to 12, and without the columns that can be derived from the others.
        keep_chunks: Keep the folder OUT.chunks with one file for every 1000 jets.
        shards: Write so many Parquet files into the folder OUT instead, together the same jets for
            any number of them.
        shard: Make this one of them alone (0 is the first): for jobs on several machines.
    """
    if views < 1:
        raise InputError(f"must be >= 1, got {views}", where="--views")
    if not 0 <= pileup <= 1000:
        raise InputError(f"must be between 0 and 1000, got {pileup:g}", where="--pileup")
    options: dict[str, Any] = {"seed": seed, "detector": detector, "shower": shower}
    if views > 1:
        options["views"] = views
    if pileup:
        options["pileup"] = pileup
    settings = {"classes": list(classes), "jets": jets, **options}
    made = DataSet(plan(classes, jets), options, settings, workers, compact, keep_chunks)
    made.write(out, shards, shard)


@dataclass(frozen=True)
class DataSet:
    """What is made, and how.

    Attributes:
        tasks: its chunks.
        options: of each chunk, `seed` among them.
        settings: what the command said, for the header of a file.
        workers: processes; 0 for one per core.
        compact, keep_chunks: see `make`.
    """

    tasks: list[Task]
    options: dict[str, Any]
    settings: dict[str, Any]
    workers: int
    compact: bool
    keep_chunks: bool

    def write(self, out: Path, shards: int = 0, shard: int | None = None) -> None:
        """Write the file, or files of `shards` parts into a folder.

        Raises:
            InputError: a bad option, a folder of chunks of another data set.
        """
        sharded = shards > 0 or shard is not None
        if not sharded and out.suffix not in (".parquet", ".root"):
            raise InputError("must end in .parquet or .root", where=out)
        seed = self.options["seed"]
        if seed < 0:
            raise InputError(f"must be >= 0, got {seed}", where="--seed")
        if self.workers < 0:
            raise InputError(f"must be >= 0, got {self.workers}", where="--workers")
        workers = self.workers or os.cpu_count() or 1
        if not sharded:
            _make_file(
                out, self.tasks, self.options, self.settings, workers, self.compact,
                self.keep_chunks, (seed, 1),
            )  # fmt: skip
            return
        if shards > len(self.tasks):
            raise InputError(
                f"must be at most {len(self.tasks)}, the chunks of {CHUNK} jets, got {shards}",
                where="--shards",
            )
        for number, path in files_of_shards.to_make(
            out, shards, shard, self.settings | {"compact": self.compact}
        ):
            part = files_of_shards.share(len(self.tasks), number, shards)
            facts = self.settings | {"compact": self.compact, "shards": shards, "shard": number}
            _make_file(
                path, [self.tasks[k] for k in part], self.options, facts, workers, self.compact,
                self.keep_chunks, (seed, 1, number),
            )  # fmt: skip


def _make_file(
    out: Path, tasks: list[Task], options: dict, settings: dict, workers: int, compact: bool,
    keep_chunks: bool, order: tuple[int, ...],
) -> None:  # fmt: skip
    """Make the missing chunks of a file and merge them; `order` seeds that of the jets."""
    with locked_file(out):
        folder = _chunk_folder(out, options)
        missing = [task for task in tasks if not _is_whole(folder / task.file, task.jets)]
        _make_chunks(missing, len(tasks), folder, options, workers)
        files = [folder / task.file for task in tasks]
        groups = _merged(files, order)
        if compact:
            groups = map(compacted, groups)
        notes = {"sciml.jets": json.dumps(settings, sort_keys=True)}
        if "shard" in settings:
            facts = json.dumps(settings, sort_keys=True)
            notes = {files_of_shards.KIND.decode(): "jets", files_of_shards.FACTS.decode(): facts}
        with create(out, notes) as writer:
            for table in groups:
                writer.write(ak.from_arrow(table))
        if not keep_chunks:
            for file in (*files, folder / NOTE):
                file.unlink(missing_ok=True)
            remove_leftovers(folder)
            remove_empty([folder])
    print(f"{out}: {sum(task.jets for task in tasks)} jets")


def _chunk_folder(out: Path, options: dict) -> Path:
    """OUT.chunks, with a note of the options; refuses one that was made with others."""
    folder = out.with_name(out.name + ".chunks")
    note = folder / NOTE
    text = json.dumps(options, sort_keys=True)
    if folder.is_dir() and not note.exists() and any(folder.iterdir()):
        raise InputError("exists and holds no chunks of jets", where=folder,
                         hint="Move it away or write to another file")  # fmt: skip
    if note.exists() and note.read_text() == text:
        return folder
    if note.exists():
        raise InputError(
            f"holds chunks made with {note.read_text()}, this command needs {text}",
            where=folder,
            hint="Delete that folder or write to another file",
        )
    with atomic_write(note) as temporary:
        temporary.write_text(text)
    return folder


def _make_chunk(task: Task, folder: Path, options: dict) -> int:
    table = task.table(task.name, task.chunk, task.jets, **options)
    with atomic_write(folder / task.file) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    return task.jets


def _is_whole(path: Path, jets: int) -> bool:
    """Whether the file of a chunk exists and is complete."""
    try:
        return bool(pq.read_table(path, page_checksum_verification=True).num_rows == jets)
    except FileNotFoundError:
        return False
    except (OSError, pa.ArrowException) as error:
        warn(f"{path} is damaged ({str(error)[:100]}) and is regenerated")
        return False


def _make_chunks(
    missing: list[Task], total: int, folder: Path, options: dict, workers: int
) -> None:
    from sciml.train.log import Bar

    if len(missing) < total:
        print(f"{folder}: {total - len(missing)} of {total} chunks are there already")
    with Bar("jets", sum(task.jets for task in missing)) as bar:
        if workers == 1 or len(missing) <= 1:
            for task in missing:
                bar.advance(_make_chunk(task, folder, options))
            return
        # A fresh interpreter per worker: forking a process with threads is not safe.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(missing)), mp_context=context) as pool:
            futures: list[Future[int]] = [
                pool.submit(_make_chunk, task, folder, options) for task in missing
            ]
            try:
                for future in as_completed(futures):
                    bar.advance(future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _merged(files: list[Path], seed: tuple[int, ...]) -> Iterator[pa.Table]:
    """Groups of about `GROUP` jets: consecutive chunks together, shuffled."""
    rng = np.random.default_rng(seed)
    pending: list[pa.Table] = []
    for k, file in enumerate(files):
        pending.append(pq.read_table(file).replace_schema_metadata(None))
        if sum(map(len, pending)) >= GROUP or k == len(files) - 1:
            table = pa.concat_tables(pending).combine_chunks()
            yield table.take(pa.array(rng.permutation(len(table))))
            pending = []


DERIVED = ("part_deta", "part_dphi")
"""Columns left out of compact files; every reader of this package computes them when missing."""


def compacted(table: pa.Table) -> pa.Table:
    """Rounded and without `DERIVED`, so that it compresses well; still plain float32.

    The energy is computed anew from the rounded momentum and the mass, without rounding, since pair
    masses depend on E - |p|.
    """
    exact = [_values(table[name]).astype(np.float64) for name in MOMENTUM]
    rounded = [_round(x, 16) for x in exact[:3]]
    mass2 = np.maximum(exact[3] ** 2 - exact[0] ** 2 - exact[1] ** 2 - exact[2] ** 2, 0.0)
    # Single precision resolves no smaller mass than this; below it a particle is massless.
    mass2[mass2 < (2e-3 * exact[3]) ** 2] = 0.0
    energy = np.sqrt(mass2 + sum(x.astype(np.float64) ** 2 for x in rounded)).astype(np.float32)
    new = dict(zip(MOMENTUM, [*rounded, energy], strict=True))
    for name in TRACK:
        new[name] = _round(_values(table[name]), 12)
    for name, values in new.items():
        field = table.schema.field(name)
        offsets = table[name].combine_chunks().offsets
        lists = pa.ListArray.from_arrays(offsets, pa.array(values), type=field.type)
        table = table.set_column(table.schema.get_field_index(name), field, lists)
    return table.drop_columns(list(DERIVED))


def _values(column: pa.ChunkedArray) -> NDArray[np.float32]:
    return column.combine_chunks().values.to_numpy()


def _round(values: NDArray[np.floating], bits: int) -> NDArray[np.float32]:
    """To the nearest float32 with this many significant bits."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    scale = float(1 << bits)
    return np.ldexp(np.round(mantissa * scale) / scale, exponent).astype(np.float32)
