"""A folding run over files: what is done already, what is left, results, ranking and report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from sciml.errors import InputError
from sciml.protein.alphafold.job import Job
from sciml.protein.alphafold.weights.formats import OPENFOLD, read_config
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.fold_inputs import (
    batches,
    check_relaxable,
    find_jobs,
    known_distances,
    with_homologues,
    with_templates,
)
from sciml.protein.fold_models import fold_alphafold, fold_coarse
from sciml.protein.fold_page import write_page
from sciml.protein.fold_settings import FoldRun as FoldRun
from sciml.protein.result_folder import read_finished, working, write_ranking
from sciml.train.log import console


def run_fold(run: FoldRun) -> list[dict[str, Any]]:
    """Fold everything in `run.input` into `run.out`; rows of the ranking."""
    if run.params is not None and run.params.is_dir():
        return _fold_by_each(run)
    jobs = find_jobs(run.input)
    finished = {job.name: _done(job, run) for job in jobs}
    left = [job for job in jobs if finished[job.name] is None]
    console.print(f"{len(jobs)} chains, {len(jobs) - len(left)} of them done already")
    rows = [row for row in finished.values() if row is not None]
    written = [run.out / name for name in ("report.html", "ranking.json")]
    if not left and all(path.is_file() and path.stat().st_size for path in written):
        return rows
    _check(run, left, len(jobs))
    if run.templates is not None:
        left = [with_templates(job, run.templates, run.hhr) for job in left]
    fold = fold_coarse if run.params is None else fold_alphafold
    if run.dry_run:
        return rows + fold(run, left)
    with working(run.out, [job.name for job in left]):
        if run.db is not None:
            jobs = [with_homologues(job, run.db, run.relatives or run.out) for job in jobs]
            alignments = {job.name: job.alignment for job in jobs}
            left = [replace(job, alignment=alignments[job.name]) for job in left]
        failed: list[Any] = []
        if run.launcher == "ray":
            folded, failed = _fold_on_ray(fold, run, left)
            rows += folded
            done = {row["name"] for row in rows}
            jobs = [job for job in jobs if job.name in done]
        else:
            rows += fold(run, left)
        write_ranking(rows, run.out / "ranking.json")
        write_page(run, jobs, rows, partial(known_distances, run.truth))
    if failed:
        from sciml.launch import ray_files

        ray_files.refuse(failed, len(rows) + len(failed), "chains")
    return rows


def _done(job: Job, run: FoldRun) -> dict[str, Any] | None:
    """The ranking's row of a chain that `run.out` holds already.

    Raises:
        InputError: what it holds under this name is another chain, or of other parameters.
    """
    path = run.out / f"{job.name}_confidence.json"
    row = read_finished(run.out, job.name)
    if row is None:
        return None
    row.pop("plddt", None)
    same = row.pop("sequence", None) == job.alignment.row(0).replace("-", "")
    if same and row.get("model") == run.parameters:
        return row
    other = f"this chain folded with {row.get('model')}" if same else "another chain of this name"
    raise InputError(f"holds {other}", where=path, hint="Choose another folder by -o")


def _check(run: FoldRun, left: list[Job], count: int) -> None:
    """Refuse what cannot be folded before anything is searched or written."""
    if run.params is None and left:
        ContactPredictor.from_pretrained(run.model, device=run.device)
    if run.relax:
        check_relaxable(left)
    if run.hhr is not None and count > 1 and not run.hhr.is_dir():
        raise InputError(
            f"holds the hits of one chain, there are {count} to fold", where=run.hhr,
            hint="Give a folder with NAME.hhr for each chain",
        )  # fmt: skip


def _fold_by_each(run: FoldRun) -> list[dict[str, Any]]:
    """Fold by each parameter file of a folder, into a folder of its name; rank all results."""
    assert run.params is not None
    files = sorted(path for path in run.params.iterdir() if path.suffix in (".npz", *OPENFOLD))
    if not files:
        kinds = ", ".join((".npz", *OPENFOLD))
        raise InputError(f"holds no parameter files ({kinds})", where=run.params)
    configs = {file: read_config(file) for file in files}  # of all, before anything is folded
    if any(not config.chain_positions for config in configs.values()):
        for file in [file for file, config in configs.items() if config.chain_positions]:
            console.print(f"{file.name} is left out: AlphaFold-Multimer's, for complexes")
            del configs[file]
    rows = []
    with nullcontext() if run.dry_run else working(run.out, []):
        for file, config in configs.items():
            part = replace(run, params=file, out=run.out / file.stem, relatives=run.out)
            without = run.templates is not None and config.templates is None
            console.print(f"{file.stem}" + (", which takes no templates" if without else ""))
            if without:
                part = replace(part, templates=None, hhr=None)
            rows += [row | {"name": f"{file.stem}/{row['name']}"} for row in run_fold(part)]
        if not run.dry_run:
            write_ranking(rows, run.out / "ranking.json")
            jobs = find_jobs(run.input)
            if run.db is not None:
                jobs = [with_homologues(job, run.db, run.out) for job in jobs]
            write_page(run, jobs, rows, partial(known_distances, run.truth))
    return rows


def _fold_on_ray(
    fold: Callable[[FoldRun, list[Job]], list[dict[str, Any]]], run: FoldRun, jobs: list[Job]
) -> tuple[list[dict[str, Any]], list[tuple[str, Any]]]:
    """Rows of the chains folded by tasks on a Ray cluster, and the failures by name.

    The batches, and so the results, are those of a run in this process.
    """
    from sciml.launch import ray_files

    groups = [[job] for job in jobs] if run.params is None else list(
        batches(jobs, run.batch_residues)
    )  # fmt: skip
    run = replace(run, out=run.out.absolute(), launcher=None)
    rows: list[dict[str, Any]] = []
    failed: list[tuple[str, Any]] = []
    results = ray_files.run(partial(fold, run), groups, run.workers, title="folding")
    for group, result in zip(groups, results, strict=True):
        if isinstance(result, ray_files.Failure):
            failed += [(job.name, result) for job in group]
        else:
            rows += result
    return rows, failed
