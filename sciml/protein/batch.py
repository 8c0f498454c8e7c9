"""A folding run over files: what is done already, what is left, results, ranking and report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sciml.errors import InputError
from sciml.protein.alphafold.job import Job
from sciml.protein.alphafold.model import AlphaFoldConfig
from sciml.protein.alphafold.weights.formats import OPENFOLD, read_config
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.fold_inputs import (
    batches,
    check_relaxable,
    find_jobs,
    known_distances,
    with_embedding,
    with_homologues,
    with_templates,
)
from sciml.protein.fold_models import fold_alphafold, fold_coarse
from sciml.protein.fold_page import write_page
from sciml.protein.fold_settings import FoldRun as FoldRun
from sciml.protein.io.query_forms import ComplexError
from sciml.protein.result_folder import (
    SHARD,
    adopt_shards,
    read_finished,
    working,
    write_ranking,
)
from sciml.train.log import console


def run_fold(run: FoldRun) -> list[dict[str, Any]]:
    """Fold everything in `run.input` into `run.out` by all models and seeds; rows of the ranking.

    A shard works in a folder of its own in `run.out`. A run without `shard` takes the results of
    all shards from there, so that it only folds what none has folded, and ranks them together.
    """
    if run.shard is not None:
        number, count = run.part
        run = replace(run, out=run.out / SHARD.format(number, count))
    elif not run.dry_run:
        adopt_shards(run.out)
    jobs = find_jobs(run.input, run.pairing, run.target)
    for job in jobs:
        if run.params is None and job.chains is not None:
            raise ComplexError(len(job.chains.lengths), f"{job.name!r}", where=run.input)
    variants = _variants(run, jobs)
    if list(variants) == [""]:
        return _fold(variants[""], jobs)
    rows = []
    with nullcontext() if run.dry_run else working(run.out, []):
        if run.db and not run.dry_run:
            jobs = with_homologues(jobs, run.db, run.out, run.pairing)
        for name, part in variants.items():
            console.print(f"{name}" + (", without templates" if _untemplated(run, part) else ""))
            rows += [row | {"name": f"{name}/{row['name']}"} for row in _fold(part, jobs)]
        if not run.dry_run:
            _write_pages(run, jobs, rows)
    return rows


def _fold(run: FoldRun, jobs: list[Job]) -> list[dict[str, Any]]:
    """Fold jobs by one model with one seed."""
    jobs = run.sharded(jobs)
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
    if run.embeddings is not None:
        left = [with_embedding(job, run.embeddings) for job in left]
    fold = fold_coarse if run.params is None else fold_alphafold
    if run.dry_run:
        return rows + fold(run, left)
    with working(run.out, [job.name for job in left]):
        if run.db:
            jobs = with_homologues(jobs, run.db, run.relatives or run.out, run.pairing)
            complete = {job.name: job for job in jobs}
            left = [
                replace(complete[job.name], templates=job.templates, embedding=job.embedding)
                for job in left
            ]
        failed: list[Any] = []
        if run.launcher == "ray":
            folded, failed = _fold_on_ray(fold, run, left)
            rows += folded
            done = {row["name"] for row in rows}
            jobs = [job for job in jobs if job.name in done]
        else:
            rows += fold(run, left)
        _write_pages(run, jobs, rows)
    if failed:
        from sciml.launch import ray_files

        ray_files.refuse(failed, len(rows) + len(failed), "chains")
    return rows


def _write_pages(run: FoldRun, jobs: list[Job], rows: list[dict[str, Any]]) -> None:
    write_ranking(rows, run.out / "ranking.json")
    if rows:
        write_page(run, jobs, rows, partial(known_distances, run.truth))


def _variants(run: FoldRun, jobs: list[Job]) -> dict[str, FoldRun]:
    """The run of each model and seed by the name of its folder; "" where there is one of each.

    Models of a folder without templates get none. Where some queries are complexes, the parameters
    of AlphaFold-Multimer fold all of them, else those of the monomers, as far as there are both.
    """
    if run.params is None or not run.params.is_dir():
        models = {"": run}
    else:
        models = {}
        for file, config in _parameters(run.params, any(job.chains for job in jobs)).items():
            part = replace(run, params=file, relatives=run.out)
            models[file.stem] = replace(part, templates=None, hhr=None) if (
                config.templates is None) else part  # fmt: skip
    variants: dict[str, FoldRun] = {}
    for model, part in models.items():
        for seed in range(run.seed, run.seed + run.seeds):
            name = "/".join(filter(None, (model, f"seed_{seed}" if run.seeds > 1 else "")))
            variants[name] = replace(
                part, out=run.out / name, seed=seed, seeds=1, first=len(variants), target=None,
                relatives=run.out if name else run.relatives,
            )  # fmt: skip
    return variants


def _untemplated(run: FoldRun, part: FoldRun) -> bool:
    return run.templates is not None and part.templates is None


def _parameters(folder: Path, complexes: bool) -> dict[Path, AlphaFoldConfig]:
    """The parameter files of a folder that fit the queries, all of them read."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".npz", *OPENFOLD))
    if not files:
        kinds = ", ".join((".npz", *OPENFOLD))
        raise InputError(f"holds no parameter files ({kinds})", where=folder)
    configs = {file: read_config(file) for file in files}  # of all, before anything is folded
    fitting = [file for file, config in configs.items() if config.chain_positions == complexes]
    if fitting and len(fitting) < len(files):
        what = "monomers', there are complexes" if complexes else "AlphaFold-Multimer's"
        for file in sorted(configs.keys() - set(fitting)):
            console.print(
                f"{file.name} is left out: {what}" + ("" if complexes else ", for complexes")
            )
            del configs[file]
    return configs


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
    same = same and row.get("chains", ["A"]) == job.chain_names
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
