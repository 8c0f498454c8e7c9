"""What a folding run is given: chains, their homologues and templates, known structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.protein.alphafold import relaxation
from sciml.protein.alphafold.feature_config import DEFAULT_FEATURES
from sciml.protein.alphafold.hhsearch import hhsearch_templates
from sciml.protein.alphafold.job import Job
from sciml.protein.alphafold.templates import Template, read_templates
from sciml.protein.io import residues
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import ALIGNED
from sciml.protein.io.complexes import Complex, read_complexes, together
from sciml.protein.io.embeddings import find_embedding, read_embedding
from sciml.protein.io.homology_search import safe_name
from sciml.protein.io.pairing import PairingConfig
from sciml.protein.io.query_forms import is_job
from sciml.protein.io.sequence_records import suffix_of
from sciml.protein.io.structure import read_chains
from sciml.protein.io.structure_writing import chain_name
from sciml.protein.measure import metrics
from sciml.protein.measure.complex_score import score_complex
from sciml.protein.result_folder import earlier_search_result, write_search_result
from sciml.train.log import console

SEQUENCES = (".fasta", ".fa", ".faa", ".fas", ".csv", ".tsv", ".json")


def find_jobs(
    path: Path, pairing: PairingConfig | None = None, target: Path | None = None
) -> list[Job]:
    """The chains and complexes of a file or folder.

    FASTA, `id,sequence` tables and AlphaFold 3's JSON hold queries, one or many; other formats hold
    one query's alignment. `A.a3m:B.a3m`, and a folder within a folder that has nothing but
    alignments, is a complex of these chains. Names are those of the sequences, files or folders,
    made unique.

    Args:
        path: the file or folder.
        pairing: how rows of a complex's chains are paired.
        target: a chain or complex that each query is folded together with.

    Raises:
        InputError: a file is damaged.
    """
    partner = None if target is None else _read(target)
    if partner is not None and len(partner) > 1:
        raise InputError(f"holds {len(partner)} queries, not one target", where=target)
    jobs, used = [], set()
    for file in _files(path):
        for complex_ in _read(file):
            name = safe_name(complex_.name.split(" ")[0]) or safe_name(file.name.split(".")[0])
            if partner is not None:
                complex_ = together(partner[0], complex_)
            unique, number = name or "chain", 2
            while unique in used:
                unique, number = f"{name}_{number}", number + 1
            used.add(unique)
            jobs.append(replace(Job.read(complex_, pairing), name=unique))
    return jobs


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [p for p in sorted(path.iterdir()) if suffix_of(p) in (*ALIGNED, *SEQUENCES[:-1])]
    files += [p for p in sorted(path.glob("*.json")) if is_job(p)]
    files += [p for p in sorted(path.iterdir()) if p.is_dir() and _is_chains(p)]
    if not files:
        raise InputError("holds no FASTA or alignment files", where=path)
    return files


def _is_chains(folder: Path) -> bool:
    """Whether a folder holds nothing but alignments, and no run has worked in it."""
    files = list(folder.iterdir())
    return bool(files) and all(suffix_of(p) in ALIGNED and p.name[0] != "." for p in files)


def _read(path: Path) -> list[Complex]:
    complexes = read_complexes(path, aligned=suffix_of(path) not in SEQUENCES)
    if len(complexes) == 1 and suffix_of(path) in SEQUENCES and not complexes[0].name:
        complexes[0].name = path.name.split(".")[0]
    return complexes


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


def with_homologues(
    jobs: list[Job], db: Sequence[Path], out: Path, pairing: PairingConfig | None = None
) -> list[Job]:
    """The chains with their homologues, which are kept in `out` and not searched for again.

    A chain that is in several complexes is searched for once.
    """
    from sciml.protein.io.homology_search import read_database, search_all

    known: dict[str, Alignment] = {}
    blocks: list[Any] = []

    def found(name: str, query: Alignment) -> Alignment:
        if query.depth > 1:
            return query
        path = out / f"{name}.a3m"
        alignment = earlier_search_result(path, query)
        if alignment is None:
            letters = query.sequence()
            if letters not in known:
                blocks.extend([] if blocks else map(read_database, db))
                known[letters] = search_all(letters, blocks, name=name).alignment
                console.print(f"{path}: {known[letters].depth} sequences found")
            alignment = known[letters]
            write_search_result(path, alignment)
        return alignment

    completed = []
    for job in jobs:
        if job.parts is None:
            completed.append(replace(job, alignment=found(job.name, job.alignment)))
            continue
        chains = []
        for k, chain in enumerate(job.parts.chains):
            alone = chain.paired is None
            own = found(f"{job.name}_{chain_name(k)}", chain.unpaired) if alone else chain.unpaired
            chains.append(replace(chain, unpaired=own))
        again = Job.of(replace(job.parts, chains=chains), job.templates, pairing)
        completed.append(replace(again, name=job.name))
    return completed


def with_templates(job: Job, folder: Path, hhr: Path | None = None) -> Job:
    """The chain with its templates in `folder`: HHsearch's, or all that can be aligned to it.

    `hhr`: HHsearch's result, or a folder with NAME.hhr for each chain; of a complex with
    NAME_A.hhr, NAME_B.hhr, ... for its distinct chains.
    """
    if job.parts is None:
        templates = _templates(job.name, job.alignment.with_query(0).row(0), folder, hhr)
    else:
        templates, start = [], 0
        for k, chain in enumerate(job.parts.chains):
            own = _templates(f"{job.name}_{chain_name(k)}", chain.sequence, folder, hhr)
            for _ in range(chain.copies):
                templates += [t.placed(start, job.alignment.columns) for t in own]
                start += len(chain.sequence)
    used = ", ".join(template.name for template in templates[: DEFAULT_FEATURES.templates])
    console.print(f"{job.name}: {len(templates)} templates" + (f", used: {used}" if used else ""))
    return replace(job, templates=tuple(templates))


def with_embedding(job: Job, where: Path) -> Job:
    """The chain with its embedding: the file `where`, or NAME.pt or NAME.npy in that folder."""
    path = find_embedding(where, job.name)
    return replace(job, embedding=read_embedding(path, job.alignment.columns))


def _templates(name: str, query: str, folder: Path, hhr: Path | None) -> list[Template]:
    if hhr is None:
        return read_templates(folder, query)
    if hhr.is_dir():
        files = [hhr / f"{name}{end}" for end in (".hhr", ".hhr.gz")]
        files = [path for path in files if path.exists()]
        if not files:
            console.print(f"{name}: {hhr} has no {name}.hhr; folded without templates")
            return []
        hhr = files[0]
    return hhsearch_templates(hhr, folder, query)


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


def known_quality(truth: Path | None, model: Path) -> dict[str, float]:
    """DockQ and TM-score of a model of a complex whose structure is known; nothing of others.

    `truth`: see `known_distances`.
    """
    name = model.name.removesuffix(".cif")
    for path in () if truth is None else (truth, *(truth / f"{name}{e}" for e in (".pdb", ".cif"))):
        chains = [list(read_chains(file)) for file in (model, path)] if path.is_file() else [[]]
        if all(len(part) > 1 for part in chains):
            scores = score_complex(*chains)
            return {"DockQ": round(scores["dockq"], 4), "TM-score": round(scores["tm_score"], 4)}
    return {}
