"""What a folding run is given: chains, their homologues and templates, known structures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.protein.alphafold import relaxation
from sciml.protein.alphafold.feature_config import DEFAULT_FEATURES
from sciml.protein.alphafold.hhsearch import hhsearch_templates
from sciml.protein.alphafold.job import Job
from sciml.protein.alphafold.templates import read_templates
from sciml.protein.io import residues
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import read_alignment, read_fasta
from sciml.protein.io.homology_search import safe_name
from sciml.protein.io.query_forms import is_job
from sciml.protein.io.sequence_records import suffix_of
from sciml.protein.io.structure import read_chains
from sciml.protein.measure import metrics
from sciml.protein.result_folder import earlier_search_result, write_search_result
from sciml.train.log import console

ALIGNMENTS = (".a3m", ".a2m", ".sto", ".stk", ".stockholm", ".aln", ".afa")
SEQUENCES = (".fasta", ".fa", ".faa", ".fas", ".csv", ".tsv")


def find_jobs(path: Path) -> list[Job]:
    """The chains of a file or folder.

    FASTA, `id,sequence` tables and AlphaFold 3's JSON hold sequences to fold, one or many; other
    formats hold one chain's alignment, whose first row is the query. Names are those of the
    sequences or files, made unique.

    Raises:
        InputError: a file is damaged, or holds a complex.
    """
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if suffix_of(p) in ALIGNMENTS + SEQUENCES]
        files += [p for p in sorted(path.glob("*.json")) if is_job(p)]
        if not files:
            raise InputError("holds no FASTA or alignment files", where=path)
    else:
        files = [path]
    jobs, used = [], set()
    for file in files:
        stem = file.name.split(".")[0] or "chain"
        if suffix_of(file) in (*SEQUENCES, ".json"):
            records = read_fasta(file)
            chains = [
                (safe_name(head.split(" ")[0]) if len(records) > 1 or head else stem,
                 Alignment.from_sequences([letters], [head or stem], source=str(file)))
                for head, letters in records
            ]  # fmt: skip
        else:
            chains = [(safe_name(stem), read_alignment(file).with_query(0))]
        for name, alignment in chains:
            unique, number = name or "chain", 2
            while unique in used:
                unique, number = f"{name}_{number}", number + 1
            used.add(unique)
            jobs.append(Job(alignment, (), unique))
    return jobs


def batches(jobs: list[Job], residues: int) -> Iterator[list[Job]]:
    """Chains of similar length together, at most `residues` padded residues per batch."""
    waiting: list[Job] = []
    for job in sorted(jobs, key=lambda j: j.alignment.columns):
        n = job.alignment.columns
        if waiting and (len(waiting) + 1) * n > residues:
            yield waiting
            waiting = []
        waiting.append(job)
    if waiting:
        yield waiting


def with_homologues(job: Job, db: Path, out: Path) -> Job:
    """The chain with its homologues, which are kept in `out` and not searched for again."""
    from sciml.protein.io.homology_search import search

    if job.alignment.depth > 1:
        return job
    path = out / f"{job.name}.a3m"
    if alignment := earlier_search_result(path, job.alignment):
        return replace(job, alignment=alignment)
    alignment = search(job.alignment.sequence(), db, name=job.name).alignment
    write_search_result(path, alignment)
    console.print(f"{path}: {alignment.depth} sequences found")
    return replace(job, alignment=alignment)


def with_templates(job: Job, folder: Path, hhr: Path | None = None) -> Job:
    """The chain with its templates in `folder`: HHsearch's, or all that can be aligned to it.

    `hhr`: HHsearch's result, or a folder with NAME.hhr for each chain.
    """
    query = job.alignment.with_query(0).row(0)
    if hhr is None:
        templates = read_templates(folder, query)
    else:
        if hhr.is_dir():
            files = [hhr / f"{job.name}{end}" for end in (".hhr", ".hhr.gz")]
            files = [path for path in files if path.exists()]
            if not files:
                console.print(f"{job.name}: {hhr} has no {job.name}.hhr; folded without templates")
                return job
            hhr = files[0]
        templates = hhsearch_templates(hhr, folder, query)
    used = ", ".join(template.name for template in templates[: DEFAULT_FEATURES.templates])
    console.print(f"{job.name}: {len(templates)} templates" + (f", used: {used}" if used else ""))
    return replace(job, templates=tuple(templates))


def check_relaxable(jobs: list[Job]) -> None:
    """Refuse before folding what would stop the relaxation after it."""
    relaxation.require()
    for job in jobs:
        unknown = np.flatnonzero(job.alignment.with_query(0).rows[0] >= residues.UNKNOWN)
        if len(unknown):
            raise InputError(
                f"residue {unknown[0] + 1} of {job.name!r} is of no known type and has no force "
                "field",
                where=job.alignment.source,
                hint="Fold this chain without --relax",
            )


def known_distances(truth: Path | None, name: str, n: int) -> np.ndarray | None:
    """CB distances [N, N] [A] of a known structure, if there is one of the same length.

    `truth`: its file, or a folder with NAME.pdb or NAME.cif of each chain.
    """
    if truth is None:
        return None
    for path in (truth, *(truth / f"{name}{end}" for end in (".pdb", ".cif"))):
        if path.is_file():
            chain = read_chains(path)[0]
            if len(chain) == n:
                return metrics.distances(chain.beta())
            console.print(f"{path}: {len(chain)} residues, the chain has {n}; not compared")
    return None
